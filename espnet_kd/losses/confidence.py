"""How sure a teacher is of each utterance."""

import torch
from torch import Tensor

from espnet_kd.losses.ctc_frames import select_frames
from espnet_kd.masking import length_mask, widened
from espnet_kd.model.outputs import TeacherTargets, given


@torch.no_grad()
def confidence(teacher: TeacherTargets) -> Tensor:
    r"""Geometric mean of the teacher's best probabilities, (B,), in (0, 1].

    .. math:: c_b = \exp \frac{1}{N} \sum_n \log \max_v p_{bn}(v)

    over the positions of the attention decoder if there is one, behind the transcript or
    else behind the student's words; else over CTC's spikes, because its blanks are always
    sure (over all frames of an utterance without spikes).
    """
    if teacher.decoder_logits is not None:
        logits = teacher.decoder_logits
        keep = length_mask(given(teacher.ys_in_lens, "ys_in_lens"), logits.shape[1])
        if teacher.prompt_lens is not None:
            keep = keep & ~length_mask(teacher.prompt_lens, logits.shape[1])
    elif teacher.hyp_logits is not None:
        logits = teacher.hyp_logits
        keep = length_mask(given(teacher.hyp_in_lens, "hyp_in_lens"), logits.shape[1])
    else:
        logits = given(teacher.ctc_logits, "ctc_logits")
        keep = _spikes(teacher, logits)
    best = widened(logits).log_softmax(-1).amax(-1)  # (B, L)
    count = keep.sum(1)
    mean = best.masked_fill(~keep, 0.0).sum(1) / count.clamp(min=1)
    return mean.exp()


def _spikes(teacher: TeacherTargets, logits: Tensor) -> Tensor:
    lengths = teacher.encoder_out_lens
    spikes = select_frames(logits, lengths, frames="nonblank", blank_id=teacher.blank_id)
    none = ~spikes.any(1, keepdim=True)
    return torch.where(none, length_mask(lengths, logits.shape[1]), spikes)
