"""The ``--kd_conf`` option: a file, or ``key=value`` on top of it; read once a process."""

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

from espnet_kd.config.parse import parse_config
from espnet_kd.config.read import NamedConf, read_kd_conf
from espnet_kd.config.schema import KDConfig
from espnet_kd.errors import KDError
from espnet_kd.losses import LOSSES


class KDConfAction(argparse.Action):
    """Read ``--kd_conf FILE``, then apply each ``--kd_conf a.0.b=value`` in order."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Replace or change what the namespace holds so far."""
        text = str(values)
        try:
            if "=" in text and not os.path.exists(text):
                conf = _so_far(namespace, self.dest).changed(text)
            else:
                conf = read_kd_conf(text)
        except KDError as error:
            parser.error(f"--kd_conf {text}: {error}")
        setattr(namespace, self.dest, conf)


def kd_config(args: argparse.Namespace) -> KDConfig:
    """The validated ``kd_conf`` of a training.

    It is parsed at the first question in a process and remembered by ``args.kd_conf``
    itself, which spawned processes are given unparsed.

    Raises:
        ConfigError: With every problem, and the name of the file.
    """
    conf = _so_far(args, "kd_conf")
    if conf.config is None:
        conf.config = parse_config(conf, LOSSES)
    args.kd_conf = conf
    return conf.config


def named(conf: object, origin: str) -> NamedConf:
    """A raw ``kd_conf`` that knows what to call it in messages.

    Args:
        conf: What a configuration holds.
        origin: Where it is from.

    Raises:
        ConfigError: If it is no mapping.
    """
    if not isinstance(conf, Mapping):
        parse_config(conf, LOSSES, source=origin)  # says that it must be a mapping
    assert isinstance(conf, Mapping), "anything else was refused"
    return NamedConf(conf, origin)


def _so_far(args: argparse.Namespace, name: str) -> NamedConf:
    """The mapping that arguments hold; one of a training's own YAML is named after it."""
    conf = getattr(args, name, None) or {}
    if isinstance(conf, NamedConf):
        return conf
    file = getattr(args, "config", None)
    return named(conf, f"the kd_conf of {file}" if conf and file else "--kd_conf")
