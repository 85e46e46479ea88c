"""What a distilled step costs beside a stock step: both measured in turns."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch

from espnet_kd.checkup.reading import Batch, copied, fewer, sampler_of
from espnet_kd.checkup.rehearsal import Prepared
from espnet_kd.hook.attachment import Attachment
from espnet_kd.hook.triple import Triple
from espnet_kd.model.forward import evaluating
from espnet_kd.report.speed import peak_of_tensors, time_call
from espnet_kd.tasks.plan import Plan

MIB = 2**20
# Seconds from which on a pass is slow, and utterances of a slow batch that are tried.
SLOW, FEW = 6.0, 8
# Opens what a step runs in.
Way = Callable[[], AbstractContextManager[None]]
# Seconds after which no further batch is begun.
ENOUGH = 25.0


@dataclass(frozen=True)
class Cost:
    """Of one way of training.

    Attributes:
        step: Seconds of a training step, reading apart.
        valid_step: Seconds of a validation batch.
        memory: Most bytes of a step beside parameters and batch.
    """

    step: float
    valid_step: float
    memory: float


@dataclass(frozen=True)
class Tried:
    """Batches as they are tried.

    Attributes:
        batches: Whole, or of each the first utterances.
        times: How many times larger whole ones are.
    """

    batches: list[Batch]
    times: float = 1.0


@dataclass(frozen=True)
class Costs:
    """Of both ways, on the same batches.

    Attributes:
        stock: Without distillation.
        distilled: With it.
        batches: On how many training batches.
    """

    stock: Cost
    distilled: Cost
    batches: int

    def describe(self, plan: Plan | None) -> Iterator[str]:
        """Step, memory and the whole training, a line each."""
        stock, distilled = self.stock, self.distilled
        yield (
            f"a step on this CPU: {distilled.step:.3g} s distilled, {stock.step:.3g} s "
            f"stock, {distilled.step / stock.step:.2f} times (in turns; batches: "
            f"{self.batches}, threads: {torch.get_num_threads()})"
        )
        yield (
            f"memory of a step beside parameters: {distilled.memory / MIB:.1f} MiB "
            f"distilled, {stock.memory / MIB:.1f} MiB stock"
        )
        if plan is None:
            yield "the whole training: not known, for its iterator does not say how long"
            return
        whole = (duration(plan.seconds(c.step, c.valid_step)) for c in (distilled, stock))
        yield (
            f"the whole training: {plan.epochs} epochs of {plan.batches:,} batches, "
            f"{plan.updates:,} updates, {next(whole)} at most (stock {next(whole)}), on "
            "this CPU and without reading the data"
        )


def cost_of_steps(
    training: Prepared, attachment: Attachment, train: Tried, valid: Tried
) -> Costs:
    """Make updates in turns, stock and distilled. The student is another afterwards.

    Args:
        training: The training.
        attachment: Of its student.
        train: Training batches.
        valid: A validation batch.
    """
    batches, first_valid = train.batches, valid.batches[0]
    ways: list[Way] = [attachment.paused, nullcontext]
    memory, seconds, valid_seconds = [], [list[float](), list[float]()], []
    for way in ways:
        with way():
            memory.append(peak_of_tensors(partial(_step, training, batches[0])))
    start = time.perf_counter()
    for batch in batches:
        for way, times in zip(ways, seconds, strict=True):
            with way():
                call = partial(_step, training, batch)
                times.append(time_call(call, learns=True))
        if time.perf_counter() - start > ENOUGH:
            break
    for way in ways:
        with way(), evaluating(training.model):
            call = partial(_pass, training, first_valid)
            valid_seconds.append(time_call(call))
    stock, distilled = (
        Cost(train.times * median(steps), valid.times * valid_step, train.times * most)
        for steps, valid_step, most in zip(seconds, valid_seconds, memory, strict=True)
    )
    return Costs(stock, distilled, len(seconds[0]))


def in_time(training: Prepared, factory: Any, batches: list[Batch]) -> Tried:
    """Batches that are tried in time: whole ones, or the first utterances of slow ones.

    Args:
        training: The training, distilled.
        factory: ESPnet's factory of iterators that the batches are of.
        batches: One or more.
    """
    if sampler_of(factory) is None:
        return Tried(batches)
    few, times = fewer(factory, batches[:1], FEW)
    with evaluating(training.model):
        whole = times * time_call(partial(_pass, training, few[0]))
    return Tried(*fewer(factory, batches, FEW)) if whole > SLOW else Tried(batches)


def duration(seconds: float) -> str:
    """A time in words: ``2 h 05 min``, ``3 min``, ``40 s``."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 60 else f"{seconds:.0f} s"


def _pass(training: Prepared, batch: Batch) -> Any:
    """What the student answers to a batch."""
    return training.model(**copied(batch[1]))


def _step(training: Prepared, batch: Batch) -> None:
    """One update, as ESPnet's trainer makes it."""
    for optimizer in training.optimizers:
        optimizer.zero_grad()
    training.model.train()
    triple = Triple.of(_pass(training, batch))
    assert triple is not None, "a training pass gives a loss"
    triple.loss.sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    clip = training.options.grad_clip
    torch.nn.utils.clip_grad_norm_(training.model.parameters(), clip)
    for optimizer in training.optimizers:
        optimizer.step()
