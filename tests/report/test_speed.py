"""Costs of calls whose cost is known."""

import time

import pytest
import torch

from espnet_kd.report.speed import count_macs, peak_memory, time_calls


def test_macs_of_a_product_and_of_a_convolution():
    a, b = torch.zeros(3, 5), torch.zeros(5, 7)
    assert count_macs(lambda: a @ b) == 3 * 5 * 7
    layer, x = torch.nn.Conv1d(4, 6, 3), torch.zeros(1, 4, 10)
    assert count_macs(lambda: layer(x)) == 8 * 6 * 4 * 3


def test_times_are_of_the_utterances_alone():
    """Two of 20 ms and one of 60 ms, in 1 s of audio; the slow warm-up does not count."""
    seen = []

    def call(index):
        seen.append(index)
        time.sleep(0.3 if len(seen) <= 2 else (0.02, 0.02, 0.06)[index])

    found = time_calls(call, [0.25, 0.25, 0.5])
    assert seen == [0, 0, 0, 1, 2]
    assert 0.1 <= found.rtf < 0.25
    assert 0.02 <= found.latency < found.slowest
    assert found.slowest >= 0.06


def test_one_utterance_is_its_own_slowest():
    found = time_calls(lambda index: time.sleep(0.01), [1.0], warm_up=0)
    assert found.slowest == found.latency == pytest.approx(found.rtf)


def test_memory_is_what_was_touched():
    before = peak_memory()
    touched = torch.ones(50_000_000)  # 200 MB
    assert peak_memory() >= min(before + 100_000_000, 400_000_000)
    assert touched.sum() > 0
