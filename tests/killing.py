"""A callback of Lightning's that ends its training as a crash would."""

import os
import signal
from typing import Any

from lightning.pytorch.callbacks import Callback


class Kill(Callback):
    """Kill the process by SIGKILL.

    Args:
        epoch: In which epoch, counted from 0.
        batches: After how many batches of it; with 0, as it begins.
    """

    def __init__(self, epoch: int, batches: int) -> None:
        self.epoch, self.batches = epoch, batches

    def on_train_epoch_start(self, trainer: Any, *_args: Any) -> None:
        """Here the resume point of the epoch before lies on the disk."""
        self._die_at(trainer, 0)

    def on_train_batch_end(
        self, trainer: Any, _module: Any, _outputs: Any, _batch: Any, index: int
    ) -> None:
        """Here the model has learned from a part of the epoch."""
        self._die_at(trainer, index + 1)

    def _die_at(self, trainer: Any, batches: int) -> None:
        if (trainer.current_epoch, batches) == (self.epoch, self.batches):
            os.kill(os.getpid(), signal.SIGKILL)
