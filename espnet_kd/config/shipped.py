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
class DescribedConf:
    """A configuration file and what its head says of it.

    Attributes:
        name: By which ``--kd_conf`` finds it.
        path: Where it is.
        purpose: What it is for, a sentence.
        needs: What has to be there.
        cost: What it costs in training.
    """

    name: str
    path: Path
    purpose: str
    needs: str
    cost: str


def shipped_confs() -> list[DescribedConf]:
    """Every configuration of the package, by name."""
    return [described(path) for path in _paths()]


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


def hidden_by(path: Path) -> Path | None:
    """The package's file of the same name that is another; None where there is none.

    Args:
        path: A file of the working directory, which goes before a name.
    """
    same = (shipped for shipped in _paths() if shipped.stem == path.stem)
    return next((s for s in same if s.read_bytes() != path.read_bytes()), None)


def _paths() -> list[Path]:
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return sorted(folder.glob("*.yaml")) if folder else []


def described(path: Path) -> DescribedConf:
    """Read a file's head: its first sentence, and what it says behind ``HEADS``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    parts: dict[str, list[str]] = {word: [] for word in ("purpose", *HEADS)}
    place = "purpose"
    for line in head:
        word, _, rest = line.partition(" ")
        # An empty line ends a part; commands that follow belong to none.
        place = word if word in HEADS else place if line else ""
        if place:
            parts[place].append(rest.strip() if word in HEADS else line)
    purpose, needs, cost = (" ".join(parts[key]) for key in ("purpose", "Needs", "Costs"))
    return DescribedConf(path.stem, path, purpose, needs, cost)
