"""Losses between output distributions, and the one KL divergence they share."""

import torch
from torch import Tensor

from espnet_kd.errors import ArgumentCheck
from espnet_kd.losses.base import LOSSES, DistillationLoss, Needs
from espnet_kd.masking import (
    REDUCTIONS,
    check_pair,
    keep_rows,
    length_mask,
    reduce_positions,
)
from espnet_kd.targets import ModelOutputs, TeacherTargets


def kl_rows(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    r"""Forward KL divergence of each row, :math:`\tau^2 \mathrm{KL}(p_n \| q_n)`.

    .. math::
        p = \mathrm{softmax}(z^{\mathrm{teacher}} / \tau), \quad
        q = \mathrm{softmax}(z^{\mathrm{student}} / \tau)

    :math:`\tau^2` keeps the gradient's scale about the same at every temperature
    [1]_. The teacher's entropy is part of the value: equal rows give exactly 0.

    Args:
        student_logits: (N, V), widened to float32 before the softmax.
        teacher_logits: (N, V); log-probabilities do as well; ``-inf`` marks a token
            the teacher excludes. Receives no gradient.
        temperature: :math:`\tau` > 0.

    Returns:
        (N,) in nats, float32 or wider, not negative beyond rounding.

    .. [1] Hinton, Vinyals, Dean. Distilling the Knowledge in a Neural Network.
       2015, section 2. https://arxiv.org/abs/1503.02531
    """
    dtype = torch.promote_types(student_logits.dtype, torch.float32)
    return _KLRows.apply(
        student_logits.to(dtype), teacher_logits.detach().to(dtype), temperature
    )


class _KLRows(torch.autograd.Function):
    """The divergence with its closed-form gradient.

    Autograd would keep five (N, V) tensors and run as many passes backward; this keeps
    one, tau (q - p), and multiplies it once.
    """

    @staticmethod
    def forward(ctx, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        if temperature != 1.0:
            student, teacher = student / temperature, teacher / temperature
        probs = teacher.softmax(-1)
        gap = teacher.log_softmax(-1).sub_(student.log_softmax(-1))
        value = (probs * gap).sum(-1)
        if not value.isfinite().all():
            # Where p is 0 the term is 0, though its logarithms may be inf - inf.
            value = (probs * gap.masked_fill_(probs == 0, 0.0)).sum(-1)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(student.softmax(-1).sub_(probs).mul_(temperature))
        return value * temperature**2

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grad[:, None] * slope, None, None


def token_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    temperature: float = 1.0,
    reduction: str = "batch",
) -> Tensor:
    r"""Forward KL divergence of the attention decoders' posteriors.

    .. math::
        \frac{\tau^2}{B} \sum_{b} \sum_{u < \mathrm{lengths}_b}
            \mathrm{KL}(p_{bu} \,\|\, q_{bu})

    with both decoders forced along the same prefix [1]_ [2]_. ``reduction: token``
    divides by the number of real positions instead of :math:`B`.

    Args:
        student_logits: (B, U+1, V) before the softmax, any float dtype.
        teacher_logits: Same shape. Receives no gradient.
        lengths: Real positions, text and end of sentence, (B,), 0 to U+1.
        temperature: Softening :math:`\tau` > 0.
        reduction: ``batch`` (ESPnet's scale) or ``token``.

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
    # Padding leaves before the softmax: whatever it holds reaches nothing.
    mask = length_mask(lengths, student_logits.shape[1])  # (B, U+1)
    student, teacher = (keep_rows(z, mask) for z in (student_logits, teacher_logits))
    values = kl_rows(student, teacher, temperature)  # (N,)
    return reduce_positions(values, len(lengths), reduction)


@LOSSES.register("token_kl")
class TokenKL(DistillationLoss):
    """``token_kl`` as a term: attention decoder posteriors, see the function."""

    def __init__(self, *, temperature: float = 1.0, reduction: str = "batch") -> None:
        super().__init__()
        check = ArgumentCheck()
        check.positive("temperature", temperature)
        check.one_of("reduction", reduction, REDUCTIONS)
        check.done()
        self.temperature = temperature
        self.reduction = reduction

    def needs(self) -> Needs:
        """Both decoders' logits."""
        return Needs(decoder=True)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``token_kl``."""
        return token_kl(
            student.decoder_logits,
            teacher.decoder_logits,
            student.ys_in_lens,
            temperature=self.temperature,
            reduction=self.reduction,
        )
