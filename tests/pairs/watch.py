"""What is seen of a training while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from pairs.kinds import Conf
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)


@dataclass
class Watch:
    """What was seen of a training.

    Attributes:
        updates: Steps of the optimizer.
        passes: Stats of every pass, with ``train`` or ``valid``.
        model: The student.
        frozen: Parameters that may not change, as they were before the first update.
    """

    updates: int = 0
    passes: list[tuple[str, Conf]] = field(default_factory=list)
    model: Any = None
    frozen: dict[str, torch.Tensor] = field(default_factory=dict)

    def before_update(self, *_: Any) -> None:
        """Keep what is frozen."""
        if not self.updates:
            named = self.model.named_parameters()
            self.frozen = {n: p.clone() for n, p in named if not p.requires_grad}

    def after_update(self, *_: Any) -> None:
        """Count."""
        self.updates += 1


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Count updates, and keep the stats of every pass."""
    from espnet2.train.reporter import SubReporter

    stock = SubReporter.register

    def register(self: Any, stats: Conf, weight: Any = None) -> None:
        if "loss" in stats:  # not of what the optimizer does
            numbers = {k: float(v) for k, v in stats.items() if v is not None}
            watch.passes.append((self.key, numbers))
        stock(self, stats, weight)

    handles = [
        register_optimizer_step_pre_hook(watch.before_update),
        register_optimizer_step_post_hook(watch.after_update),
    ]
    try:
        with mock.patch.object(SubReporter, "register", register):
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def autocast() -> Iterator[None]:
    """What ``--use_amp`` is on a GPU, with bfloat16, on a CPU."""

    def half(*_: Any, **__: Any) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16)

    with mock.patch("espnet2.train.trainer.autocast", half):
        yield
