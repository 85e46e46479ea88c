"""The part of a weight that is in force, by hand."""

import pytest

from espnet_kd.config.schema import ScheduleConfig
from espnet_kd.objective.schedule import schedule_scale


def test_warm_up_is_linear_from_the_first_update():
    schedule = ScheduleConfig(warmup_steps=4)
    scales = [schedule_scale(schedule, step) for step in (0, 1, 3, 4, 100)]
    assert scales == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert schedule_scale(ScheduleConfig(), 0) == 1.0


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        # (1 + final) / 2 half way for both; a quarter of the way they part.
        ("linear", [0.5, 1.0, 0.8, 0.6, 0.2, 0.2]),
        ("cosine", [0.5, 1.0, 0.2 + 0.8 * (1 + 0.5**0.5) / 2, 0.6, 0.2, 0.2]),
    ],
)
def test_from_the_warm_up_it_falls(decay, expected):
    schedule = ScheduleConfig(warmup_steps=2, decay=decay, decay_steps=4, final=0.2)
    scales = [schedule_scale(schedule, step) for step in (0, 1, 2, 3, 5, 99)]
    assert scales == pytest.approx(expected)
