"""What takes part in a training beside the model: one protocol, and the pass it sees."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from espnet_kd.errors import KDError

# Features (B, T, D), their lengths (B,), and which of the batch's utterances they are if
# not all -> the first two, warped.
Warp = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


@dataclass
class TrainingPass:
    """One pass of the student, before it runs.

    Attributes:
        model: The student.
        batch: What it is about to be given; a part may replace it.
        step: Optimizer updates made so far.
        learns: Whether it is a training pass with gradients.
        doubled: Whether the second half of the batch is the first once more.
        warp: Moves a teacher's features in time as the student's were moved.
    """

    model: nn.Module
    batch: dict[str, Any]
    step: int
    learns: bool
    doubled: bool = False
    warp: Warp | None = None


class TrainingPart:
    """Something that changes, remembers or watches while a student trains.

    An attachment calls each of its parts in turn and knows nothing else of them. What a
    part does not care for, it leaves as it is here.

    Attributes:
        key: Name of its state in the resume point; empty for a part without state.
    """

    key: str = ""

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Act before a pass of the student, in training or evaluation."""

    def after_pass(self) -> None:
        """Act when the pass is over, or when the next one begins after an interruption."""

    def stats(self) -> dict[str, float]:
        """Numbers for the log."""
        return {}

    def describe(self) -> list[str]:
        """Say in a line each what it does to the training, for the log."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside model and optimizer."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up an interrupted run."""

    def remove(self) -> None:
        """Take everything off the model again."""


def other_parts(found: Iterable[str], own: Iterable[str], kind: str = "") -> KDError:
    """The error of a resume point that is of another configuration.

    Args:
        found: Names in the resume point.
        own: Names in this run.
        kind: Of the names, in front of them.
    """
    has = kind + _listed(found)
    return KDError(
        "the checkpoint to resume from was made with other distillation parts "
        f"(it has {has}, this run {_listed(own)}); give the run its former --kd_conf, "
        "or a new --output_dir"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
