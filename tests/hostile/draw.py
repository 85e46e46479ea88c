"""Draws of cases: every command, every file of it, every mutation by turns."""

from collections.abc import Iterator
from itertools import cycle, islice
from random import Random

from hostile.commands import COMMANDS
from hostile.mutate import mutations_of
from hostile.trial import Case


def cases(seed: int, count: int, *, slow: bool = True) -> list[Case]:
    """Cases in a seeded order: commands by turns, of each its files and mutations."""
    return list(islice(_endless(seed, slow), count))


def _endless(seed: int, slow: bool) -> Iterator[Case]:
    order = Random(seed)
    own = [_of(c.name, c.reads, order) for c in COMMANDS if slow or not c.slow]
    for number, found in enumerate(cycle(own)):
        command, file, mutation = next(found)
        yield Case(command, file, mutation, seed * 1_000_000 + number)


def _of(
    command: str, files: tuple[str, ...], order: Random
) -> Iterator[tuple[str, str, str]]:
    """What may be wrong with the files of a command, all of it before anything again."""
    pairs = [(file, name) for file in files for name in mutations_of(file)]
    while True:
        for file, mutation in order.sample(pairs, len(pairs)):
            yield command, file, mutation
