"""How long a training is: its batches, epochs and updates."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """A whole training.

    Attributes:
        epochs: At most, for a training may stop early.
        batches: Training batches of an epoch.
        valid_batches: Validation batches of an epoch.
        accum_grad: Batches to an update.
    """

    epochs: int
    batches: int
    valid_batches: int
    accum_grad: int = 1

    @property
    def updates(self) -> int:
        """Updates of the whole training."""
        return self.epochs * (self.batches // max(self.accum_grad, 1))

    def seconds(self, step: float, valid_step: float) -> float:
        """Time of the whole training.

        Args:
            step: Seconds of a training step.
            valid_step: Seconds of a validation batch.
        """
        return self.epochs * (self.batches * step + self.valid_batches * valid_step)


def plan_of(train: Any, valid: Any, options: Any) -> Plan | None:
    """Read off a training how long it is; None where ESPnet's iterators do not say.

    Args:
        train: ESPnet's factory of iterators over the training data.
        valid: The same of the validation data.
        options: ESPnet's options of the trainer.
    """
    try:
        counts = (len(train.build_iter(1)), len(valid.build_iter(1)))
    except (AttributeError, TypeError):  # iterators over chunks, or somebody else's
        return None
    return Plan(options.max_epoch, *counts, options.accum_grad)
