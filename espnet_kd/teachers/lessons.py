"""A teacher that is asked now and then."""

from collections.abc import Mapping
from typing import Any

from espnet_kd.model.training_part import TrainingPart, TrainingPass


class Lessons(TrainingPart):
    """Counts the batches of a training, in every n-th of which its teacher is asked.

    What it says counts n times then, so that the mean over the batches is as it would be
    if it were always asked, and it draws no random number. Validations always ask.

    Args:
        every: n, from 1 on.

    Attributes:
        weight: How many times the batch's terms count; 0 where the teacher is not asked.
    """

    key = "lessons"

    def __init__(self, every: int) -> None:
        self.every = every
        self.batches = 0
        self.weight = 1.0

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Decide on a pass, and count it if the student learns from it."""
        self.weight = 1.0
        if training_pass.learns:
            is_due = self.batches % self.every == 0
            self.weight = float(self.every) if is_due else 0.0
            self.batches += 1

    def describe(self) -> list[str]:
        """How often, and how much it counts."""
        return [
            f"the teacher is asked in every {self.every}th batch of the training alone, "
            f"and its terms count {self.every} times there"
        ]

    def state_dict(self) -> dict[str, Any]:
        """Where a resumed run is among the batches."""
        return {"batches": self.batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up an interrupted run."""
        self.batches = int(state["batches"])
