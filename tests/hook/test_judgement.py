"""What is unwise, on both sides of each threshold."""

import math

import pytest

from espnet_kd.config.schema import LossTermConfig, ScheduleConfig
from espnet_kd.hook.judgement import (
    TASK,
    judge_delay,
    judge_errors,
    judge_finite,
    judge_frames,
    judge_labels,
    judge_lengths,
    judge_parts,
    judge_sameness,
    judge_schedule,
    judge_silence,
    judge_start,
)


def term(name, weight=1.0, **schedule):
    own = ScheduleConfig(**schedule) if schedule else None
    return LossTermConfig(name, weight, name, {}, schedule=own)


@pytest.mark.parametrize(
    ("frames", "told"),
    [((100, 100), ""), ((100, 124), ""), ((100, 200), "2.00"), ((100, 50), "0.50")],
)
def test_frames_of_two_rates(frames, told):
    found = list(judge_frames(*frames))
    assert bool(found) == bool(told)
    assert not told or found[0].startswith(f"the teacher has {told} frames to one of")


@pytest.mark.parametrize(
    ("student", "terms", "doubted"),
    [("hears 8 frames", ["a", "b"], True), ("hears 8 frames", [], False), ("", "a", False)],
)
def test_losses_of_the_very_frame(student, terms, doubted):
    found = list(judge_delay(student, terms))
    assert len(found) == doubted
    assert not found or found[0].startswith("a, b: the student hears 8 frames, and its te")


@pytest.mark.parametrize(
    ("parts", "doubted"),
    [
        ({TASK: 100.0, "a": 1.0}, False),
        ({TASK: 101.0, "a": 1.0}, True),
        ({TASK: 5.0, "a": 600.0, "b": 5.0}, True),
        ({TASK: 5.0, "silent": 0.0}, False),
        ({TASK: 5.0}, False),
        ({TASK: math.nan, "a": 1.0}, False),  # judge_finite says it
    ],
)
def test_a_part_a_hundred_times_another(parts, doubted):
    assert bool(list(judge_parts(parts))) == doubted


def test_the_greatest_and_the_least_are_named():
    (sentence,) = judge_parts({TASK: 40.0, "loud": 900.0, "soft": 0.5})
    assert sentence.startswith(
        "loud counts 900 in the loss and soft 0.5, over 100 times less"
    )


def test_values_that_are_no_numbers():
    found = list(judge_finite({TASK: 1.0, "a": math.nan, "b": math.inf}))
    assert [s.split(",")[0] for s in found] == [
        "a is nan on the first batch",
        "b is inf on the first batch",
    ]


@pytest.mark.parametrize(
    ("teacher", "student", "told"),
    [
        (10.0, 50.0, None),
        (50.0, 50.0, "nothing to learn from it"),
        (60.0, 50.0, "the student as it starts 50.0 %"),
        (90.0, 100.0, "as an untrained model does"),
        (20.0, None, None),
    ],
)
def test_a_teacher_that_knows_no_more(teacher, student, told):
    found = list(judge_errors("exp/t", teacher, student, "words"))
    assert len(found) == (told is not None)
    assert told is None or told in found[0]
    assert told is None or f"teacher exp/t makes {teacher:.1f} % errors (words)" in found[0]


def test_schedules_longer_than_the_training():
    common = ScheduleConfig(warmup_steps=100)
    terms = [term("a"), term("b"), term("c", warmup_steps=200), term("seen", weight=0)]
    assert list(judge_schedule(terms, common, 200)) == []
    (first,) = judge_schedule(terms, common, 150)
    assert "the weight of c rises over 200 updates and the training has 150" in first
    both = list(judge_schedule(terms, common, 99))
    assert "the weight of a, b rises over 100 updates" in both[0]
    assert len(both) == 2


def test_the_rest():
    assert list(judge_silence([], 4)) == []
    assert "a, b: exactly 0 on 4 batches" in next(judge_silence(["a", "b"], 4))
    for judge in (judge_sameness, judge_start):
        assert list(judge(False)) == []
        assert len(list(judge(True))) == 1
    assert list(judge_labels(5, 100)) == list(judge_labels(0, 0)) == []
    assert "6% of the transcripts' tokens are <unk>" in next(judge_labels(6, 100))
    assert list(judge_lengths([], 9)) == []
    assert "2 of 9 utterances have fewer encoder frames than tokens, first u" in next(
        judge_lengths(["u", "v"], 9)
    )
