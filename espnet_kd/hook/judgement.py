"""What about a training is unwise: a sentence each, with its remedy.

Numbers come in and sentences go out, so that the log of a training and the command that
tries one beforehand judge alike.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite

from espnet_kd.config.schema import LossTermConfig, ScheduleConfig

# A part of the loss that is this many times another leaves the other unheard.
LOPSIDED = 100.0
# Frames of the two models that differ by less than this factor count as of one rate.
RATE = 1.25
# Errors in percent from which on a model has learned next to nothing.
UNTRAINED = 90.0
# Part of the labels that may be unknown before the token list is doubted.
UNKNOWN = 0.05
TASK = "the student's own loss"


def judge_frames(student_frames: int, teacher_frames: int) -> Iterator[str]:
    """Doubt frames of two rates.

    Args:
        student_frames: The student's, of some audio.
        teacher_frames: The teacher's, of the same.
    """
    ratio = teacher_frames / max(student_frames, 1)
    if ratio and not 1 / RATE <= ratio <= RATE:
        yield (
            f"the teacher has {ratio:.2f} frames to one of the student's: losses that "
            "compare frames lose by it, those of CTC posteriors most; give the student the "
            "teacher's subsampling ('input_layer'), or compare labels (token_kl) and "
            "relations"
        )


def judge_delay(student: str, terms: Sequence[str]) -> Iterator[str]:
    """Doubt losses of the very frame between a teacher that hears all and a student not.

    Args:
        student: What keeps it from hearing all of the future; empty if nothing.
        terms: Those that ask it to spell at the frame where its teacher does.
    """
    if student and terms:
        yield (
            f"{', '.join(terms)}: the student {student}, and its teacher hears whole "
            "utterances, so that it is to spell at a frame what it has not heard by then, "
            "which makes streaming students worse; use ctc_shift_kl with a max_shift_ms, "
            "losses of labels (token_kl, ctc_token_kl, transducer_token_kl, "
            "transducer_fullsum), or --kd_conf streaming"
        )


def judge_finite(parts: Mapping[str, float]) -> Iterator[str]:
    """Name the parts of a loss from which nothing can be learned.

    Args:
        parts: Term, or ``TASK``, to its weighted value.
    """
    for name, value in parts.items():
        if not isfinite(value):
            yield (
                f"{name} is {value} on the first batch, so that nothing can be learned; "
                "check --init_param, the features and their statistics"
            )


def judge_parts(parts: Mapping[str, float]) -> Iterator[str]:
    """Doubt parts of a loss of which one drowns another.

    Args:
        parts: Term, or ``TASK``, to its weighted value.
    """
    heard = {name: abs(v) for name, v in parts.items() if v and isfinite(v)}
    if len(heard) < 2:
        return
    least, most = min(heard, key=heard.__getitem__), max(heard, key=heard.__getitem__)
    if heard[most] > LOPSIDED * heard[least]:
        yield (
            f"{most} counts {heard[most]:.3g} in the loss and {least} {heard[least]:.3g}, "
            f"over {LOPSIDED:g} times less, so that the student hardly hears it; change a "
            "weight, or let 'gradients: {every: 50, balance: true}' do it"
        )


def judge_silence(silent: Sequence[str], batches: int) -> Iterator[str]:
    """Doubt terms that say nothing.

    Args:
        silent: Trained terms that were exactly 0 throughout.
        batches: Batches that were looked at.
    """
    if silent:
        yield (
            f"{', '.join(silent)}: exactly 0 on {batches} batches, and a training stops "
            "after an epoch of that; does the teacher say blank on every frame "
            "('frames: all'), does the tapped layer run, does a batch hold more than one "
            "utterance?"
        )


def judge_sameness(same: bool) -> Iterator[str]:
    """Doubt a student that is its teacher."""
    if same:
        yield (
            "student and teacher are one model with the same weights, which has nothing to "
            "teach; name another teacher, or another --init_param"
        )


def judge_errors(
    teacher: str, teacher_errors: float, student_errors: float | None, measure: str
) -> Iterator[str]:
    """Doubt a teacher that knows no more than its student.

    Args:
        teacher: Its name.
        teacher_errors: In percent, on some validation utterances.
        student_errors: The student's as it starts, by the same measure on the same; None
            for a student that is not compared.
        measure: What is counted.
    """
    told = f"teacher {teacher} makes {teacher_errors:.1f} % errors ({measure})"
    if teacher_errors >= UNTRAINED:
        yield (
            f"{told}, as an untrained model does; check that its checkpoint, token list, "
            "statistics and features belong together, or train it"
        )
    elif student_errors is not None and teacher_errors >= student_errors:
        yield (
            f"{told}, and the student as it starts {student_errors:.1f} %: there is "
            "nothing to learn from it; name a better teacher, or train without one"
        )


def judge_start(could: bool) -> Iterator[str]:
    """Doubt random first parameters where the teacher has some to give."""
    if could:
        yield (
            "the student could start from its teacher's parameters and starts at random, "
            "though the teacher's were worth more than any loss where it was measured; "
            "write them by espnet_kd.bin.init_student and give --init_param"
        )


def judge_schedule(
    terms: Iterable[LossTermConfig], common: ScheduleConfig, updates: int
) -> Iterator[str]:
    """Doubt schedules that are longer than the training.

    Args:
        terms: With schedules of their own, or without.
        common: The schedule of those without.
        updates: Of the whole training.
    """
    late: dict[int, list[str]] = {}
    for term in terms:
        warmup = (term.schedule or common).warmup_steps
        if term.weight and warmup > updates:
            late.setdefault(warmup, []).append(term.name)
    for warmup, names in late.items():
        yield (
            f"the weight of {', '.join(names)} rises over {warmup:,} updates and the "
            f"training has {updates:,}, so that it is never reached; shorten "
            "schedule.warmup_steps"
        )


def judge_labels(unknown: int, labels: int) -> Iterator[str]:
    """Doubt a token list that does not know the transcripts.

    Args:
        unknown: Labels that are ``<unk>``.
        labels: All labels that were looked at.
    """
    if labels and unknown > UNKNOWN * labels:
        yield (
            f"{unknown / labels:.0%} of the transcripts' tokens are <unk>; check that "
            "--token_list, --token_type and --bpemodel belong together"
        )


def judge_lengths(short: Sequence[str], utterances: int) -> Iterator[str]:
    """Doubt utterances with more tokens than frames.

    Args:
        short: Names of those.
        utterances: How many there are in all.
    """
    if short:
        yield (
            f"{len(short)} of {utterances} utterances have fewer encoder frames than "
            f"tokens, first {short[0]}, so that CTC has no way through them; drop them "
            "(--min_seconds in stage 4 of the recipe), or subsample less"
        )
