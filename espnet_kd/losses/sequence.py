"""Sequence-level distillation: the student learns whole hypotheses of the teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor

from espnet_kd.errors import ArgumentCheck
from espnet_kd.losses.base import LOSSES, DistillationLoss, Needs
from espnet_kd.losses.ctc import CTCLoss
from espnet_kd.masking import length_mask, widened
from espnet_kd.targets import Decode, ModelOutputs, NBest, TeacherTargets


def nbest_weights(nbest: NBest, scale: float = 1.0) -> Tensor:
    r"""Posterior of each hypothesis among those found, (B, N), in float64.

    .. math:: w_{bn} = \mathrm{softmax}_n(\mathrm{scale} \cdot \log p(y_{bn} \mid x_b))

    A hypothesis that is not there (length -1) gets 0.
    """
    scores = nbest.log_probs.double() * scale
    scores = scores.masked_fill(nbest.lengths < 0, float("-inf"))
    return scores.softmax(-1).nan_to_num(0.0)


def ctc_nbest(
    student_logits: Tensor,
    lengths: Tensor,
    nbest: NBest,
    *,
    scale: float = 1.0,
    blank_id: int = 0,
    weights: Tensor | None = None,
) -> Tensor:
    r"""CTC loss of the teacher's hypotheses, each by its posterior.

    .. math:: -\frac{1}{B} \sum_b w_b \sum_n P(y_{bn}) \log q(y_{bn} \mid x_b)

    Args:
        student_logits: (B, T, V) before the softmax, any float dtype.
        lengths: Real frames, (B,).
        nbest: The teacher's hypotheses.
        scale: Sharpness of the posterior; 0 weighs all alike.
        blank_id: Index of blank.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance, float32 or wider, not negative. A hypothesis
        longer than the student's frames allow counts 0; without any it is 0, still
        attached to the graph.

    Raises:
        ValueError: If shapes do not fit.

    Source: Takashima et al. An Investigation of a Knowledge Distillation Method for
    CTC Acoustic Models. 2018, section 3.2.
    """
    _check_rows(student_logits, nbest)
    real = length_mask(lengths, student_logits.shape[1])[..., None]
    log_probs = widened(student_logits).masked_fill(~real, 0.0).log_softmax(-1)
    posterior = nbest_weights(nbest, scale).to(log_probs.dtype)  # (B, N)
    by_frame = log_probs.transpose(0, 1)  # (T, B, V)
    total = log_probs.sum() * 0.0
    for index in range(nbest.tokens.shape[1] if len(by_frame) else 0):
        value = F.ctc_loss(
            by_frame,
            nbest.tokens[:, index],
            lengths,
            nbest.lengths[:, index].clamp(min=0),
            blank=blank_id,
            reduction="none",
            zero_infinity=True,
        )
        value = torch.where(lengths > 0, value, 0.0) * posterior[:, index]
        total = total + (value if weights is None else value * weights).sum()
    return total / max(len(lengths), 1)


def token_nbest(
    decode: Decode,
    nbest: NBest,
    *,
    eos_id: int,
    scale: float = 1.0,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy of the attention decoder on the teacher's hypotheses.

    .. math:: -\frac{1}{B} \sum_b w_b \sum_n P(y_{bn}) \sum_u \log q(y_{bnu} \mid
        y_{bn,<u}, x_b)

    with the end of sentence as last label. ``nbest: 1`` is sequence-level distillation
    as it was proposed; more of them approach the teacher's whole distribution.

    Args:
        decode: The student's decoder, see ``Decode``; called once for all hypotheses.
        nbest: The teacher's hypotheses.
        eos_id: Index of start and end of sentence.
        scale: Sharpness of the posterior; 0 weighs all alike.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance, float32 or wider, not negative. Without any
        hypothesis it is 0, still attached to the graph.

    Source: Kim, Rush. Sequence-Level Knowledge Distillation. 2016, section 3.2.
    https://arxiv.org/abs/1606.07947
    """
    batch, count, _ = nbest.tokens.shape
    lengths = nbest.lengths.clamp(min=0).flatten()  # (M,), M = B N
    # A decoder wants no more columns than its longest prefix has.
    width = int(lengths.max()) if len(lengths) else 0
    real = length_mask(lengths, width)
    tokens = nbest.tokens.flatten(0, 1)[:, :width].masked_fill(~real, eos_id)
    edge = tokens.new_full((len(tokens), 1), eos_id)
    rows = torch.arange(batch, device=tokens.device).repeat_interleave(count)
    logits = widened(decode(torch.cat([edge, tokens], 1), lengths + 1, rows))
    # Behind the last token the padding is the end of sentence already.
    wanted = torch.cat([tokens, edge], 1)[..., None]
    keep = length_mask(lengths + 1, width + 1)
    logits = logits.masked_fill(~keep[..., None], 0.0)
    log_probs = logits.log_softmax(-1).gather(2, wanted)[..., 0]
    values = -(log_probs * keep).sum(-1).view(batch, count)
    values = (values * nbest_weights(nbest, scale).to(values.dtype)).sum(-1)
    return (values if weights is None else values * weights).sum() / max(batch, 1)


def _check_rows(logits: Tensor, nbest: NBest) -> None:
    if logits.dim() != 3 or len(logits) != len(nbest.tokens):
        raise ValueError(
            f"student_logits {tuple(logits.shape)} and the teacher_nbest of "
            f"{len(nbest.tokens)} utterances do not belong together"
        )


def _check_search(check: ArgumentCheck, nbest: int, scale: float) -> None:
    check.at_least("nbest", nbest, 1)
    check.not_negative("scale", scale)


@LOSSES.register("ctc_nbest")
class CTCNBest(CTCLoss):
    """``ctc_nbest`` as a term; a live teacher searches with a beam of ``nbest``."""

    def __init__(
        self, *, nbest: int = 4, scale: float = 1.0, head: int | None = None
    ) -> None:
        check = ArgumentCheck()
        check.collect(super().__init__, head=head)
        _check_search(check, nbest, scale)
        check.done()
        self.nbest = nbest
        self.scale = scale

    def needs(self) -> Needs:
        """The student's CTC logits and the teacher's hypotheses."""
        return Needs.union([super().needs(), Needs(nbest=self.nbest)])

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``ctc_nbest``."""
        return ctc_nbest(
            self.student_logits(student),
            student.encoder_out_lens,
            first(teacher.nbest, self.nbest),
            scale=self.scale,
            blank_id=student.blank_id,
            weights=teacher.weights,
        )


@LOSSES.register("token_nbest")
class TokenNBest(DistillationLoss):
    """``token_nbest`` as a term; a live teacher searches with a beam of ``nbest``."""

    def __init__(self, *, nbest: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        check = ArgumentCheck()
        _check_search(check, nbest, scale)
        check.done()
        self.nbest = nbest
        self.scale = scale

    def needs(self) -> Needs:
        """The student's decoder and the teacher's hypotheses."""
        return Needs(nbest=self.nbest, decode=True)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``token_nbest``."""
        return token_nbest(
            student.decode,
            first(teacher.nbest, self.nbest),
            eos_id=student.eos_id,
            scale=self.scale,
            weights=teacher.weights,
        )


def first(nbest: NBest, count: int) -> NBest:
    """The best ``count`` hypotheses of those found."""
    return NBest(
        nbest.tokens[:, :count], nbest.lengths[:, :count], nbest.log_probs[:, :count]
    )
