"""Costs of calls whose cost is known."""

import time

import pytest
import torch

from espnet_kd.report.speed import (
    Timing,
    count_macs,
    peak_memory,
    peak_of_tensors,
    time_call,
)


def test_macs_of_a_product_and_of_a_convolution():
    a, b = torch.zeros(3, 5), torch.zeros(5, 7)
    assert count_macs(lambda: a @ b) == 3 * 5 * 7
    layer, x = torch.nn.Conv1d(4, 6, 3), torch.zeros(1, 4, 10)
    assert count_macs(lambda: layer(x)) == 8 * 6 * 4 * 3


def test_a_time_is_of_the_call_after_the_warm_up():
    seen = []

    def call():
        seen.append(1)
        time.sleep(0.02 if len(seen) == 3 else 0.3)

    assert 0.02 <= time_call(call, warm_up=2) < 0.3
    assert len(seen) == 3


def test_times_summed_up_by_hand():
    """10 ms to 100 ms, in 1.1 s of audio."""
    times = [0.01 * n for n in range(1, 11)]
    found = Timing.of(times, [0.11] * 10)
    assert found.rtf == pytest.approx(0.5)
    assert found.latency == pytest.approx(0.055)
    assert 0.09 <= found.slowest <= 0.1
    assert Timing.of([0.2], [1.0]) == Timing(0.2, 0.2, 0.2)


def test_memory_is_what_was_touched():
    before = peak_memory()
    touched = torch.ones(50_000_000)  # 200 MB
    assert peak_memory() >= min(before + 100_000_000, 400_000_000)
    assert touched.sum() > 0


def test_the_peak_is_of_the_tensors_that_lived_at_one_time():
    """4 bytes each: two of 1000, one gone, two of 1000 and their sum."""
    given = torch.zeros(1000)

    def call():
        first = given + 1
        second = first * 2
        del first
        return (second + 1).sum()

    assert peak_of_tensors(call) == 4 * (1000 + 1000 + 1)
    assert peak_of_tensors(lambda: given.add_(1).view(10, 100)[0]) == 0


def test_the_peak_of_a_training_step_holds_what_its_backward_pass_needs():
    weight = torch.zeros(1000, requires_grad=True)

    def step():
        weight.grad = None
        weight.exp().exp().sum().backward()

    # Both exponentials and the gradient of one; the sum, and what its gradient begins with.
    assert peak_of_tensors(step) == 4 * (3 * 1000 + 1 + 1)
