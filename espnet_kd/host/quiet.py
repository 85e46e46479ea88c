"""What ESPnet says of itself, kept from whoever runs a command."""

import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import IO


def quiet_import(name: str) -> ModuleType:
    """Import a module of ESPnet's, and keep from the terminal what that says.

    It tries to download data for nltk, misses flash attention and warns of deprecations
    in its own source: nothing that whoever runs a command can do anything about. A module
    that is there already says nothing, and the terminal is left alone.

    Raises:
        BaseException: What the import raised, after all that it said.
    """
    if name in sys.modules:
        return importlib.import_module(name)
    with _silence():
        return importlib.import_module(name)


@contextmanager
def without_deprecations() -> Iterator[None]:
    """Leave out ESPnet's warnings of what its own source will have to change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="espnet2")
        yield


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what is said from the terminal, unless the block fails."""
    with tempfile.TemporaryFile() as said:
        try:
            with _terminal_to(said), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except BaseException:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise


@contextmanager
def _terminal_to(file: IO[bytes]) -> Iterator[None]:
    """Turn the descriptors away, and not ``sys.stderr``.

    Libraries make handlers for their logs as they are imported, which would go on writing
    to what stood in for it.
    """
    _flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    try:
        for number in kept:
            os.dup2(file.fileno(), number)
        yield
    finally:
        _flush()
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
