"""Some of a batch's utterances, of anything that holds tensors of one row for each."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from torch import Tensor

from espnet_kd.model.outputs import ModelOutputs

Anything = TypeVar("Anything")
Outputs = TypeVar("Outputs", bound=ModelOutputs)


def changed_tensors(value: Anything, change: Callable[[Tensor], Tensor]) -> Anything:
    """The same with every tensor changed, those in dataclasses and mappings as well."""
    found: Any = value
    if isinstance(value, Tensor):
        found = change(value)
    elif isinstance(value, dict):
        found = {key: changed_tensors(one, change) for key, one in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        held = {f.name: getattr(value, f.name) for f in fields(value)}
        found = replace(value, **{n: changed_tensors(v, change) for n, v in held.items()})
    kept: Anything = found
    return kept


def utterances_of(outputs: Outputs, rows: Tensor) -> Outputs:
    """What a model says about some utterances of a batch.

    Args:
        outputs: Of B utterances.
        rows: Their places, (N,).
    """
    some = changed_tensors(outputs, lambda tensor: tensor[rows])
    decode = outputs.decode
    if decode is not None:
        some = replace(some, decode=lambda ys, lens, at: decode(ys, lens, rows[at]))
    return some
