"""What two runs of the tests deal out between them.

KD_SHARE   1/2 takes every other of what is dealt, 2/2 the rest, as the two ESPnet lines do
           in tests/run.sh (default: 1/1, everything)
"""

import os
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def share_of(items: Sequence[Item], share: str | None = None) -> list[Item]:
    """The part of a run: every PARTS-th item, beginning with its own number."""
    part, parts = map(int, (share or os.environ.get("KD_SHARE", "1/1")).split("/"))
    return list(items[part - 1 :: parts])
