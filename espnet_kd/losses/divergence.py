"""Divergences between rows of logits: the arithmetic that the posterior losses share."""

import math
from typing import Any

import torch
from torch import Tensor

from espnet_kd.masking import widened

# Elements of a block that a processor core's own cache holds several of.
CACHED = 1 << 18


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
    teacher = teacher_logits.detach().to(student.dtype)
    return applied(_KLRows, student, teacher, temperature, None)


def kl_positions(
    student_logits: Tensor, teacher_logits: Tensor, keep: Tensor, temperature: float
) -> Tensor:
    """``kl_rows`` at the kept positions of a padded batch.

    Few of them are copied together first; most of them are not: then everything is
    computed, and what padding holds is left out of value and gradient.

    Args:
        student_logits: (B, L, V).
        teacher_logits: Same shape. Receives no gradient.
        keep: (B, L) bool.
        temperature: As in ``kl_rows``.

    Returns:
        (N,) in the order of the kept positions.
    """
    rows = keep.flatten().nonzero()[:, 0]
    student, teacher = student_logits.flatten(0, 1), teacher_logits.detach().flatten(0, 1)
    if 2 * len(rows) < len(student):
        student, teacher = (z.index_select(0, rows) for z in (student, teacher))
        return kl_rows(student, teacher, temperature)
    student = widened(student)
    dropped = (~keep).flatten().nonzero()[:, 0]
    values = applied(_KLRows, student, teacher.to(student.dtype), temperature, dropped)
    return values.index_select(0, rows) if len(dropped) else values


class _KLRows(torch.autograd.Function):
    """The divergence with its closed-form gradient, tau (q - p).

    Autograd would keep five (N, V) tensors and run as many passes backward; this keeps
    one, and multiplies it once. The gradient needs the probabilities, so the
    normalisers are read off them, which saves the logarithms of all of them: the
    largest is at least 1 / V, and its logarithm is safe.
    """

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        temperature: float,
        dropped: Tensor | None,
    ) -> Tensor:
        values = student.new_empty(len(student))
        slope = torch.empty_like(student) if ctx.needs_input_grad[0] else None
        for part in _blocks(student):
            z_student, z_teacher = student[part], teacher[part]
            if temperature != 1.0:
                z_student, z_teacher = z_student / temperature, z_teacher / temperature
            q, p = z_student.softmax(-1), z_teacher.softmax(-1)
            values[part] = _divergence(z_student, z_teacher, q, p)
            if slope is not None:
                torch.sub(q, p, out=slope[part])
        if slope is not None:
            if temperature != 1.0:
                slope.mul_(temperature)
            if dropped is not None:
                slope.index_fill_(0, dropped, 0.0)
            ctx.save_for_backward(slope)
        return values.mul_(temperature**2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return grad[:, None] * slope, None, None, None


def _divergence(student: Tensor, teacher: Tensor, q: Tensor, p: Tensor) -> Tensor:
    """Sum p (log p - log q) = sum p (z - z') - (log Z - log Z') of each row."""
    apart = log_normaliser(student, q) - log_normaliser(teacher, p)
    value = (teacher - student).mul_(p).sum(-1) + apart
    if value.isfinite().all():
        return value
    # Where p is 0 the term is 0, though its logarithms may be inf - inf.
    gap = (teacher - student).masked_fill_(p == 0, 0.0)
    return gap.mul_(p).sum(-1) + apart


def _blocks(rows: Tensor) -> list[slice]:
    """On a CPU, blocks that stay in its cache; elsewhere everything at once."""
    size = len(rows) if rows.is_cuda else max(CACHED // max(rows.shape[1], 1), 1)
    return [slice(start, start + size) for start in range(0, len(rows), max(size, 1))]


def applied(function: type[torch.autograd.Function], *arguments: object) -> Tensor:
    """The one tensor that a function with its own gradient gives."""
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]  # torch's
    return result


def kl_probs(student: Tensor, teacher: Tensor) -> Tensor:
    """Forward KL divergence of rows that are probabilities already, 0 included, (...).

    Args:
        student: (..., V), 0 or more.
        teacher: Same shape and dtype. Its zeros add nothing.
    """
    tiny = torch.finfo(student.dtype).tiny
    gap = teacher.clamp_min(tiny).log() - student.clamp_min(tiny).log()
    return (teacher * gap).sum(-1)


def log_normaliser(logits: Tensor, probs: Tensor) -> Tensor:
    """Log sum exp of each row, from its softmax."""
    return logits.amax(-1) - probs.amax(-1).log()


def real_log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Log-softmax of a padded batch: 0 at padding, and no gradient to it.

    Args:
        logits: (B, L, V), widened to float32.
        mask: Real positions, (B, L) bool.

    Returns:
        (B, L, V).
    """
    return applied(_RealLogSoftmax, widened(logits), mask)


class _RealLogSoftmax(torch.autograd.Function):
    """PyTorch's own, forward and backward, with the padding taken out of either."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, mask: Tensor) -> Tensor:
        padding = (~mask).nonzero(as_tuple=True)
        result = logits.log_softmax(-1)
        result[padding] = 0.0
        ctx.save_for_backward(result, *padding)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        output, *padding = ctx.saved_tensors
        result = torch._log_softmax_backward_data(grad, output, -1, output.dtype)
        result[tuple(padding)] = 0.0
        return result, None


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
