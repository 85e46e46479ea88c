"""What a command says that is given ``--kd_conf`` and has no distillation."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from espnet_kd.host.known_tasks import REFUSED, TRAININGS

# As argparse reports an option, and ESPnet a key of its training configuration.
UNKNOWN = re.compile(r"unrecognized arguments: (.*\s)?(--)?kd_conf([\s=]|$)", re.DOTALL)


@contextmanager
def explained_kd_conf() -> Iterator[None]:
    """Let parsers that do not know ``--kd_conf`` say in a sentence which do.

    Stock parsers print their whole usage, then "unrecognized arguments". Whatever else
    they refuse is left to them, and so is every parser that knows the option.
    """
    stock = argparse.ArgumentParser.error

    def error(self: argparse.ArgumentParser, message: str) -> NoReturn:
        if UNKNOWN.match(message):
            self.exit(2, f"espnet_kd: {_sentence(self.prog)}\n")
        stock(self, message)

    # The parsers of stock modules are made deep inside of them: their class is the one
    # place where all of them can be reached.
    argparse.ArgumentParser.error = error  # type: ignore[method-assign]  # see above
    try:
        yield
    finally:
        argparse.ArgumentParser.error = stock  # type: ignore[method-assign]  # put back


def _sentence(program: str) -> str:
    why = REFUSED.get(program.removesuffix(".py"), "")
    why = f" ({why})" if why else ""
    return (
        f"{program} has no distillation, so that its kd_conf would be ignored{why}; these "
        f"have it: {', '.join(TRAININGS)}. Train one of them, or leave the kd_conf out"
    )
