"""Files that are written whole or not at all, and digests of them."""

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from espnet_kd.errors import KDError

LASTING = 3600.0  # seconds; nobody writes a file for longer
OURS = re.compile(r"\.\d+-\d+\.partial$")


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary neighbour of ``path`` that takes its place when all went well.

    Args:
        path: The file to write; its directory is made if it is not there.
        mode: ``w`` for UTF-8 text, ``wb`` for bytes.

    Raises:
        KDError: If the disk is full or cannot be written; ``path`` is then as before.
    """
    # Of this writer alone: two runs of a recipe may write the same file at once.
    writer = f"{os.getpid()}-{threading.get_ident()}"
    partial = path.with_name(f"{path.name}.{writer}.partial")
    encoding = None if "b" in mode else "utf-8"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path.parent)
        with open(partial, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):  # where there is no folder, there is nothing to remove
            partial.unlink()
        text = f"cannot write {path}: {error.strerror or error}"
        raise KDError(f"{text}. Free some space, then run the same again.") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@lru_cache(maxsize=1024)  # a folder is looked through once, however many files it gets
def _remove_left(folder: Path) -> None:
    """Remove what writers left in a folder that were killed more than an hour ago."""
    for left in folder.glob("*.partial"):
        with suppress(OSError):
            if OURS.search(left.name) and time.time() - left.stat().st_mtime > LASTING:
                left.unlink()


def hash_files(paths: Sequence[Path]) -> str:
    """Compute one SHA-256 digest of the contents of files, in order.

    Raises:
        KDError: If one is missing, or no file.
    """
    total = hashlib.sha256()
    for path in paths:
        if not os.path.isfile(path):
            raise KDError(f"{path} is missing, or no file")
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
        total.update(b"\0")
    return total.hexdigest()
