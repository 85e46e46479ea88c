"""``espnet2.bin.lightning_train`` with distillation."""

import argparse
from typing import Any

import torch
from espnet2.train.lightning_espnet_model import LitESPnetModel

from espnet_kd.errors import KDError
from espnet_kd.hook.attach import attachment_of
from espnet_kd.hook.attachment import Attachment
from espnet_kd.tasks.arguments import kd_config
from espnet_kd.tasks.cached import in_use, open_for_training
from espnet_kd.tasks.lightning import DistilledModule


class KDLitESPnetModel(
    DistilledModule,
    LitESPnetModel,  # type: ignore[misc]  # ESPnet carries no types
):
    """ESPnet2's Lightning module; with ``--kd_conf``, its model learns from a teacher.

    The model is attached where the task builds it.

    Args:
        args: Of the training.

    Raises:
        ConfigError: With every problem of the ``kd_conf``, or of what stands beside it.
        KDError: If a cache does not cover the data.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.distils = bool(getattr(args, "kd_conf", None))
        caches = open_for_training(args, kd_config(args)) if self.distils else ()
        super().__init__(args)
        self._caches = caches
        if self.distils:
            # Lightning writes the arguments into its checkpoints: they shall be read
            # without this package, and by torch's loader of weights.
            args.kd_conf = dict(args.kd_conf)
            torch.serialization.add_safe_globals([argparse.Namespace])

    def train_dataloader(self) -> Any:
        """The stock loader; with cached targets, it brings them along."""
        with in_use(self._caches):
            return super().train_dataloader()

    def val_dataloader(self) -> Any:
        """As ``train_dataloader``."""
        with in_use(self._caches):
            return super().val_dataloader()

    def connect(self) -> Attachment:
        """The attachment that the task has made.

        Raises:
            KDError: If it has made none.
        """
        attachment = attachment_of(self.model)
        if attachment is None:
            raise KDError(
                "the model was built without its teacher, as --collect_stats asks; train "
                "without that option"
            )
        return attachment
