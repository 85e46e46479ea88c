"""The window of ctc_shift_kl in milliseconds."""

import logging

import pytest
import torch
from conftest import build_asr, clone

import espnet_kd
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.losses import LOSSES

AUDIO = {"frontend": "default", "input_size": None}  # frames of 8 ms, of 32 behind conv2d


def window(student=None, **options):
    """The window in frames of a student."""
    loss = LOSSES.get("ctc_shift_kl")(**options)
    loss.meet(torch.nn.Module() if student is None else student)
    return loss.options["min_shift"], loss.options["max_shift"]


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({}, (0, 2)),
        ({"max_shift_ms": 100, "frame_shift_ms": 40}, (0, 2)),
        ({"max_shift_ms": 120, "frame_shift_ms": 40}, (0, 3)),
        ({"max_shift_ms": 0.3, "frame_shift_ms": 0.1}, (0, 3)),
        ({"max_shift_ms": 0, "frame_shift_ms": 40}, (0, 0)),
        ({"min_shift_ms": -90, "max_shift_ms": 40, "frame_shift_ms": 40}, (-2, 1)),
        ({"min_shift": -3, "max_shift_ms": 40, "frame_shift_ms": 40}, (-3, 1)),
    ],
)
def test_it_is_counted_in_the_frames_that_it_holds(options, frames):
    assert window(**options) == frames


def test_the_students_own_front_end_says_how_long_a_frame_is():
    student = build_asr(**AUDIO)
    assert window(student, max_shift_ms=100) == (0, 3)
    with pytest.raises(
        KDError, match=r"'max_shift_ms: 30' is less .* are 32 ms apart; giv"
    ):
        window(student, max_shift_ms=30)
    with pytest.raises(KDError, match=r"'min_shift_ms: -31' is less than one of the stud"):
        window(student, min_shift_ms=-31, max_shift_ms=64)


def test_a_student_of_features_has_to_be_told(student, teacher):
    """Before anything is trained, with the other problems of both models."""
    term = {"type": "ctc_shift_kl", "weight": 1.0, "max_shift_ms": 80}
    with pytest.raises(ConfigError, match=r"give 'frame_shift_ms', the features' step tim"):
        espnet_kd.attach(student, {"losses": [term]}, teacher)


def test_milliseconds_train_as_their_frames_do(caplog, student, teacher, batch):
    in_frames = {"type": "ctc_shift_kl", "weight": 1.0, "max_shift": 3}
    in_ms = {"type": "ctc_shift_kl", "weight": 1.0, "name": "timed"}
    in_ms |= {"max_shift_ms": 130, "frame_shift_ms": 40}
    with caplog.at_level(logging.INFO, "espnet_kd"):
        espnet_kd.attach(student, {"losses": [in_frames, in_ms]}, teacher)
    assert "    max_shift 3, in the student's frames of 40 ms\n" in caplog.text + "\n"
    *_, told = (line for line in caplog.messages if "by default" in line)
    assert "min_shift: 0" in told
    assert "max_shift" not in told
    _, stats, _ = student.train()(**clone(batch))
    value = stats["loss_kd_timed"]
    assert value == stats["loss_kd_ctc_shift_kl"] > 0


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({}, False),
        ({"max_shift": 0, "min_shift": -2}, True),
        ({"max_shift_ms": 0, "frame_shift_ms": 40}, True),
        ({"max_shift_ms": 80, "frame_shift_ms": 40}, False),
    ],
)
def test_only_a_window_without_room_asks_for_the_very_frame(options, same):
    assert LOSSES.get("ctc_shift_kl")(**options).same_frame == same
