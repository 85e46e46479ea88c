"""A training up to the point at which it would begin, by ESPnet's own path."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
from torch import nn

from espnet_kd.tasks.plan import Plan, plan_of
from espnet_kd.tasks.stock import StockTrainer


@dataclass(frozen=True)
class Prepared:
    """What a trainer would be given.

    Attributes:
        task: ESPnet task class, of this package.
        args: Of the training, on one CPU.
        model: The student as it would start, attached.
        optimizers: Its optimizers.
        train: ESPnet's factory of iterators over the training data.
        valid: The same of the validation data.
        options: ESPnet's options of the trainer.
    """

    task: type[Any]
    args: argparse.Namespace
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    train: Any
    valid: Any
    options: Any

    def plan(self) -> Plan | None:
        """How long the training is."""
        return plan_of(self.train, self.valid, self.options)


Look = Callable[[Prepared], None]


class Rehearsal(StockTrainer):
    """Mix-in in front of a stock trainer class that looks, and trains nothing.

    Attributes:
        look: What is done in place of a training.
        task: ESPnet task class.
        args: Of the training.
    """

    look: ClassVar[Look]
    task: ClassVar[type[Any]]
    args: ClassVar[argparse.Namespace]

    @classmethod
    def run(cls, *, model: nn.Module, trainer_options: Any, **kwargs: Any) -> None:
        """Hand over what a training would begin with."""
        factories = (kwargs["train_iter_factory"], kwargs["valid_iter_factory"])
        given = (cls.task, cls.args, model, kwargs["optimizers"], *factories)
        cls.look(Prepared(*given, trainer_options))


def rehearse(task: type[Any], args: argparse.Namespace, look: Look) -> None:
    """Prepare a training as ESPnet does, and look at it instead of training.

    Parameters are drawn, ``--init_param`` is loaded, the teacher is attached. Nothing is
    written into the training's directory.

    Args:
        task: ESPnet task class, of this package.
        args: Of the training, by its own parser.
        look: What is done in place of the training, while its cached targets are open.

    Raises:
        Exception: Whatever the training would stop with.
    """
    with TemporaryDirectory() as folder:
        alone = on_one_cpu(args, folder)
        with _rehearsing(task, alone, look):
            task.main_worker(alone)


def on_one_cpu(args: argparse.Namespace, output_dir: str) -> argparse.Namespace:
    """The same training in this very process, writing elsewhere and saying little.

    Args:
        args: Of the training.
        output_dir: Where it may write.
    """
    from espnet2.train.distributed_utils import resolve_distributed_mode

    alone = argparse.Namespace(**vars(args))
    alone.output_dir, alone.log_level = output_dir, "ERROR"
    alone.ngpu, alone.num_workers, alone.num_att_plot = 0, 0, 0
    alone.multiprocessing_distributed = False
    alone.dist_world_size = alone.dist_rank = alone.dist_launcher = None
    alone.use_wandb = alone.dry_run = alone.use_amp = False
    resolve_distributed_mode(alone)
    return alone


@contextmanager
def _rehearsing(task: type[Any], args: argparse.Namespace, look: Look) -> Iterator[None]:
    """Put a rehearsal into the place of a task's trainer."""
    stock = task.trainer
    about = {"look": staticmethod(look), "task": task, "args": args}
    task.trainer = type(f"Rehearsed{stock.__name__}", (Rehearsal, stock), about)
    try:
        yield
    finally:
        task.trainer = stock
