"""How far a long command is, told on stderr."""

import sys
import time

REPORT_SECONDS = 10


class Progress:
    """Tells now and then how much is done, how fast, and how long the rest will take.

    Args:
        total: Number of utterances.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.start = self.shown = time.monotonic()

    def add(self, count: int = 1) -> None:
        """Count utterances that are done; tell if it is time to, or the last is done."""
        self.done += count
        now = time.monotonic()
        if now - self.shown > REPORT_SECONDS or self.done == self.total:
            self.shown = now
            rate = self.done / max(now - self.start, 1e-9)
            left = (self.total - self.done) / rate
            print(
                f"{self.done}/{self.total}, {rate:.1f} a second, {left:.0f} s left",
                file=sys.stderr,
            )
