"""Numbers that explain a distillation before its word error rate does."""

import torch
from torch import Tensor

from espnet_kd.alignment.frames import at_student_frames
from espnet_kd.masking import length_mask
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets

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
        teacher is right.
    """
    stats = {}
    if student.ctc_logits is not None and teacher.ctc_logits is not None:
        stats |= _of_ctc(student, teacher)
    if student.decoder_logits is not None and teacher.decoder_logits is not None:
        stats |= _of_decoder(student, teacher)
    return stats


def _of_ctc(student: ModelOutputs, teacher: TeacherTargets) -> dict[str, Tensor]:
    lengths, blank = student.encoder_out_lens, student.blank_id
    lens = (teacher.encoder_out_lens, lengths)
    logits = at_student_frames(teacher.ctc_logits, *lens, how="spike", blank_id=blank)
    width = int(lengths.max())
    ours, theirs = (z[:, :width].argmax(-1) for z in (student.ctc_logits, logits))
    real = length_mask(lengths, width)  # (B, T)
    spikes = real & (theirs != blank)
    hit, offset = _offsets(ours.masked_fill(~real, blank), theirs, spikes)
    return {
        "kd_blank_student": _part(ours == blank, real),
        "kd_blank_teacher": _part(theirs == blank, real),
        "kd_agree_ctc": _part(ours == theirs, real),
        "kd_spike_hit": hit,
        "kd_spike_offset": offset,
    }


def _offsets(ours: Tensor, theirs: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor]:
    """Part of the spikes met on their frame, and mean offset of those met nearby."""
    width = ours.shape[1]
    nearest = torch.full_like(ours, WINDOW + 1)
    for shift in range(min(WINDOW, width - 1), -1, -1):
        for one, other in ((shift, 0), (0, shift)):
            span = width - shift
            met = ours[:, one : one + span] == theirs[:, other : other + span]
            nearest[:, other : other + span][met] = shift
    found = spikes & (nearest <= WINDOW)
    offset = nearest[found].double().mean().float()  # nan when there are none
    return _part(nearest == 0, spikes), offset


def _of_decoder(student: ModelOutputs, teacher: TeacherTargets) -> dict[str, Tensor]:
    lengths = student.ys_in_lens
    ours, theirs = (z.argmax(-1) for z in (student.decoder_logits, teacher.decoder_logits))
    real = length_mask(lengths, ours.shape[1])
    # The label after each prefix: the next one of it, and the end behind the last.
    labels = student.ys_in_pad.roll(-1, 1)
    last = (lengths - 1).clamp(min=0)[:, None]
    labels = labels.scatter(1, last, student.eos_id)
    return {
        "kd_agree_att": _part(ours == theirs, real),
        "kd_teacher_acc": _part(theirs == labels, real),
    }


def _part(what: Tensor, of: Tensor) -> Tensor:
    """How much of the marked positions is what is asked for; nan of none."""
    return (what & of).sum().float() / of.sum()
