"""What stands in a file's place and is none."""

import os
from pathlib import Path
from random import Random


def gone(path: Path, _order: Random, _canary: Path) -> None:
    """Nothing."""
    path.unlink()


def folder(path: Path, _order: Random, _canary: Path) -> None:
    """A directory."""
    path.unlink()
    path.mkdir()


def dangling(path: Path, _order: Random, _canary: Path) -> None:
    """A link to what is not there."""
    path.unlink()
    path.symlink_to("not/there")


def circle(path: Path, _order: Random, _canary: Path) -> None:
    """A link to itself."""
    path.unlink()
    path.symlink_to(path.name)


def device(path: Path, _order: Random, _canary: Path) -> None:
    """A link to a device that never ends."""
    path.unlink()
    path.symlink_to("/dev/zero")


def pipe(path: Path, _order: Random, _canary: Path) -> None:
    """A named pipe that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


CHANGES = (gone, folder, dangling, circle, device, pipe)
