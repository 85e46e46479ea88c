"""Seconds and bytes of pieces of work, the alternatives interleaved in one process."""

import ctypes
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch
from torch.profiler import ProfilerActivity, profile

Work = Callable[[], object]
Clock = Callable[[], float]
# glibc's mallopt: when memory goes back to the system, and what never comes from its heap.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3


def keep_memory() -> None:
    """Let freed memory be used again, as PyTorch does on a GPU.

    By default glibc hands blocks of this size back, and each tensor pays for fresh pages
    anew: more than for the arithmetic, and more or less of it by chance.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for option in (TRIM_THRESHOLD, MMAP_THRESHOLD):
            libc.mallopt(option, 2**31 - 1)


def seconds(
    works: Mapping[str, Work],
    repeats: int,
    *,
    device: str = "cpu",
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time each alternative ``repeats`` times, in turns of changing order.

    On a machine that others share, ``time.process_time`` counts the work alone.
    """
    keep_memory()
    took: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats + warm_up):
        for name in list(works) if repeat % 2 else reversed(list(works)):
            value = _timed(works[name], device, clock)
            if repeat >= warm_up:
                took[name].append(value)
    return took


def medians(took: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each alternative."""
    return {name: statistics.median(values) for name, values in took.items()}


def peak_bytes(work: Work, *, device: str = "cpu") -> int:
    """Most memory that tensors made by a piece of work take at one time."""
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        keep = work()
        torch.cuda.synchronize()
        del keep
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        keep = work()
    del keep
    events = recorded.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = most = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        held += change
        most = max(most, held)
    return most


def _timed(work: Work, device: str, clock: Callable[[], float]) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    start = clock()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start
