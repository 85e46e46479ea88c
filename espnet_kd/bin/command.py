"""How a command ends when it cannot do what it was asked."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from espnet_kd.errors import ArgumentsError, KDError


@contextmanager
def named_errors(command: str) -> Iterator[None]:
    """End the program with a sentence, not a traceback, where one of our errors says why.

    Args:
        command: The program's name, put before it.

    Raises:
        SystemExit: In place of a ``KDError`` or ``ArgumentsError``; the status is 1.
    """
    try:
        yield
    except (KDError, ArgumentsError) as error:
        sys.exit(f"{command}: {error}")
