"""Gradient norms of the terms beside the task's own, and weights balanced by them."""

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from espnet_kd.config.schema import GradientConfig
from espnet_kd.model.training_part import TrainingPart

# Of a fresh measurement in a running mean.
FRESH = 0.3
# A term that hardly pulls yet, as a consistency does at first, is not blown up by more.
MOST = 1e3


class GradientMeter(TrainingPart):
    r"""Measures, every so often, how hard each term pulls at the student.

    .. math:: r_i = \lVert w_i \nabla L_i \rVert \,/\, \lVert w_\mathrm{task} \nabla
        L_\mathrm{task} \rVert

    over all trained parameters of the student. With ``balance`` a term's weight says
    what that ratio shall be: its weighted value is divided by the running mean of the
    ratios measured at weight 1 [1]_, which multiplies it by 1000 at most. A measurement
    costs one more backward pass for each term and the task; with n terms, every k
    steps, about (n + 1) / k of them.

    Args:
        config: When to measure, and whether to balance.

    .. [1] Chen et al. GradNorm. 2018, section 3 (with fixed ratios instead of learned).
       https://arxiv.org/abs/1711.02257
    """

    key = "balance"

    def __init__(self, config: GradientConfig) -> None:
        self.config = config
        self.ratios: dict[str, float] = {}
        self.measured = -1

    def is_due(self, step: int) -> bool:
        """Whether to measure at this update; once an update, however many passes."""
        every = self.config.every
        return bool(every) and step % every == 0 and step != self.measured

    def measure(
        self,
        loss_task: Tensor,
        values: Mapping[str, Tensor],
        parameters: Iterable[nn.Parameter],
        step: int,
        weight: Tensor | float = 1.0,
    ) -> None:
        """Take the gradients of the unweighted losses and remember the ratios.

        Those of several processes are added up as ESPnet adds up their losses, so that
        all find what one process would of the joint batch.

        Args:
            loss_task: The task's loss, weighted.
            values: Each term's unweighted value.
            parameters: The student's trained parameters.
            step: Updates made so far.
            weight: What this process's batch counts among all, its utterances.
        """
        self.measured = step
        parameters = list(parameters)
        losses = [loss_task.sum(), *values.values()]
        norms = [_norm(loss, parameters, weight) for loss in losses]
        task, *others = torch.stack(norms).tolist()
        for name, norm in zip(values, others, strict=True):
            ratio = norm / task if task > 0 else float("nan")
            if ratio > 0 and ratio != float("inf"):
                before = self.ratios.get(name, ratio)
                self.ratios[name] = before + FRESH * (ratio - before)

    def factor(self, name: str) -> float:
        """What a term's weighted value is multiplied by."""
        if not self.config.balance or name not in self.ratios:
            return 1.0
        return min(1.0 / self.ratios[name], MOST)

    def pulls(self, weights: Mapping[str, float]) -> dict[str, float]:
        """``grad_<name>``: each term's part of the gradient, by its weight in force."""
        known = {name: r for name, r in self.ratios.items() if name in weights}
        return {f"grad_{name}": ratio * weights[name] for name, ratio in known.items()}

    def state_dict(self) -> dict[str, float]:
        """What a resumed run needs to go on with the same factors."""
        return dict(self.ratios)

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take up the factors of an interrupted run."""
        self.ratios = dict(state)


def _norm(loss: Tensor, parameters: list[nn.Parameter], weight: Tensor | float) -> Tensor:
    """Norm of a loss's gradient; 0 of one that does not reach the student."""
    grads: Sequence[Tensor | None] = [None] * len(parameters)
    if loss.requires_grad:
        grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    if dist.is_available() and dist.is_initialized():
        grads = [_summed(grads, parameters, weight)]
    squares = [grad.float().square().sum() for grad in grads if grad is not None]
    total = torch.stack(squares).sum() if squares else torch.zeros((), device=loss.device)
    return total.sqrt()


def _summed(
    grads: Sequence[Tensor | None],
    parameters: list[nn.Parameter],
    weight: Tensor | float,
) -> Tensor:
    """All gradients in a row, weighted and summed over the processes."""
    # A process that a loss does not reach takes part with zeros, or the others would wait.
    parts = [
        torch.zeros_like(p, dtype=torch.float32) if g is None else g.float() * weight
        for g, p in zip(grads, parameters, strict=True)
    ]
    row = torch.cat([part.flatten() for part in parts])
    dist.all_reduce(row)
    return row
