"""What a loss feels of each weight, heard where an optimizer takes the gradient."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

# The arguments of a step, positional (the optimizer first) and named.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Sensitivity:
    r"""Sums the first-order importance of weights over the updates of a training.

    .. math:: I_w = \sum_u \Big( w \, \frac{\partial L_u}{\partial w} \Big)^2

    with the gradient of a whole update :math:`u`, as the optimizer is given it: summed
    over the batches that are accumulated, averaged over the processes (so that each of
    them finds the same), unscaled and clipped. An update whose gradients are not finite
    counts for nothing.

    Every optimizer of torch is heard, whoever built it and calls it, that holds one of
    the weights.

    Attributes:
        scores: Name to sums of the weight's shape, float32; those of a weight that had
            no gradient are missing.

    Source: Molchanov et al. Importance Estimation for Neural Network Pruning. 2019,
    section 3. https://arxiv.org/abs/1906.10771
    """

    def __init__(self) -> None:
        self.scores: dict[str, Tensor] = {}
        # A tensor once there was an update: reading it would wait for the GPU.
        self._updates: Tensor | int = 0
        self._weights: dict[str, nn.Parameter] = {}
        self._handle = register_optimizer_step_pre_hook(_weakly(self))
        # The hook is the process's; it must not outlive a model that nobody detached.
        weakref.finalize(self, self._handle.remove)

    def watch(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Say which weights are meant, by their names."""
        self._weights = dict(weights)

    @property
    def is_heard(self) -> bool:
        """Whether there was a finite update since the beginning or ``forget``."""
        return bool(self._updates > 0)

    def forget(self) -> None:
        """Begin to sum anew."""
        self.scores, self._updates = {}, 0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with the same sums."""
        return {"scores": dict(self.scores), "updates": int(self._updates)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the sums of an interrupted run."""
        self.scores, self._updates = dict(state["scores"]), state["updates"]

    def remove(self) -> None:
        """Hear no optimizer any more."""
        self._handle.remove()

    def before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Arguments | None:
        """Hear the gradients before a step, or when its closure has found them.

        Args:
            optimizer: The optimizer that is about to step.
            args: What the step was given: the optimizer, and perhaps a closure.
            kwargs: The same by name.

        Returns:
            The arguments with another closure; None to leave them as they are.
        """
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._add(optimizer)
            return None

        def heard() -> Any:
            loss = closure()
            self._add(optimizer)
            return loss

        return args[:1], {**kwargs, "closure": heard}

    @torch.no_grad()
    def _add(self, optimizer: Optimizer) -> None:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        scale = getattr(optimizer, "grad_scale", None)
        products = {
            name: _product(weight, weight.grad, scale)
            for name, weight in self._weights.items()
            if id(weight) in held and weight.grad is not None
        }
        if not products:
            return
        finite = torch.stack([p.sum().isfinite() for p in products.values()]).all()
        overflow = getattr(optimizer, "found_inf", None)
        if overflow is not None:
            finite = finite & (overflow == 0).all()
        for name, product in products.items():
            counted = product.where(finite, 0.0)
            before = self.scores.get(name)
            if before is not None:
                counted += before.to(counted.device)
            self.scores[name] = counted
        self._updates = self._updates + finite.long()


def _product(weight: Tensor, grad: Tensor, scale: Tensor | None) -> Tensor:
    """Squares of weight times gradient, in float32 or wider."""
    product = weight.float() * grad.float()
    # Fused optimizers are given scaled gradients, and unscale them as they step.
    return (product if scale is None else product / scale).square()


def _weakly(sensitivity: Sensitivity) -> Callable[..., Arguments | None]:
    """A hook that does not keep alive what it calls."""
    reference = weakref.ref(sensitivity)

    def hook(
        optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Arguments | None:
        there = reference()
        return there.before_step(optimizer, args, kwargs) if there is not None else None

    return hook
