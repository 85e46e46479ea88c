"""Read a ``kd_conf`` from a file, change its settings one by one, remember its name."""

import copy
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from espnet_kd.config.schema import KDConfig
from espnet_kd.config.shipped import find_conf, hidden_by
from espnet_kd.documents import parse_yaml, read_yaml
from espnet_kd.errors import KDError


class NamedConf(dict[str, Any]):
    """A raw ``kd_conf`` that remembers where it was read and what was changed since.

    To YAML, JSON and everybody else it is the plain mapping that it holds. Spawned
    processes and copies get all but ``config``, which is of one process.

    Args:
        settings: The mapping.
        origin: The file it was read from, or what else to call it.
        changes: The ``key=value`` that were applied to it, in order.

    Attributes:
        config: What validation made of it; None until somebody puts it there.
    """

    def __init__(
        self, settings: Mapping[str, Any], origin: str, changes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(settings)
        self.origin = origin
        self.changes = changes
        self.config: KDConfig | None = None

    @property
    def source(self) -> str:
        """What to call it in messages: ``hybrid.yaml (changed by task_weight=0)``."""
        if not self.changes:
            return self.origin
        return f"{self.origin} (changed by {', '.join(self.changes)})"

    def changed(self, assignment: str) -> "NamedConf":
        """A copy in which one setting is another, see ``override``."""
        settings = override(copy.deepcopy(dict(self)), assignment)
        return NamedConf(settings, self.origin, (*self.changes, assignment))

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any], str, tuple[str, ...]]]:
        return NamedConf, (dict(self), self.origin, self.changes)


for _dumper in (yaml.SafeDumper, yaml.Dumper):
    _dumper.add_representer(NamedConf, yaml.SafeDumper.represent_dict)


def read_kd_conf(path: str | Path) -> NamedConf:
    """Read a YAML file that holds a ``kd_conf``, under that key or bare.

    Args:
        path: The file, or the name of one that comes with the package.

    Raises:
        KDError: If there is no such file or name, or it is no YAML, or no mapping.
    """
    given, path = str(path), find_conf(str(path))
    conf = read_yaml(path, "cannot be read")
    if isinstance(conf, dict) and set(conf) == {"kd_conf"}:
        conf = conf["kd_conf"]
    if not isinstance(conf, dict):
        raise KDError(f"holds no mapping but {type(conf).__name__}")
    origin = str(path)
    # Whoever gives a name may mean the package's.
    if path.name == f"{given}.yaml" and path.parent == Path() and hidden_by(path):
        origin += f", which differs from the {given} that comes with espnet_kd"
    return NamedConf(conf, origin)


def override(conf: dict[str, Any], assignment: str) -> dict[str, Any]:
    """Set one value of a nested configuration, in place: ``losses.0.weight=0.5``.

    What is not there yet is made on the way, an item behind a list's last as well:
    ``teachers.0.exp=DIR`` names a teacher where none was named.

    Raises:
        KDError: If the path leads through something that has no such part.
    """
    path, _, text = assignment.partition("=")
    names = path.split(".")
    value = parse_yaml(text, f"'{text}' is no YAML value")
    try:
        place: Any = conf
        for name, following in pairwise(names):
            place = _enter(place, name, [] if following.isdigit() else {})
        _put(place, names[-1], value)
    except (ValueError, IndexError, TypeError):
        raise KDError(
            f"there is no '{path}' to set; a list's items are counted from 0, and "
            "overrides come after the file"
        ) from None
    return conf


def _enter(place: Any, name: str, empty: list[Any] | dict[str, Any]) -> Any:
    """The part of that name; an empty one is put where there is none."""
    part = place.get(name) if isinstance(place, dict) else None
    if isinstance(place, list) and int(name) < len(place):
        part = place[int(name)]
    if part is None:
        _put(place, name, empty)
        return empty
    return part


def _put(place: Any, name: str, value: object) -> None:
    if isinstance(place, list) and int(name) == len(place):
        place.append(value)
    else:
        place[name if isinstance(place, dict) else int(name)] = value
