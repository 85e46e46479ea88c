"""What differs between ESPnet releases, and the few ESPnet names that teachers need."""

from __future__ import annotations  # keeps torch out of light-weight commands

import argparse
import importlib
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from espnet_kd.errors import KDError, suggest

if TYPE_CHECKING:
    from torch import nn

# Task name -> (module, class) of the stock task, and where our variant is.
TASKS = {
    "asr": ("espnet2.tasks.asr", "ASRTask"),
    "asr_transducer": ("espnet2.tasks.asr_transducer", "ASRTransducerTask"),
    "st": ("espnet2.tasks.st", "STTask"),
}


def task_class(name: str) -> type:
    """The stock task class of a task name.

    Raises:
        KDError: If the name is unknown.
    """
    if name not in TASKS:
        raise KDError(f"unknown task '{name}'; {suggest(name, TASKS)}")
    module, attribute = TASKS[name]
    return stock_class(getattr(importlib.import_module(module), attribute))


def stock_class(task: type) -> type:
    """ESPnet's own class behind a variant of ours."""
    stock = (c for c in task.__mro__ if c.__module__.startswith("espnet2."))
    return next(stock, task)


def build_model(task: type, config: dict[str, Any]) -> nn.Module:
    """Build an untrained model from an experiment's configuration."""
    args = argparse.Namespace(**config)
    model = task.build_model(args)
    if config.get("use_adapter"):
        from espnet2.layers.create_adapter import create_adapter

        create_adapter(model, args.adapter, args.adapter_conf)
    return model


def versions() -> str:
    """Versions that a result depends on, in one line."""

    def found(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} not installed"

    names = ("espnet", "torch", "torchaudio")
    return ", ".join([*map(found, names), f"python {platform.python_version()}"])
