"""A pickle that runs something."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


class Trap:
    """What makes a file when it is unpickled.

    Args:
        mark: The file.
    """

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.mark), "w")
