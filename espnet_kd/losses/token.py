"""Distillation through the attention decoder's posteriors, position by position."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from espnet_kd.config.options import Positive, Share
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.divergence import jsd_rows, kl_positions, reverse_kl_rows
from espnet_kd.losses.measured import MeasuredLoss, PairMeasure
from espnet_kd.masking import (
    Reduction,
    check_pair,
    keep_rows,
    length_mask,
    reduce_positions,
)
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets, given
from espnet_kd.model.prefix import behind_prompt


def token_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    temperature: Positive = 1.0,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of the attention decoders' posteriors.

    .. math::
        \frac{\tau^2}{B} \sum_{b} w_b \sum_{u < \mathrm{lengths}_b}
            \mathrm{KL}(p_{bu} \,\|\, q_{bu})

    with both decoders forced along the same prefix [1]_ [2]_. ``reduction: token``
    divides by the number of real positions instead of :math:`B`.

    Args:
        student_logits: (B, U+1, V) before the softmax, any float dtype.
        teacher_logits: Same shape. Receives no gradient.
        lengths: Real positions, text and end of sentence, (B,), 0 to U+1.
        temperature: Softening :math:`\tau` > 0.
        reduction: ``batch`` (ESPnet's scale) or ``token``.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance (``batch``) or per token (``token``), float32 or
        wider. Without a real position it is 0, still attached to the graph.

    Raises:
        ValueError: If shapes or lengths do not fit.

    .. [1] Hinton et al. 2015, section 2 (see ``kl_rows``).
    .. [2] Kim, Rush. Sequence-Level Knowledge Distillation. 2016, section 3.1.
       https://arxiv.org/abs/1606.07947
    """
    check_pair(student_logits, teacher_logits, lengths, "logits")
    mask = length_mask(lengths, student_logits.shape[1])  # (B, U+1)
    values = kl_positions(student_logits, teacher_logits, mask, temperature)
    return reduce_positions(values, mask, reduction, weights)


def token_reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    temperature: Positive = 1.0,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Reverse KL divergence of the attention decoders' posteriors.

    .. math::
        \frac{\tau^2}{B} \sum_{b} w_b \sum_{u < \mathrm{lengths}_b}
            \mathrm{KL}(q_{bu} \,\|\, p_{bu})

    A student too small to cover the teacher does better to pick what it can say well.
    Arguments, result and errors as in ``token_kl``; the teacher's logits are finite.

    Source: Gu et al. 2024, section 2.1 (see ``reverse_kl_rows``).
    """

    def rows(student: Tensor, teacher: Tensor) -> Tensor:
        return reverse_kl_rows(student, teacher, temperature)

    return _reduced(rows, student_logits, teacher_logits, lengths, reduction, weights)


def token_jsd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    beta: Share = 0.5,
    temperature: Positive = 1.0,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Generalised Jensen-Shannon divergence of the attention decoders' posteriors.

    .. math::
        \frac{1}{B} \sum_{b} w_b \sum_{u < \mathrm{lengths}_b}
            \mathrm{JSD}_\beta(p_{bu}, q_{bu})

    Bounded, so that a position where the teacher is wrong costs little. Arguments,
    result and errors as in ``token_kl``; ``beta`` in (0, 1) as in ``jsd_rows``.

    Source: Agarwal et al. 2024, section 2, equation 1 (see ``jsd_rows``).
    """

    def rows(student: Tensor, teacher: Tensor) -> Tensor:
        return jsd_rows(student, teacher, temperature, beta)

    return _reduced(rows, student_logits, teacher_logits, lengths, reduction, weights)


def _reduced(
    rows: Callable[[Tensor, Tensor], Tensor],
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    reduction: Reduction,
    weights: Tensor | None,
) -> Tensor:
    check_pair(student_logits, teacher_logits, lengths, "logits")
    # Padding leaves before the softmax: whatever it holds reaches nothing.
    mask = length_mask(lengths, student_logits.shape[1])  # (B, U+1)
    student, teacher = (keep_rows(z, mask) for z in (student_logits, teacher_logits))
    return reduce_positions(rows(student, teacher), mask, reduction, weights)


@dataclass(frozen=True, kw_only=True)
class PrefixOptions:
    """Behind which words both decoders are compared.

    Attributes:
        prefix: ``transcript``, or ``student``: the student's own hypothesis, read off its
            CTC in this very pass, errors and all. There the teacher shows how to go on
            behind words that a transcript never holds, and behind one that was left out;
            no transcript is read. It costs another pass of both decoders, and needs a
            live teacher. Two terms, one of each, mix both: their weights say how much of
            which, their schedules when.

    Source: Agarwal et al. On-Policy Distillation of Language Models. 2024, section 3
    (hypotheses are sampled there, and are the decoder's). https://arxiv.org/abs/2306.13649
    """

    prefix: Literal["transcript", "student"] = "transcript"


class TokenLoss(MeasuredLoss, own=PrefixOptions):
    """Common ground of the decoder losses: what they read, see ``PrefixOptions``."""

    function: ClassVar[PairMeasure]
    own: PrefixOptions

    def needs(self) -> Needs:
        """Both decoders' logits along one prefix, compared at a temperature."""
        temperatures = (self.options["temperature"],)
        if self.own.prefix == "student":
            return Needs(best_path=True, hypothesis=temperatures)
        return Needs(decoder=temperatures)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See the function of the same name."""
        logits, lengths = "decoder_logits", "ys_in_lens"
        if self.own.prefix == "student":
            logits, lengths = "hyp_logits", "hyp_in_lens"
        own, other = (given(getattr(side, logits), logits) for side in (student, teacher))
        prompt, lens = student.prompt_lens, given(getattr(student, lengths), lengths)
        return self.bound(self.function)(
            behind_prompt(own, prompt),
            behind_prompt(other, prompt),
            lens if prompt is None else lens - prompt,
            weights=teacher.weights,
        )


@LOSSES.register("token_kl")
class TokenKL(TokenLoss, measure=token_kl):
    """``token_kl`` as a term."""


@LOSSES.register("token_reverse_kl")
class TokenReverseKL(TokenLoss, measure=token_reverse_kl):
    """``token_reverse_kl`` as a term."""


@LOSSES.register("token_jsd")
class TokenJSD(TokenLoss, measure=token_jsd):
    """``token_jsd`` as a term."""
