"""Divergences between rows of logits: the arithmetic that the posterior losses share."""

import math

import torch
from torch import Tensor

from espnet_kd.masking import widened


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
    student = widened(student_logits)
    return _KLRows.apply(student, teacher_logits.detach().to(student.dtype), temperature)


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


def reverse_kl_rows(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> Tensor:
    r"""Reverse KL divergence of each row, :math:`\tau^2 \mathrm{KL}(q_n \| p_n)`.

    It asks the student to stay where the teacher has mass, rather than to cover all of
    it. Arguments and result as in ``kl_rows``; the teacher's logits must be finite.

    Source: Gu et al. MiniLLM. 2024, section 2.1. https://arxiv.org/abs/2306.08543
    """
    student, teacher = _log_probs(student_logits, teacher_logits, temperature)
    return (student.exp() * (student - teacher)).sum(-1) * temperature**2


def jsd_rows(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, beta: float
) -> Tensor:
    r"""Generalised Jensen-Shannon divergence of each row.

    .. math::
        \tau^2 \left[\beta\, \mathrm{KL}(p \| m) + (1 - \beta)\, \mathrm{KL}(q \| m)\right],
        \quad m = \beta p + (1 - \beta) q

    Bounded by :math:`\tau^2 \log 2`, whatever the models say. Arguments and result as in
    ``kl_rows``; ``beta`` in (0, 1) is the teacher's part of the mixture.

    Source: Agarwal et al. On-Policy Distillation. 2024, section 2, equation 1.
    https://arxiv.org/abs/2306.13649
    """
    student, teacher = _log_probs(student_logits, teacher_logits, temperature)
    gap = teacher - student  # log(p / q), exactly 0 where they agree
    forward = -(teacher.exp() * _log_mix(-gap, 1 - beta)).sum(-1)
    reverse = -(student.exp() * _log_mix(gap, beta)).sum(-1)
    return (beta * forward + (1 - beta) * reverse) * temperature**2


def _log_mix(gap: Tensor, share: float) -> Tensor:
    """log(1 - share + share e^gap), exactly 0 at a gap of 0, finite at any."""
    large = gap > 20.0
    small = torch.log1p(share * torch.expm1(gap.masked_fill(large, 0.0)))
    return torch.where(large, gap + math.log(share), small)


def _log_probs(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    student = widened(student_logits)
    logits = (student, teacher_logits.detach().to(student.dtype))
    student, teacher = ((z / temperature).log_softmax(-1) for z in logits)
    return student, teacher
