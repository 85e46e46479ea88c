"""What distillation adds to any of ESPnet's tasks."""

import argparse
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.cache.reader import CachedCollate
from espnet_kd.config.schema import KDConfig
from espnet_kd.errors import ConfigError, Problem
from espnet_kd.hook.attach import attach, attachment_of
from espnet_kd.hook.attachment import Attachment
from espnet_kd.hook.judgement import judge_start
from espnet_kd.hook.projections import projections_of
from espnet_kd.host.compat import provide_rnnt_loss, stock_class
from espnet_kd.host.known_tasks import BY_PARTS, TASKS
from espnet_kd.host.release import warn_of_untested_release
from espnet_kd.host.tokens import name_tokens
from espnet_kd.model.families import family_of
from espnet_kd.student.compressed import is_compressed
from espnet_kd.student.forms import load_compressed
from espnet_kd.tasks.arguments import KDConfAction, kd_config
from espnet_kd.tasks.cached import caches_in_use, in_use, open_for_training
from espnet_kd.tasks.example import example_of
from espnet_kd.tasks.start import starts_in_vain
from espnet_kd.tasks.stock import StockTask
from espnet_kd.tasks.trainer import with_distillation
from espnet_kd.teachers.build import check_teachers

LOG = logging.getLogger(__name__)
# Where the optimizer's state holds the attachment's.
STATE = "espnet_kd"
# Models built for inference or as somebody's part are never attached.
_FROM_FILE: ContextVar[bool] = ContextVar("espnet_kd_from_file", default=False)


class KDTask(StockTask):
    """Mix-in in front of a stock task class.

    Without ``--kd_conf`` every method is the stock task's.
    """

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add ``--kd_conf`` to the stock arguments."""
        super().add_task_arguments(parser)
        group = parser.add_argument_group(description="Distillation related")
        group.add_argument(
            "--kd_conf",
            action=KDConfAction,
            default=None,
            help="YAML file of the distillation, or key=value to change one of its "
            "settings, e.g. losses.0.weight=0.5. May be given several times.",
        )

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace) -> None:
        """Refuse a bad ``kd_conf`` before anything is built or spawned."""
        super().check_required_command_args(args)
        if getattr(args, "kd_conf", None):
            config = kd_config(args)
            _check_host(cls, args)
            if getattr(args, "collect_stats", False):
                # The training that follows, perhaps after hours, would say it first.
                check_teachers(config)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> nn.Module:
        """Build the stock model; for training with ``kd_conf``, attach the teacher."""
        provide_rnnt_loss()
        model = super().build_model(args)
        if _distils(args) and not _FROM_FILE.get():
            name_tokens(model, vars(args))
            _attach(cls, model, args)
        return model

    @classmethod
    def build_model_from_file(
        cls,
        config_file: Path | str | None = None,
        model_file: Path | str | None = None,
        device: str = "cpu",
    ) -> tuple[nn.Module, argparse.Namespace]:
        """Load a model as stock ESPnet does, whatever its config says of teachers.

        Compressed models, which stock ESPnet refuses, are loaded as well.
        """
        with _from_file():
            if model_file is None or not is_compressed(Path(model_file)):
                return super().build_model_from_file(config_file, model_file, device)
            config_file = config_file or Path(model_file).parent / "config.yaml"
            model, args = super().build_model_from_file(config_file, None, device)
        load_compressed(model, Path(model_file))
        return model.to(device), args

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool) -> Callable[..., Any]:
        """The stock function; with cached targets, it brings them along."""
        collate = super().build_collate_fn(args, train)
        caches = caches_in_use()
        return CachedCollate(collate, *caches) if caches else collate

    @classmethod
    def build_optimizers(
        cls, args: argparse.Namespace, model: nn.Module
    ) -> list[torch.optim.Optimizer]:
        """Let the optimizer train the projections, and carry our state over a resume.

        A model that somebody else built for this training, as espnetez's
        ``build_model_fn`` does, is attached here.
        """
        attachment = attachment_of(model)
        if attachment is None and _distils(args):
            attachment = _attach(cls, model, args)
        if attachment is None:
            return super().build_optimizers(args, model=model)
        learned = projections_of(model)
        if learned is not None:
            learned.requires_grad_(True)  # whatever freezes a model means the student
        optimizers = super().build_optimizers(args, model=model)
        if attachment.state_dict():
            _carry(attachment, optimizers[0])
        return optimizers

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train with a trainer that knows of the teacher; then as stock."""
        if not _distils(args):
            super().main_worker(args)
            return
        _check_host(cls, args)
        caches = open_for_training(args, kd_config(args))
        stock = cls.trainer
        cls.trainer = with_distillation(stock)
        try:
            with in_use(caches):
                super().main_worker(args)
        finally:
            cls.trainer = stock


def _distils(args: argparse.Namespace) -> bool:
    wanted = bool(getattr(args, "kd_conf", None))
    return wanted and not getattr(args, "collect_stats", False)


def _attach(task: type, model: nn.Module, args: argparse.Namespace) -> Attachment:
    size, config = getattr(args, "input_size", None), kd_config(args)
    example = example_of(task, model, args, config)
    attachment = attach_for_training(model, config, task, size, example)
    for line in judge_start(starts_in_vain(args, model, attachment)):
        LOG.warning(line)
    return attachment


def attach_for_training(
    model: nn.Module,
    config: KDConfig,
    task: type | None,
    input_size: int | None,
    example: Mapping[str, Tensor] | None = None,
) -> Attachment:
    """Attach a model that is about to be trained by a command.

    Args:
        model: The student.
        config: The validated ``kd_conf``.
        task: ESPnet task class of the student, and of its teachers.
        input_size: Width of the features, of a model without front end.
        example: A batch to try both models on; None for one that is made up.
    """
    warn_of_untested_release()
    no_front_end = getattr(model, "frontend", None) is None and family_of(model) is None
    if example is None and no_front_end and input_size:
        frames = torch.zeros(1, 200, int(input_size))
        frames.normal_(generator=torch.Generator().manual_seed(0))
        example = {"speech": frames, "speech_lengths": torch.tensor([200])}
    return attach(model, config, example=example, task=task)


def _check_host(task: type, args: argparse.Namespace) -> None:
    """Refuse ways of running in which distillation would be wrong or lost."""
    problems = []
    distributed = getattr(args, "distributed", False) or getattr(
        args, "multiprocessing_distributed", False
    )
    if args.ngpu > 1 and not distributed:
        text = (
            f"is {args.ngpu} with DataParallel, which runs replicas in threads; add "
            "--multiprocessing_distributed true for one process per GPU"
        )
        problems.append(Problem("ngpu", text))
    for option in ("use_deepspeed", "sharded_ddp"):
        if getattr(args, option, False):
            text = "is not supported together with kd_conf; use plain DDP"
            problems.append(Problem(option, text))
    known = [TASKS[name][1] for name in BY_PARTS]
    if kd_config(args).targets and stock_class(task).__name__ not in known:
        text = (
            "is of recognition: a teacher of this task is asked by its own forward pass, "
            "and what it says is not cached; use 'targets: live'"
        )
        problems.append(Problem("kd_conf.targets", text))
    problems += _own_teachers(args)
    if problems:
        raise ConfigError(problems, "the arguments beside --kd_conf")


def _own_teachers(args: argparse.Namespace) -> Iterator[Problem]:
    """Teachers that are what the training is about to write."""
    output = getattr(args, "output_dir", None)
    for place, teacher in enumerate(kd_config(args).teachers):
        if output and teacher.exp and Path(teacher.exp).resolve() == Path(output).resolve():
            text = (
                "is the training's own --output_dir, whose checkpoints it would overwrite; "
                "train into another directory"
            )
            yield Problem(f"teachers[{place}].exp", text)


def _carry(attachment: Attachment, optimizer: torch.optim.Optimizer) -> None:
    """Keep what distillation learns in the optimizer's state, never in the model's.

    ESPnet writes the model's ``state_dict`` both into the resume point and into every
    epoch's model file. The optimizer's goes into the resume point alone.
    """

    def save(_optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, STATE: attachment.state_dict()}

    def load(_optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        attachment.load_state_dict(state.get(STATE, {}))
        return {key: value for key, value in state.items() if key != STATE}

    optimizer.register_state_dict_post_hook(save)
    optimizer.register_load_state_dict_pre_hook(load)


@contextmanager
def _from_file() -> Iterator[None]:
    token = _FROM_FILE.set(True)
    try:
        yield
    finally:
        _FROM_FILE.reset(token)
