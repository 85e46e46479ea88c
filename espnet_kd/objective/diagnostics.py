"""Numbers that explain a distillation before its word error rate does."""

import torch
from torch import Tensor

from espnet_kd.alignment.frames import at_student_frames, compared_lens
from espnet_kd.masking import length_mask
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.prefix import behind_prompt

# Frames around a teacher's spike in which the student's is looked for.
WINDOW = 5


@torch.no_grad()
def diagnose(student: ModelOutputs, teacher: TeacherTargets) -> dict[str, Tensor]:
    """Compare what both models say about a batch, from outputs that are there anyway.

    Args:
        student: The student's outputs.
        teacher: The teacher's targets.

    Returns:
        Scalars, those that the outputs allow; nan where a batch has nothing to count.
        ``kd_blank_student``, ``kd_blank_teacher``: part of the frames whose best token is
        blank; ``kd_agree_ctc``: of the frames with the same best token; ``kd_spike_hit``:
        of the teacher's spikes that the student has on the same frame;
        ``kd_spike_offset``: mean distance in frames to the student's nearest spike of
        the same token, of those within 5; ``kd_agree_att``: part of the decoder's
        positions with the same best token; ``kd_teacher_acc``: of those where the
        teacher is right; ``kd_label_student``, ``kd_label_teacher``: mean log-probability
        of a label of the transcript, in nats, its end not counted;
        ``kd_early_end_student``, ``kd_early_end_teacher``: probability of an utterance's
        end before the transcript's, in the mean of the utterances. A beam adds these up
        without regard to length: a student that is less sure of each label, or readier
        to end, than another loses words by it (deletions), though its best tokens agree.
    """
    stats: dict[str, Tensor] = {}
    if student.ctc_logits is not None and teacher.ctc_logits is not None:
        teacher_logits = at_student_frames(
            teacher.ctc_logits,
            student_lens=student.encoder_out_lens,
            teacher_lens=teacher.encoder_out_lens,
            how="spike",
            blank_id=student.blank_id,
        )
        lengths = compared_lens(student.encoder_out_lens, teacher.encoder_out_lens)
        stats |= _of_ctc(student.ctc_logits, teacher_logits, lengths, student.blank_id)
    if student.decoder_logits is not None and teacher.decoder_logits is not None:
        stats |= _of_decoder(student, student.decoder_logits, teacher.decoder_logits)
    return stats


def _of_ctc(
    student_logits: Tensor, teacher_logits: Tensor, lengths: Tensor, blank: int
) -> dict[str, Tensor]:
    width = int(lengths.max())
    real = length_mask(lengths, width)  # (B, T)
    student_best = student_logits[:, :width].argmax(-1)
    teacher_best = teacher_logits[:, :width].argmax(-1)
    spikes = real & (teacher_best != blank)
    hit, offset = _offsets(student_best.masked_fill(~real, blank), teacher_best, spikes)
    return {
        "kd_blank_student": _part(student_best == blank, real),
        "kd_blank_teacher": _part(teacher_best == blank, real),
        "kd_agree_ctc": _part(student_best == teacher_best, real),
        "kd_spike_hit": hit,
        "kd_spike_offset": offset,
    }


def _offsets(
    student_best: Tensor, teacher_best: Tensor, spikes: Tensor
) -> tuple[Tensor, Tensor]:
    """Part of the spikes met on their frame, and mean offset of those met nearby."""
    width = student_best.shape[1]
    nearest = torch.full_like(student_best, WINDOW + 1)
    # From far to near, so that what stays is the nearest.
    for shift in range(min(WINDOW, width - 1), -1, -1):
        for student_at, teacher_at in ((shift, 0), (0, shift)):
            span = width - shift
            met = (
                student_best[:, student_at : student_at + span]
                == teacher_best[:, teacher_at : teacher_at + span]
            )
            nearest[:, teacher_at : teacher_at + span][met] = shift
    found = spikes & (nearest <= WINDOW)
    offset = nearest[found].double().mean().float()  # nan when there are none
    return _part(nearest == 0, spikes), offset


def _of_decoder(
    student: ModelOutputs, student_logits: Tensor, teacher_logits: Tensor
) -> dict[str, Tensor]:
    if student.ys_in_pad is None or student.ys_in_lens is None:
        raise ValueError("decoder_logits come without ys_in_pad and ys_in_lens")
    lengths, prompt = student.ys_in_lens, student.prompt_lens
    student_logits = behind_prompt(student_logits, prompt)
    teacher_logits = behind_prompt(teacher_logits, prompt)
    ys_in = behind_prompt(student.ys_in_pad, prompt)
    lengths = lengths if prompt is None else lengths - prompt
    student_best, teacher_best = student_logits.argmax(-1), teacher_logits.argmax(-1)
    real = length_mask(lengths, student_best.shape[1])
    # The label after each prefix: the next one of it, and the end behind the last.
    labels = ys_in.roll(-1, 1)
    last = (lengths - 1).clamp(min=0)[:, None]
    labels = labels.scatter(1, last, student.eos_id)
    return {
        "kd_agree_att": _part(student_best == teacher_best, real),
        "kd_teacher_acc": _part(teacher_best == labels, real),
        **_of_length("student", student_logits, labels, lengths, student.eos_id),
        **_of_length("teacher", teacher_logits, labels, lengths, student.eos_id),
    }


def _of_length(
    side: str, logits: Tensor, labels: Tensor, lengths: Tensor, eos_id: int
) -> dict[str, Tensor]:
    """What makes a decoder's hypotheses short: doubt at each label, readiness to end."""
    inside = length_mask(lengths - 1, logits.shape[1])  # the end's own position is not
    total = logits.float().logsumexp(-1)  # (B, U+1)
    label = logits.gather(2, labels[..., None])[..., 0].float() - total
    end = (logits[..., eos_id].float() - total).exp()
    goes_on = torch.log1p(-end.clamp(max=1 - 1e-6)).masked_fill(~inside, 0.0).sum(1)
    counted = lengths > 0
    return {
        f"kd_label_{side}": label[inside].mean(),
        f"kd_early_end_{side}": (1 - goes_on.exp())[counted].mean(),
    }


def _part(what: Tensor, of: Tensor) -> Tensor:
    """How much of the marked positions is what is asked for; nan of none."""
    return (what & of).sum().float() / of.sum()
