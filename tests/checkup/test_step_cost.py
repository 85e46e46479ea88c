"""What steps cost, in words and by hand."""

import pytest

from espnet_kd.checkup.step_cost import Cost, Costs, duration
from espnet_kd.tasks.plan import Plan


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (7.4, "7 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_times_in_words(seconds, told):
    assert duration(seconds) == told


def test_costs_in_words():
    stock, distilled = Cost(0.5, 0.1, 2**20), Cost(1.0, 0.2, 3 * 2**20)
    plan = Plan(epochs=30, batches=119, valid_batches=10)
    step, memory, whole = Costs(stock, distilled, 4).describe(plan)
    assert step.startswith("a step on this CPU: 1 s distilled, 0.5 s stock, 2.00 times")
    assert memory == "memory of a step beside parameters: 3.0 MiB distilled, 1.0 MiB stock"
    # 30 * (119 + 2) s and 30 * (59.5 + 1) s.
    assert (
        "30 epochs of 119 batches, 3,570 updates, 1 h 00 min at most (stock 30 min)"
        in whole
    )
    assert "not known" in list(Costs(stock, distilled, 4).describe(None))[-1]
