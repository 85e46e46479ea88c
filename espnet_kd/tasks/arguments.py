"""The ``--kd_conf`` option: a file, or ``key=value`` on top of it."""

import argparse
import copy
from pathlib import Path
from typing import Any

import yaml

from espnet_kd.errors import KDError


class KDConfAction(argparse.Action):
    """Read ``--kd_conf FILE``, then apply each ``--kd_conf a.0.b=value`` in order."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Replace or change what the namespace holds so far."""
        try:
            if "=" in values and not Path(values).exists():
                conf = copy.deepcopy(getattr(namespace, self.dest, None) or {})
                conf = override(conf, values)
            else:
                conf = read_kd_conf(values)
        except KDError as error:
            parser.error(f"--kd_conf {values}: {error}")
        setattr(namespace, self.dest, conf)


def read_kd_conf(path: str) -> dict[str, Any]:
    """Read a YAML file that holds a ``kd_conf``, under that key or bare.

    Raises:
        KDError: If the file is missing, no YAML, or no mapping.
    """
    try:
        conf = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        text = "no such file; give a YAML file, or key=value to change one setting"
        raise KDError(text) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KDError(f"cannot be read: {error}") from None
    if isinstance(conf, dict) and set(conf) == {"kd_conf"}:
        conf = conf["kd_conf"]
    if not isinstance(conf, dict):
        raise KDError(f"holds no mapping but {type(conf).__name__}")
    return conf


def override(conf: dict[str, Any], assignment: str) -> dict[str, Any]:
    """Set one value of a nested configuration: ``losses.0.weight=0.5``.

    Raises:
        KDError: If the path leads through something that has no such part.
    """
    path, _, text = assignment.partition("=")
    *parents, last = path.split(".")
    try:
        value = yaml.safe_load(text)
        place: Any = conf
        for name in parents:
            if isinstance(place, dict):
                place = place.setdefault(name, {})
            else:
                place = place[int(name)]
        if isinstance(place, dict):
            place[last] = value
        else:
            place[int(last)] = value
    except yaml.YAMLError as error:
        raise KDError(f"'{text}' is no YAML value: {error}") from None
    except (ValueError, IndexError, TypeError):
        raise KDError(
            f"there is no '{path}' to set; a list's items are counted from 0, and "
            "overrides come after the file"
        ) from None
    return conf
