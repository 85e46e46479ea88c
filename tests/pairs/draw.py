"""Draws of settings: which ones, and what they make of a training."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TypeVar

from pairs.kinds import Conf, Loss, Setting, Target
from pairs.settings import SETTINGS
from pairs.terms import LOSSES, TARGETS
from pairs.world import changed

Item = TypeVar("Item")
BY_NAME = {s.name: s for s in SETTINGS}
LOSS = {loss.name: loss for loss in LOSSES}
TARGET = {target.name: target for target in TARGETS}
# Whatever can be asked for together.
PAIRS = [pair for pair in combinations(SETTINGS, 2) if pair[0].axis != pair[1].axis]
# The term of pairs/plugin.py, and what it taps of both models.
PLUGIN = {"type": "pairs_plugin", "weight": 0.1}
PLUGIN_TAP = "encoder"


@dataclass(frozen=True)
class Draw:
    """Losses, their targets, and settings that meet.

    Attributes:
        loss: The terms.
        target: Where targets come from.
        settings: What else is asked for, each of another axis.
    """

    loss: Loss
    target: Target
    settings: tuple[Setting, ...]

    def __str__(self) -> str:
        """By which the draw can be repeated: see ``named``."""
        return " ".join(
            [self.loss.name, self.target.name, *(s.name for s in self.settings)]
        )

    def student(self, base: Conf) -> Conf:
        """The student's training config."""
        conf = changed(base, self.loss.both, self.loss.train)
        for setting in self.settings:
            conf = changed(conf, setting.both, setting.train)
        return conf

    def teacher(self, base: Conf) -> Conf:
        """The teacher's model."""
        conf = changed(base, self.loss.both)
        for setting in self.settings:
            conf = changed(conf, setting.both, setting.teacher)
        return conf

    def kd(self, base: Conf) -> Conf:
        """The ``kd_conf``."""
        return changed(base, *(setting.kd for setting in self.settings))

    @property
    def terms(self) -> list[Conf]:
        """The loss terms as they are written in the ``kd_conf``."""
        terms = [*self.loss.terms]
        if any(s.axis == "plugins" for s in self.settings):
            terms.append(PLUGIN)
        changes = [s.term for s in self.settings]
        return [changed(term, *changes) for term in terms]

    @property
    def names(self) -> list[str]:
        """The terms' names in the stats."""
        return [term.get("name", term["type"]) for term in self.terms]

    @property
    def reads_teacher(self) -> bool:
        """Whether any of the losses reads one."""
        return self.names not in (["cr_ctc"], ["mode_consistency"])

    @property
    def view(self) -> str:
        """What teachers hear; empty if it is not said."""
        return "".join(s.view for s in self.settings)

    @property
    def amp(self) -> bool:
        """Whether it computes in bfloat16."""
        return any(s.amp for s in self.settings)

    @property
    def epochs(self) -> tuple[int, ...]:
        """``max_epoch`` of each run."""
        return next((s.epochs for s in self.settings if s.epochs), (1,))

    @property
    def updates(self) -> int:
        """How many there must be."""
        return 3 * self.epochs[-1]

    @property
    def accum_grad(self) -> int:
        """Batches of an update."""
        return self.student({}).get("accum_grad", 1)

    @property
    def task_weight(self) -> float:
        """Of the student's own loss."""
        return self.kd({}).get("task_weight", 1.0)

    @cached_property
    def sparsity(self) -> float | None:
        """Share of weights that may be gone in the end; None if it is not said."""
        return self.kd({}).get("prune", {}).get("sparsity")


def named(text: str) -> Draw:
    """A draw by the names of its loss, its target and its settings."""
    loss, target, *settings = text.split()
    return Draw(LOSS[loss], TARGET[target], tuple(BY_NAME[name] for name in settings))


def draws(seed: int, count: int) -> list[Draw]:
    """Losses and targets by turns, with every pair of settings once, then again."""
    return [draw for draw, _ in zip(_endless(seed), range(count), strict=False)]


def _endless(seed: int) -> Iterator[Draw]:
    order = random.Random(seed)
    losses, targets = _cycle(order, LOSSES), _cycle(order, TARGETS)
    for pair in _cycle(order, PAIRS):
        yield Draw(next(losses), next(targets), pair)


def _cycle(order: random.Random, items: Sequence[Item]) -> Iterator[Item]:
    """All items in a new order each time, for ever."""
    while True:
        yield from order.sample(items, len(items))
