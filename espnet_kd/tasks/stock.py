"""What a mix-in may expect of the stock class that it stands in front of.

ESPnet carries no types, and its classes come second among the bases of KD classes. To a
type checker these classes stand for them; in a running program they are ``object``.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:

    class StockTask:
        """What ``KDTask`` goes on to of ESPnet's ``AbsTask``."""

        trainer: type

        @classmethod
        def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
            """Add the task's own arguments."""

        @classmethod
        def check_required_command_args(cls, args: argparse.Namespace) -> None:
            """Require what every training needs."""

        @classmethod
        def build_model(cls, args: argparse.Namespace) -> nn.Module:
            """Build the model of a training's arguments."""

        @classmethod
        def build_model_from_file(
            cls,
            config_file: Path | str | None = None,
            model_file: Path | str | None = None,
            device: str = "cpu",
        ) -> tuple[nn.Module, argparse.Namespace]:
            """Load a model that was trained."""

        @classmethod
        def build_collate_fn(
            cls, args: argparse.Namespace, train: bool
        ) -> Callable[..., Any]:
            """Build what makes a batch of samples."""

        @classmethod
        def build_optimizers(
            cls, args: argparse.Namespace, model: nn.Module
        ) -> list[torch.optim.Optimizer]:
            """Build the optimizers of a model."""

        @classmethod
        def main_worker(cls, args: argparse.Namespace) -> None:
            """Train."""

    class StockTrainer:
        """What ``KDTrainer`` goes on to of ESPnet's ``Trainer``."""

        @classmethod
        def run(cls, *, model: nn.Module, trainer_options: Any, **kwargs: Any) -> None:
            """Train."""

        @classmethod
        def resume(cls, *, model: nn.Module, reporter: Any, **kwargs: Any) -> None:
            """Take up an interrupted training."""

        @classmethod
        def train_one_epoch(cls, *, model: nn.Module, **kwargs: Any) -> bool:
            """Train an epoch; whether all of its steps were invalid."""

        @classmethod
        def validate_one_epoch(cls, *, model: nn.Module, **kwargs: Any) -> None:
            """Validate after an epoch."""

        @classmethod
        def plot_attention(cls, *, model: nn.Module, **kwargs: Any) -> None:
            """Draw the model's attention."""

    class StockLightningModule:
        """What KD modules go on to of ESPnet's Lightning modules."""

        config: Any
        model: nn.Module
        trainer: Any

        def __init__(self, *args: Any) -> None:
            """Take what the trainer's program gives."""

        def configure_callbacks(self) -> list[Any]:
            """Give callbacks of the module's own."""

        def train_dataloader(self) -> Any:
            """Build the loader of an epoch."""

        def val_dataloader(self) -> Any:
            """Build the loader of a validation."""

else:
    StockTask = StockTrainer = StockLightningModule = object
