"""What may be wrong with a file, from a flipped byte to a trap, by kinds of files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hostile import archives, documents, tables, tensors, traps
from hostile.files import rewrite

Change = Callable[[Path, Random, Path], None]
KINDS = {
    ".yaml": ("text", "document", "yaml"),
    ".json": ("text", "document", "json"),
    ".jsonl": ("text", "table", "jsonl"),
    ".pth": ("tensors",),
    ".zip": ("packed",),
    ".gz": ("tar",),
    ".npz": ("statistics",),
    ".ark": ("ark",),
    ".flac": ("audio",),
    ".model": (),
}


@dataclass(frozen=True)
class Mutation:
    """One thing that may be wrong.

    Attributes:
        name: As cases call it.
        kind: Of the files that it is for; ``any`` for all.
        apply: Makes a file so, by a seeded order, with a canary for what may not run.
    """

    name: str
    kind: str
    apply: Change


def flip(path: Path, order: Random, _canary: Path) -> None:
    """Flip one to eight bits."""
    data = bytearray(path.read_bytes())
    for _ in range(order.randint(1, 8)):
        data[order.randrange(len(data))] ^= 1 << order.randrange(8)
    rewrite(path, bytes(data))


def cut(path: Path, order: Random, _canary: Path) -> None:
    """Cut the end off."""
    data = path.read_bytes()
    rewrite(path, data[: order.randrange(len(data))])


def hole(path: Path, order: Random, _canary: Path) -> None:
    """Take some bytes away in the middle."""
    data = path.read_bytes()
    start = order.randrange(len(data))
    rewrite(path, data[:start] + data[start + order.randint(1, 64) :])


def zeros(path: Path, order: Random, _canary: Path) -> None:
    """Overwrite a part with zeros, as a full disk does."""
    data = path.read_bytes()
    start = order.randrange(len(data))
    end = min(len(data), start + order.randint(1, 512))
    rewrite(path, data[:start] + bytes(end - start) + data[end:])


def noise(path: Path, order: Random, _canary: Path) -> None:
    """Replace everything by random bytes."""
    rewrite(path, order.randbytes(order.randint(1, 4000)))


def empty(path: Path, _order: Random, _canary: Path) -> None:
    """Leave nothing."""
    rewrite(path, b"")


def twice(path: Path, _order: Random, _canary: Path) -> None:
    """Append everything again."""
    rewrite(path, path.read_bytes() * 2)


def other(path: Path, order: Random, _canary: Path) -> None:
    """Replace it by a healthy file of another kind."""
    root = next(p for p in path.parents if (p / "tokens.txt").exists())
    names = ("exp/valid.acc.ave.pth", "packed.zip", "data/text", "kd.yaml", "cost.json")
    chosen = order.choice([name for name in names if Path(name).suffix != path.suffix])
    rewrite(path, (root / chosen).read_bytes())


def _of(kind: str, *changes: Change) -> dict[str, Mutation]:
    return {c.__name__: Mutation(c.__name__, kind, c) for c in changes}


MUTATIONS = {
    **_of("any", flip, cut, hole, zeros, noise, empty, twice, other),
    **_of("any", *traps.CHANGES),
    **_of("text", *documents.TEXT),
    **_of("document", *documents.DOCUMENT),
    **_of("yaml", *documents.YAML),
    **_of("json", *documents.JSON),
    **_of("jsonl", *documents.LINES),
    **_of("table", *tables.CHANGES),
    **_of("index", *tables.INDEX),
    **_of("tensors", *tensors.CHECKPOINTS),
    **_of("statistics", *tensors.STATISTICS),
    **_of("ark", *tensors.ARCHIVES),
    **_of("audio", *tensors.AUDIO),
    **_of("cache", *tensors.FORGERIES),
    **_of("packed", *archives.PACKED),
    **_of("tar", *archives.TAR),
}


def kinds_of(file: str) -> tuple[str, ...]:
    """The kinds that a file is of."""
    path = Path(file)
    kinds = KINDS.get(path.suffix, ("text", "table"))
    if path.suffix == ".scp":
        kinds += ("index",)
    if file.startswith("cache/"):
        kinds += ("cache",)
    return ("any", *kinds)


def mutations_of(file: str) -> list[str]:
    """What may be wrong with a file."""
    kinds = kinds_of(file)
    return [m.name for m in MUTATIONS.values() if m.kind in kinds]
