"""Models built from settings that somebody else wrote."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from espnet_kd.errors import ExperimentError, KDError, reason_of

# Bytes of a number; a model that is built is in float32.
WIDTH = 4
# A constructor may make parameters that it replaces, or shares.
SPARE = 4
REMEDY = "is it the config.yaml of this model and task, unchanged?"


@dataclass(frozen=True)
class Room:
    """How large a model may become while it is built.

    Attributes:
        tensors: Number of parameters, each of any size.
        numbers: Number of the numbers in all of them.
    """

    tensors: int
    numbers: int

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> "Room":
        """Room for the model that a checkpoint is of."""
        # What is really there: a few bytes can be told to be billions of numbers.
        count = sum(v.untyped_storage().nbytes() // v.itemsize for v in weights.values())
        return cls(SPARE * len(weights) + 1000, SPARE * count + 1_000_000)

    @classmethod
    def of_machine(cls) -> "Room":
        """Room for whatever this machine's memory can hold."""
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(100_000, memory // WIDTH)


@contextmanager
def building(head: str, room: Room) -> Iterator[None]:
    """Let ESPnet build a model, and say a sentence of whatever goes wrong.

    Args:
        head: What the sentence begins with: which settings describe no model.
        room: What the model may need; a typing error would fill the memory.

    Raises:
        ExperimentError: If ESPnet cannot build it, or it has no room.
    """
    try:
        with _counted(head, room):
            yield
    except KDError:
        raise
    except Exception as error:  # whatever such settings do to ESPnet's constructors
        raise ExperimentError(f"{head} ({reason_of(error)}); {REMEDY}") from error


@contextmanager
def _counted(head: str, room: Room) -> Iterator[None]:
    """Stop the building of a model, anywhere below, that becomes too large."""
    tensors = numbers = 0

    def count(_module: nn.Module, _name: str, value: Tensor | None) -> None:
        nonlocal tensors, numbers
        if value is None:
            return
        tensors, numbers = tensors + 1, numbers + value.numel()
        if tensors > room.tensors or numbers > room.numbers:
            what = f"{tensors:,} parameters of {numbers:,} numbers are too many"
            raise ExperimentError(f"{head} ({what}); {REMEDY}")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
