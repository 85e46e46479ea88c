"""The configurations that come with the package, found by their names."""

import os
from dataclasses import dataclass
from pathlib import Path

import espnet_kd
from espnet_kd.errors import KDError, suggest

PACKAGE = Path(espnet_kd.__file__).parent
# In a wheel they lie inside the package, in a checkout beside it.
FOLDERS = (PACKAGE / "conf" / "kd", PACKAGE.parent / "conf" / "kd")
HEADS = ("Needs", "Costs", "Why")


@dataclass(frozen=True)
class ShippedConf:
    """A configuration file and what its head says of it.

    Attributes:
        name: By which ``--kd_conf`` finds it.
        path: Where it is installed.
        purpose: What it is for, a sentence.
        cost: What it costs in training.
    """

    name: str
    path: Path
    purpose: str
    cost: str


def shipped_confs() -> list[ShippedConf]:
    """Every configuration of the package, by name."""
    return [_described(path) for path in _paths()]


def find_conf(text: str) -> Path:
    """Find a configuration by its file or by its name.

    A file goes before a name: ``--kd_conf scarce`` is ``scarce`` or ``scarce.yaml`` of
    the working directory if there is one.

    Raises:
        KDError: If it is neither, with the names that there are.
    """
    for path in (Path(text), Path(f"{text}.yaml")):
        if os.path.isfile(path):
            return path
    by_name = {path.stem: path for path in _paths()}
    if text in by_name:
        return by_name[text]
    if Path(text).suffix or "/" in text:
        text = "no such file; give a YAML file, or key=value to change one setting"
        raise KDError(text)
    raise KDError(
        "no such file, and no configuration of that name comes with espnet_kd; "
        f"{suggest(text, by_name)}. To change one setting, give key=value"
    )


def _paths() -> list[Path]:
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return sorted(folder.glob("*.yaml")) if folder else []


def _described(path: Path) -> ShippedConf:
    """Read a file's head: its first sentence, and what stands behind ``Costs``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    purpose, cost, place = [], [], "purpose"
    for line in head:
        word = line.partition(" ")[0]
        place = word if word in HEADS else "" if not line else place
        if place == "purpose":
            purpose.append(line)
        elif place == "Costs":
            cost.append(line.removeprefix("Costs").strip())
    return ShippedConf(path.stem, path, " ".join(purpose), " ".join(cost))
