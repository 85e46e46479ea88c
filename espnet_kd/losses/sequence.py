"""Sequence-level distillation: the student learns whole hypotheses of the teacher."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from espnet_kd.alignment.ctc_best import best_path
from espnet_kd.config.check import Check
from espnet_kd.config.options import NotNegative, Ordinal
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.ctc import CTCLoss, HeadOptions
from espnet_kd.losses.divergence import applied, real_log_softmax
from espnet_kd.losses.measured import MeasuredLoss
from espnet_kd.masking import length_mask, widened
from espnet_kd.model.outputs import Decode, ModelOutputs, NBest, TeacherTargets, given
from espnet_kd.model.prefix import decoder_prefix


def nbest_weights(nbest: NBest, scale: float = 1.0) -> Tensor:
    r"""Posterior of each hypothesis among those found, (B, N), in float64.

    .. math:: w_{bn} = \mathrm{softmax}_n(\mathrm{scale} \cdot \log p(y_{bn} \mid x_b))

    A hypothesis that is not there (length -1) gets 0.
    """
    scores = nbest.log_probs.double() * scale
    scores = scores.masked_fill(nbest.lengths < 0, float("-inf"))
    return scores.softmax(-1).nan_to_num(0.0)


def greedy_nbest(logits: Tensor, lengths: Tensor, blank_id: int = 0) -> NBest:
    """The one hypothesis of greedy CTC, see ``best_path``.

    Args:
        logits: (B, T, V), log-probabilities do as well.
        lengths: Real frames, (B,).
        blank_id: Index of blank.

    Returns:
        One hypothesis for each utterance, of score 0: it has no rivals.
    """
    tokens, counts = best_path(logits, lengths, blank_id)
    scores = torch.zeros(len(counts), 1, device=tokens.device)
    return NBest(tokens[:, None], counts[:, None], scores)


def ctc_nbest(
    student_logits: Tensor,
    lengths: Tensor,
    nbest: NBest,
    *,
    scale: NotNegative = 1.0,
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
    shares = nbest_weights(nbest, scale) * (lengths > 0)[:, None]  # (B, N)
    shares = shares if weights is None else shares * weights[:, None]
    student = widened(student_logits)
    shares = shares.to(student.dtype)
    total = applied(_CTCSum, student, lengths, nbest, shares, blank_id)
    return total / max(len(lengths), 1)


class _CTCSum(torch.autograd.Function):
    """Sum of CTC losses of several transcripts, from logits.

    PyTorch's CTC gives for its input, log-probabilities, what is right for the logits
    behind them: softmax less occupancy, which sums to 0 and so passes a log-softmax
    unchanged. It is taken as that, and at once: one tensor waits for the way back.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        lengths: Tensor,
        nbest: NBest,
        shares: Tensor,
        blank: int,
    ) -> Tensor:
        if not logits.shape[1] or not nbest.tokens.shape[1]:
            ctx.save_for_backward(torch.zeros_like(logits))
            return logits.new_zeros(())
        log_probs = logits.log_softmax(-1)
        log_probs[~length_mask(lengths, logits.shape[1])] = 0.0
        with torch.enable_grad():
            log_probs.requires_grad_()
            by_frame = log_probs.transpose(0, 1)  # (T, B, V)
            total = logits.new_zeros(())
            for index in range(nbest.tokens.shape[1]):
                value = F.ctc_loss(
                    by_frame,
                    nbest.tokens[:, index],
                    lengths,
                    nbest.lengths[:, index].clamp(min=0),
                    blank=blank,
                    reduction="none",
                    zero_infinity=True,
                )
                total = (
                    total + torch.where(shares[:, index] > 0, value, 0.0) @ shares[:, index]
                )
            if ctx.needs_input_grad[0]:
                ctx.save_for_backward(*torch.autograd.grad(total, log_probs))
        return total.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        (slope,) = ctx.saved_tensors
        return grad * slope, None, None, None, None


def token_nbest(
    decode: Decode,
    nbest: NBest,
    *,
    eos_id: int,
    sos_id: int | None = None,
    scale: NotNegative = 1.0,
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
        eos_id: Index of the end of a sentence.
        sos_id: Index of its start; None if it is the same.
        scale: Sharpness of the posterior; 0 weighs all alike.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance, float32 or wider, not negative. Without any
        hypothesis the decoder is not run, and it is a plain 0.

    Source: Kim, Rush. Sequence-Level Knowledge Distillation. 2016, section 3.2.
    https://arxiv.org/abs/1606.07947
    """
    batch, count, _ = nbest.tokens.shape
    if not count:
        return torch.zeros((), device=nbest.tokens.device)
    lengths = nbest.lengths.clamp(min=0).flatten()  # (M,), M = B N
    # A decoder wants no more columns than its longest prefix has.
    width = int(lengths.max()) if len(lengths) else 0
    tokens = nbest.tokens.flatten(0, 1)[:, :width]
    sos_id = eos_id if sos_id is None else sos_id
    ys_in, ys_lens = decoder_prefix(tokens, lengths, sos_id, eos_id)
    rows = torch.arange(batch, device=tokens.device).repeat_interleave(count)
    logits = decode(ys_in, ys_lens, rows)
    # Behind the last token the padding is the end of sentence already.
    wanted = F.pad(ys_in[:, 1:], (0, 1), value=eos_id)[..., None]
    keep = length_mask(ys_lens, width + 1)
    log_probs = real_log_softmax(logits, keep).gather(2, wanted)[..., 0]
    values = -(log_probs * keep).sum(-1).view(batch, count)
    values = (values * nbest_weights(nbest, scale).to(values.dtype)).sum(-1)
    return (values if weights is None else values * weights).sum() / max(batch, 1)


def _check_rows(logits: Tensor, nbest: NBest) -> None:
    if logits.dim() != 3 or len(logits) != len(nbest.tokens):
        raise ValueError(
            f"student_logits {tuple(logits.shape)} and the teacher_nbest of "
            f"{len(nbest.tokens)} utterances do not belong together"
        )


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How many hypotheses the teacher gives.

    Attributes:
        nbest: Width of a live teacher's beam, and hypotheses that are learned from.
    """

    nbest: Ordinal = 1


@dataclass(frozen=True, kw_only=True)
class CTCSearchOptions(HeadOptions):
    """How the teacher's hypotheses are found, and which head of the student learns.

    Attributes:
        nbest: As in ``SearchOptions``.
        search: ``beam`` decodes each utterance in every step, which takes longer than
            the step; ``greedy`` reads one hypothesis off the teacher's CTC.
    """

    nbest: Ordinal = 4
    search: Literal["beam", "greedy"] = "beam"


@LOSSES.register("ctc_nbest")
class CTCNBest(CTCLoss, measure=ctc_nbest, own=CTCSearchOptions):
    """``ctc_nbest`` as a term; see ``CTCSearchOptions``."""

    own: CTCSearchOptions

    @property
    def nbest(self) -> int:
        """Hypotheses of a beam; 0 for greedy ones."""
        return self.own.nbest if self.own.search == "beam" else 0

    def check_together(self, check: Check) -> None:
        """A greedy search finds one hypothesis, of no rival's weight."""
        for name in ("nbest", "scale"):
            if name in self.said and self.own.search == "greedy":
                text = "is of a beam's hypotheses, and greedy search finds one; remove it"
                check.add(name, text)

    def needs(self) -> Needs:
        """The student's CTC logits and the teacher's hypotheses."""
        return Needs(ctc=True, interctc=self.heads, nbest=self.nbest)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``ctc_nbest``."""
        if self.nbest:
            nbest = first(given(teacher.nbest, "nbest"), self.nbest)
        else:
            logits = given(teacher.ctc_logits, "ctc_logits")
            nbest = greedy_nbest(logits, teacher.encoder_out_lens, teacher.blank_id)
        return self.bound(ctc_nbest)(
            self.student_logits(student),
            student.encoder_out_lens,
            nbest,
            blank_id=student.blank_id,
            weights=teacher.weights,
        )


@LOSSES.register("token_nbest")
class TokenNBest(MeasuredLoss, measure=token_nbest, own=SearchOptions):
    """``token_nbest`` as a term; a live teacher searches with a beam of ``nbest``."""

    own: SearchOptions

    def needs(self) -> Needs:
        """The student's decoder and the teacher's hypotheses."""
        return Needs(nbest=self.own.nbest, decode=True)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``token_nbest``."""
        return self.bound(token_nbest)(
            given(student.decode, "decode"),
            first(given(teacher.nbest, "nbest"), self.own.nbest),
            eos_id=student.eos_id,
            sos_id=student.sos_id,
            weights=teacher.weights,
        )


def first(nbest: NBest, count: int) -> NBest:
    """The best ``count`` hypotheses of those found."""
    return NBest(
        nbest.tokens[:, :count], nbest.lengths[:, :count], nbest.log_probs[:, :count]
    )
