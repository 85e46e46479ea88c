"""What was decided about a training, a line each, for its log."""

from collections.abc import Collection, Iterator

from torch import nn

from espnet_kd.alignment.frames import describe_bridge
from espnet_kd.config.options import options_of
from espnet_kd.config.schema import KDConfig, LossTermConfig, ScheduleConfig
from espnet_kd.hook.attachment import Attachment
from espnet_kd.hook.first_batch import reads_frames
from espnet_kd.hook.judgement import judge_delay, judge_frames
from espnet_kd.hook.mapping import is_mapped
from espnet_kd.losses import LOSSES
from espnet_kd.model.context import limited_context
from espnet_kd.model.request import Request
from espnet_kd.model.table import rows_of, token_lists
from espnet_kd.objective.schedule import describe_schedule
from espnet_kd.teachers.base import Teacher
from espnet_kd.teachers.build import acoustic_teachers, single_teachers
from espnet_kd.teachers.cached import CachedTeacher
from espnet_kd.teachers.ema import EMATeacher
from espnet_kd.teachers.live import LiveTeacher
from espnet_kd.teachers.vocabulary import vocabulary_of


def decisions(config: KDConfig, attachment: Attachment) -> Iterator[str]:
    """Say which teacher teaches what, how, and what it adds to the student.

    Args:
        config: What was asked for.
        attachment: What came of it, connected.
    """
    student, learned = attachment.model, attachment.objective.projections()
    size = _size(student) - _size(learned)
    kind = type(student).__name__
    yield f"Distillation of {kind}, {size:,} parameters, by {config.source}:"
    if attachment.teacher is not None:
        yield from (f"  {line}" for line in attachment.teacher.describe())
        yield from (f"  {line}" for line in _beside(attachment, attachment.teacher))
    yield f"  the student's own loss counts {config.task_weight:g}"
    for term, at_work in zip(config.losses, attachment.objective.terms, strict=True):
        yield f"  {_term(term, config.schedule)}"
        yield from (f"    {line}" for line in at_work.loss.describe())
        if untold := _defaults(term, getattr(at_work.loss, "said", term.options)):
            yield f"    by default {untold}"
    for name, part in learned.items():
        yield f"  {name}: adds {_size(part):,} parameters of its own, saved with no model"
    yield from (f"  {line}" for line in _settings(config))
    told: list[object] = [attachment.teacher]
    told += single_teachers(attachment.teacher) if attachment.teacher else []
    parts = [part for part in attachment.parts if all(part is not one for one in told)]
    yield from (f"  {line}" for part in parts for line in part.describe())


def doubts(attachment: Attachment) -> Iterator[str]:
    """What is unwise about a training as far as it can be known before a batch is seen."""
    yield from delay_doubts(attachment)
    if attachment.frames and reads_frames(attachment.teacher_request):
        yield from judge_frames(*(int(lens.sum()) for lens in attachment.frames))


def delay_doubts(attachment: Attachment) -> Iterator[str]:
    """Doubt a teacher that spells before its streaming student can.

    The student's own average is left out: their delays are the same. So are cached
    targets, which do not say how they were heard.
    """
    teachers = acoustic_teachers(attachment.teacher) if attachment.teacher else []
    trained = [one for one in teachers if isinstance(one, LiveTeacher)]
    trained = [one for one in trained if not isinstance(one, EMATeacher)]
    if any(not limited_context(one.model) for one in trained):
        terms = [term for term in attachment.objective.terms if term.is_trained]
        named = [term.config.name for term in terms if term.loss.same_frame]
        yield from judge_delay(limited_context(attachment.model), named)


def _beside(attachment: Attachment, teacher: Teacher) -> Iterator[str]:
    """Tokens and frames of both models side by side, and what the teacher costs."""
    request, size = attachment.teacher_request, len(vocabulary_of(attachment.model).text)
    if attachment.family is not None:
        yield f"cost of a step: {_cost(request, teacher)}"
        return
    if is_mapped(teacher):
        yield f"vocabulary: {size:,} tokens, to which the teacher's are mapped"
    elif lists := token_lists(request):
        kinds = " and ".join(sorted(lists))
        yield f"vocabulary: {size:,} tokens, the same in both models (compared: {kinds})"
    else:
        yield f"vocabulary: the student's {size:,} tokens; none of the losses compares any"
    if attachment.frames is None:
        yield "frame rates: told with the first batch, for there was no example to try"
    else:
        yield f"frame rates, of an example: {describe_bridge(*attachment.frames)}"
    yield f"cost of a step: {_cost(request, teacher)}"


def _cost(request: Request, teacher: Teacher) -> str:
    """What the teacher does in every step beside the student."""
    several = single_teachers(teacher)
    if all(isinstance(one, CachedTeacher) for one in several):
        return "no pass of the teacher, its targets are read from disk"
    live = [one for one in several if isinstance(one, LiveTeacher)]
    size = sum(_size(one.model) for one in live)
    parts = ["encoder", *(row.name for row in rows_of(request) if row.name != "taps")]
    if any(one.family is not None for one in live):
        parts = ["all of it"]
    whose = "the student's average" if isinstance(teacher, EMATeacher) else "the teacher"
    whose = f"each of {len(live)} teachers" if len(live) > 1 else whose
    return f"a pass of {whose} without gradient ({', '.join(parts)}; {size:,} parameters)"


def _defaults(term: LossTermConfig, said: Collection[str]) -> str:
    """The options of a loss that were decided for the user, who said the others."""
    options = options_of(LOSSES.get(term.type))
    decided = [o for o in options if o.default not in (o.empty, None)]
    left = [o for o in decided if o.name not in said]
    return ", ".join(f"{o.name}: {o.default}" for o in left)


def _settings(config: KDConfig) -> Iterator[str]:
    """What is set beside teachers and terms."""
    gradients, prune = config.gradients, config.prune
    if gradients.balance:
        yield (
            "weights are balanced: each says how hard its term pulls beside the task's, "
            f"measured every {gradients.every} updates"
        )
    elif gradients.every:
        yield f"the terms' gradients are measured every {gradients.every} updates"
    yield from _validations(config)
    if prune is not None:
        goal = f"below {prune.threshold:g}" if prune.threshold else f"{prune.sparsity:.0%}"
        yield (
            f"prune: {goal} of the {prune.structure} go by {prune.importance} "
            f"({prune.scope}) from update {prune.start} to {prune.end}, every {prune.every}"
        )
    if config.quantize != "none":
        yield f"quantize: linear layers compute as in {config.quantize} while they train"
    if not config.diagnostics:
        yield "diagnostics: the log has no kd_* statistics of posteriors"


def _validations(config: KDConfig) -> Iterator[str]:
    """What 'loss' is in a validation, where that is not the sum that trains."""
    still = ScheduleConfig()
    trained = [term for term in config.losses if term.weight]
    balanced = config.gradients.balance
    if balanced and trained:
        yield "validations: 'loss' is the task's own, for balanced weights never rest"
    elif any((term.schedule or config.schedule) != still for term in trained):
        yield "validations: 'loss' counts each term as at the end of its schedule"
    if trained and not balanced and any(teacher.ema for teacher in config.teachers):
        yield (
            "validations: 'loss' holds the distance to an average that moves with the "
            "student; select and stop by 'acc' or 'loss_task', which compare"
        )


def _term(term: LossTermConfig, common: ScheduleConfig) -> str:
    options = ", ".join(f"{key}: {value}" for key, value in term.options.items())
    name = "" if term.name == term.type else f" as '{term.name}'"
    weight = f"weight {term.weight:g}" if term.weight else "observed only"
    confidence = f", confidence {term.confidence:g}" if term.confidence else ""
    given = f" ({options})" if options else ""
    schedule = _schedule(term, common) if term.weight else ""
    schedule += f"; until: {term.until}" if term.until else ""
    return f"{term.type}{name}: {weight}{given}{confidence}{schedule}"


def _schedule(term: LossTermConfig, common: ScheduleConfig) -> str:
    told = describe_schedule(term.schedule or common)
    return f"; {told}" if told else ""


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
