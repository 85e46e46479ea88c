"""What is asked of a model's pass, and the labels that a guest is forced along."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

# Whether a part is wanted, how many of it, or which ones of it.
Wanted = bool | int | tuple[Any, ...]


class Request(Mapping[str, Wanted]):
    """Parts of a model's output by name, each with how much of it is wanted.

    A name is a row of ``espnet_kd.model.table.OUTPUTS``. What is not wanted (False, 0,
    no names) is as if it had not been mentioned, so that equal requests are equal.

    Args:
        wanted: True for a part that is wanted or not, a number for one that is counted,
            names for one that is listed: ``Request(ctc=True, nbest=4, taps=("encoder",))``.
    """

    def __init__(self, **wanted: Wanted) -> None:
        self._wanted = {name: value for name, value in sorted(wanted.items()) if value}

    def __getitem__(self, name: str) -> Wanted:
        """How much of a part is wanted."""
        return self._wanted[name]

    def __iter__(self) -> Iterator[str]:
        """Names of the parts that are wanted."""
        return iter(self._wanted)

    def __len__(self) -> int:
        """How many parts are wanted."""
        return len(self._wanted)

    def __hash__(self) -> int:
        """Equal requests have one hash."""
        return hash(tuple(self._wanted.items()))

    def __repr__(self) -> str:
        """The request as it would be written."""
        return f"Request({', '.join(f'{k}={v!r}' for k, v in self._wanted.items())})"

    def listed(self, name: str) -> tuple[Any, ...]:
        """Which ones of a listed part are wanted; none if it is not."""
        value = self._wanted.get(name, ())
        return value if isinstance(value, tuple) else ()

    def count(self, name: str) -> int:
        """How many of a counted part are wanted."""
        value = self._wanted.get(name, 0)
        return 0 if isinstance(value, tuple) else int(value)

    def changed(self, **wanted: Wanted) -> "Request":
        """The same request with some parts wanted differently."""
        return Request(**{**self._wanted, **wanted})

    @classmethod
    def union(cls, requests: Iterable["Request"]) -> "Request":
        """What all of some requests want together."""
        joined: dict[str, Wanted] = {}
        for request in requests:
            for name, value in request.items():
                joined[name] = _join(joined[name], value) if name in joined else value
        return cls(**joined)


@dataclass(frozen=True)
class Labels:
    """What a guest's decoder is forced along.

    Attributes:
        ys_in_pad: An attention decoder's prefix, (B, U+1), as the student's was given.
        ys_in_lens: Its lengths, (B,).
        ys_pad: The transcript, (B, U).
        ys_lens: Its lengths, (B,).
        hyp_in_pad: The student's own hypothesis as a prefix, (B, U'+1).
        hyp_in_lens: Its lengths, (B,).
    """

    ys_in_pad: Tensor | None = None
    ys_in_lens: Tensor | None = None
    ys_pad: Tensor | None = None
    ys_lens: Tensor | None = None
    hyp_in_pad: Tensor | None = None
    hyp_in_lens: Tensor | None = None


def _join(one: Wanted, other: Wanted) -> Wanted:
    """Any of two flags, the most of two counts, each of the names once."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return tuple(dict.fromkeys((*one, *other)))
    if isinstance(one, tuple) or isinstance(other, tuple):
        raise TypeError(f"one part is wanted both as {one!r} and as {other!r}")
    return max(one, other)
