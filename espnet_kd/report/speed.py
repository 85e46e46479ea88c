"""What running a model costs: multiply-accumulates, time, memory."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Timing:
    """Times of one call over several utterances.

    Attributes:
        rtf: Real-time factor, the time over the length of the audio of all utterances.
        latency: Median time of an utterance, in seconds.
        slowest: Time that 9 of 10 utterances stay below, in seconds.
    """

    rtf: float
    latency: float
    slowest: float

    @classmethod
    def of(cls, times: Sequence[float], seconds: Sequence[float]) -> "Timing":
        """Sum up the times of utterances, both in seconds, of at least one utterance."""
        slowest = quantiles(times, n=10)[-1] if len(times) > 1 else times[0]
        return cls(sum(times) / sum(seconds), median(times), slowest)


def time_call(
    call: Callable[[], object], *, warm_up: int = 0, learns: bool = False
) -> float:
    """Time a call.

    Args:
        call: What is timed.
        warm_up: Number of calls before the one that counts.
        learns: Whether gradients are kept for it.

    Returns:
        Seconds.
    """
    with torch.set_grad_enabled(learns):
        for _ in range(warm_up):
            call()
        _wait()
        start = time.perf_counter()
        call()
        _wait()
        return time.perf_counter() - start


def count_macs(call: Callable[[], object]) -> int:
    """Count the multiply-accumulates of a call's matrix products and convolutions.

    Element-wise work (norms, activations, softmax) is not counted, as is usual.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    operations: int = counter.get_total_flops()
    return operations // 2  # a multiplication and an addition


def peak_memory() -> int:
    """Give the most resident memory that this process has had so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_of_tensors(call: Callable[[], object]) -> int:
    """Give the most bytes that the tensors made in a call hold at one time.

    What was there before is not counted (parameters, the batch), nor what an operator
    needs inside of itself. Unlike a process's peak it is the same every time, and of this
    call alone.
    """
    with _Tensors() as tensors:
        call()
    peak: int = tensors.peak
    return peak


class _Tensors(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Counts the bytes of tensors from when they are made until they are gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.held = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = {_place(leaf) for leaf in tree_leaves((args, kwargs or {}))}
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor) and _place(leaf) not in given:
                self._hold(leaf.untyped_storage())
        return output

    def _hold(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place in self.known:
            return
        self.known.add(place)
        self.held += size
        self.peak = max(self.peak, self.held)
        finalize(storage, self._let_go, place, size)

    def _let_go(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.held -= size


def _place(leaf: object) -> int:
    return leaf.untyped_storage()._cdata if isinstance(leaf, Tensor) else 0


def _wait() -> None:
    # A GPU that was not used has nothing to wait for, and may be another's.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch's own
        torch.cuda.synchronize()
