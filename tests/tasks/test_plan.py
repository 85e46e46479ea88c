"""How long a training is, by hand."""

from types import SimpleNamespace

from espnet_kd.tasks.plan import Plan, plan_of


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
