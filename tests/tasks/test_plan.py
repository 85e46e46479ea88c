"""How long a training is, by hand."""

from types import SimpleNamespace

import pytest

from espnet_kd.tasks.plan import Plan, plan_of
from espnet_kd.tasks.step_cost import Cost, Costs, duration


def test_updates_and_time_of_a_training():
    """Batches left over at the end of an epoch make no update."""
    plan = Plan(epochs=3, batches=10, valid_batches=4, accum_grad=4)
    assert plan.updates == 3 * 2
    assert plan.seconds(2.0, 0.5) == 3 * (20 + 2)


def test_a_plan_is_read_off_the_iterators():
    def factory(batches):
        return SimpleNamespace(build_iter=lambda epoch: batches)

    options = SimpleNamespace(max_epoch=2, accum_grad=1)
    assert plan_of(factory([1, 2, 3]), factory([1]), options) == Plan(2, 3, 1, 1)
    assert plan_of(factory(iter([1])), factory([1]), options) is None
    assert plan_of(None, None, options) is None


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
