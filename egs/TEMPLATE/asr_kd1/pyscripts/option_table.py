"""What a recipe's options are: one of them, and the table of all.

Only the standard library is imported, and Python 3.7 is enough, as in option_kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from option_kinds import Kind

# Says what settings have wrong together; an empty string where nothing is.
Rule = Callable[[Mapping[str, str]], str]


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: Its name, without the dashes, which is its variable's name in the shell.
        default: Its value where none is given, as text.
        kind: What values are good.
        sentence: What it is for, in full sentences.
    """

    name: str
    default: str
    kind: Kind
    sentence: str


@dataclass(frozen=True)
class Table:
    """All options of a script.

    Attributes:
        groups: Options by the heading that ``--help`` gives them.
        rules: What settings that are good one by one may have wrong together.
        of_task: Options that have another value for models of a task, unless one is given.
    """

    groups: Mapping[str, tuple[Option, ...]]
    rules: tuple[Rule, ...] = ()
    of_task: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Option]:
        """Every option by its name."""
        return {option.name: option for group in self.groups.values() for option in group}
