"""What distillation adds to a training by Lightning, whichever module it trains."""

import signal
from collections.abc import Callable
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    SingleDeviceStrategy,
)
from lightning.pytorch.trainer.states import TrainerFn

from espnet_kd.errors import ConfigError, KDError, Problem
from espnet_kd.hook.attachment import Attachment
from espnet_kd.tasks.stock import StockLightningModule


class DistillationCallback(Callback):
    """Carries a distillation through ``Trainer.fit``, and over a resume.

    Updates are those that Lightning counts, so that schedules know of accumulation and
    of interrupted runs. What is learned beside the model (projections, an average, sums
    of pruning, balanced weights) lies in the resume point among the callbacks' states,
    and in no file that holds weights only.

    Args:
        connect: Gives the attachment of the model that is trained, and makes it if there
            is none; it is called when a fit begins, before the optimizer is built.
    """

    def __init__(self, connect: Callable[[], Attachment]) -> None:
        self._connect = connect
        self._attachment: Attachment | None = None
        self._trained = False

    @property
    def state_key(self) -> str:
        """Where the resume point holds what distillation learns."""
        return "espnet_kd"

    @property
    def attachment(self) -> Attachment:
        """What ties the model to its teacher.

        Raises:
            KDError: Before a fit.
        """
        if self._attachment is None:
            raise KDError("nothing is distilled before Trainer.fit begins")
        return self._attachment

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Connect the teacher when a fit begins.

        Raises:
            ConfigError: If the trainer cannot distil, see ``check_trainer``.
            KDError: If the teacher cannot be had, or does not fit.
        """
        if stage == "fit":
            check_trainer(trainer)
            self._attachment = self._connect()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside model and optimizer; empty if nothing."""
        return {} if self._attachment is None else self._attachment.state_dict()

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Take up an interrupted run.

        Raises:
            KDError: If it was distilled with other parts, or not at all.
        """
        # Lightning calls load_state_dict only where there is a state: that of a run
        # without distillation would be taken up silently.
        if self._attachment is not None:
            state = checkpoint["callbacks"].get(self.state_key, {})
            self._attachment.load_state_dict(state)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, *_args: Any, **_kwargs: Any
    ) -> None:
        """Tell the schedules how many updates were made."""
        self._count(trainer)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, *_args: Any, **_kwargs: Any
    ) -> None:
        """Count; at the end of an epoch, stop if a term of the objective did nothing."""
        self._trained = True
        self._count(trainer)
        if trainer.is_last_batch:
            self.attachment.objective.check_fired()

    def on_validation_end(self, trainer: lightning.Trainer, *_args: Any) -> None:
        """End the terms by which nothing is gained any more; of a fit's validations."""
        if self._attachment is None:
            return
        endings = self._attachment.objective.endings
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            endings.forget()
        else:
            endings.judge()

    def on_train_end(self, *_args: Any) -> None:
        """Stop a run that ends within an epoch likewise."""
        if self._trained:
            self.attachment.objective.check_fired()

    def _count(self, trainer: lightning.Trainer) -> None:
        window = trainer.accumulate_grad_batches
        self.attachment.count_from(trainer.global_step, window)


class DistilledModule(StockLightningModule):
    """Mix-in in front of one of ESPnet's Lightning modules.

    Attributes:
        distils: Whether its model learns from a teacher.
    """

    distils: bool

    def connect(self) -> Attachment:
        """Give the attachment of its model, made if need be."""
        raise NotImplementedError

    def configure_callbacks(self) -> list[Any]:
        """Add what carries the distillation through the training.

        Raises:
            ConfigError: If the trainer cannot distil.
        """
        stock = list(super().configure_callbacks())
        if not self.distils:
            return stock
        # Here already: processes without distillation would not even find each other.
        check_trainer(self.trainer)
        return [*stock, DistillationCallback(self.connect)]


def check_trainer(trainer: lightning.Trainer) -> None:
    """Refuse ways of running in which distillation would be wrong or lost.

    Raises:
        ConfigError: With everything that is in the way, and what to do.
    """
    problems = []
    strategy = trainer.strategy
    known = isinstance(strategy, SingleDeviceStrategy | DDPStrategy)
    if not known or isinstance(strategy, DeepSpeedStrategy):
        text = f"{type(strategy).__name__} is not supported together with kd_conf; use ddp"
        problems.append(Problem("strategy", text))
    launcher = strategy.launcher
    if launcher is not None and getattr(launcher, "procs", None):
        launcher.kill(signal.SIGKILL)  # or they wait for this one, for minutes
        text = (
            f"{trainer.world_size} processes of which Lightning starts all but the first "
            "without espnet_kd; start all of them alike: torchrun --nproc_per_node "
            f"{trainer.num_devices} -m espnet_kd ..."
        )
        problems.append(Problem("devices", text))
    if problems:
        raise ConfigError(problems, "the trainer beside kd_conf")
