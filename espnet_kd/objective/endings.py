"""Terms that end when the validation shows nothing more to be gained by them."""

import logging
from collections.abc import Iterable, Mapping
from math import inf, isfinite
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from espnet_kd.config.schema import LossTermConfig
from espnet_kd.model.training_part import TrainingPart, TrainingPass, other_parts

LOG = logging.getLogger(__name__)


class Endings(TrainingPart):
    """Watches the validations for terms with ``until: no_gain``.

    A term has gained if its mean over a validation, unweighted, is below the lowest of
    all validations before. When it has not gained in ``patience`` validations one after
    the other, it counts 0 in the training from then on, for good. In validations it goes
    on to count, so that they are of one function.

    Args:
        terms: Of the objective; those without ``until`` are left alone.
    """

    key = "until"

    def __init__(self, terms: Iterable[LossTermConfig]) -> None:
        self.patience = {term.name: term.patience for term in terms if term.until}
        self.lowest = dict.fromkeys(self.patience, inf)
        self.stale = dict.fromkeys(self.patience, 0)
        self._sums: dict[str, Tensor] = {}

    @property
    def ended(self) -> set[str]:
        """The terms that have ended."""
        return {name for name, most in self.patience.items() if self.stale[name] >= most}

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Judge a validation that nobody has said to be over, when training goes on."""
        if training_pass.learns and self._sums:
            self.judge()

    def note(self, values: Mapping[str, Tensor], weight: Tensor | float) -> None:
        """Take in the terms' values of a batch of a validation, which counts so much."""
        for name in self.patience:
            if name in values:
                counts = torch.as_tensor(weight).double().sum().to(values[name].device)
                both = torch.stack([values[name].detach().double() * counts, counts])
                self._sums[name] = self._sums.get(name, torch.zeros_like(both)) + both

    def forget(self) -> None:
        """Drop what was noted: it was no validation of the training."""
        self._sums = {}

    def judge(self) -> None:
        """End the terms that have not gained; every process must call it."""
        sums, self._sums = self._sums, {}
        running = [name for name in sums if name not in self.ended]
        for name in running:
            total, counts = _everywhere(sums[name]).tolist()
            value = total / counts if counts else inf
            gained = isfinite(value) and value < self.lowest[name]
            self.stale[name] = 0 if gained else self.stale[name] + 1
            if name in self.ended:
                LOG.info(
                    "%s ends: in %d validations one after the other it was not below "
                    "%.4g, last %.4g",
                    *(name, self.patience[name], self.lowest[name], value),
                )
            self.lowest[name] = min(value, self.lowest[name])

    def describe(self) -> list[str]:
        """When each of them ends."""
        return [
            f"{name} ends when it is no longer lower in {most} validations one after the "
            "other"
            for name, most in self.patience.items()
        ]

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on judging."""
        return {"lowest": dict(self.lowest), "stale": dict(self.stale)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up an interrupted run.

        Raises:
            KDError: If other terms end in it.
        """
        if state["stale"].keys() != self.stale.keys():
            raise other_parts(state["stale"], self.stale, "terms that end: ")
        self.lowest, self.stale = dict(state["lowest"]), dict(state["stale"])


def _everywhere(sums: Tensor) -> Tensor:
    """Sums over the processes."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(sums)
    return sums
