"""Losses on outputs that are no posteriors, and on classes, by values of paper."""

import math

import pytest
import torch

from espnet_kd.losses import (
    class_kl,
    duration_mse,
    mask_mse,
    spectrum_l1,
    waveform_si_snr,
)
from espnet_kd.losses.spectrum import SpectrumL1
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets
from espnet_kd.model.separation import si_snr

LENS = torch.tensor([2, 1])
# Two utterances of two frames and two bins; the last frame is padding.
STUDENT = torch.tensor([[[1.0, 2.0], [0.0, 4.0]], [[3.0, 3.0], [9.0, 9.0]]])
TEACHER = torch.tensor([[[1.0, 0.0], [3.0, 0.0]], [[3.0, 7.0], [0.0, 0.0]]])


@pytest.mark.parametrize(
    ("loss", "frames"),
    [
        # Means over two bins: (0 + 2) / 2, (3 + 4) / 2, (0 + 4) / 2.
        (spectrum_l1, [1.0, 3.5, 2.0]),
        # (0 + 4) / 2, (9 + 16) / 2, (0 + 16) / 2.
        (mask_mse, [2.0, 12.5, 8.0]),
    ],
)
def test_a_mean_over_bins_then_over_frames(loss, frames):
    assert loss(STUDENT, TEACHER, LENS).item() == pytest.approx(sum(frames) / 3)
    value = loss(STUDENT, TEACHER, LENS, reduction="batch").item()
    assert value == pytest.approx(sum(frames) / 2)
    weights = torch.tensor([1.0, 3.0])
    value = loss(STUDENT, TEACHER, LENS, reduction="batch", weights=weights).item()
    assert value == pytest.approx((frames[0] + frames[1] + 3 * frames[2]) / 2)


def test_durations_differ_by_their_logarithms():
    # log 2 - log 8 = -2 log 2; the second label is the same.
    student = torch.tensor([[[2.0], [5]]]).log()
    teacher = torch.tensor([[[8.0], [5]]]).log()
    value = duration_mse(student, teacher, torch.tensor([2])).item()
    assert value == pytest.approx((2 * math.log(2)) ** 2 / 2)


def test_two_classes():
    # p = (3/4, 1/4), q = (1/2, 1/2): KL = 3/4 ln 3 - ln 2; the second utterance agrees.
    teacher = torch.tensor([[[3.0, 1.0]], [[1.0, 1.0]]]).log()
    value = class_kl(torch.zeros(2, 1, 2), teacher, torch.tensor([1, 1])).item()
    assert value == pytest.approx((0.75 * math.log(3) - math.log(2)) / 2)


# A teacher, and noise of its own power that has nothing in common with it.
SIGNAL = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
NOISE = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)


def decibels(student, teacher=SIGNAL, **more):
    pair = (student[None, :, None], teacher[None, :, None])
    return waveform_si_snr(*pair, torch.tensor([len(teacher)]), **more).item()


@pytest.mark.parametrize("loudness", [1.0, -7.0, 1e-3])
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_noise_as_loud_as_the_signal(loudness, offset):
    # beta x = (t + n) / 2 is as far from t as it is long: the ratio is 1.
    student = loudness * (SIGNAL + NOISE) + offset
    assert decibels(student) == pytest.approx(10 * math.log10(1 + 1e3), rel=1e-6)
    assert decibels(student, max_snr=10.0) == pytest.approx(10 * math.log10(11), rel=1e-6)


def test_it_is_what_the_usual_ratio_falls_short_of():
    student = SIGNAL + 0.1 * NOISE
    ratio = si_snr(SIGNAL[None, None], student[None, None], torch.tensor([4])).item()
    assert ratio == pytest.approx(20.0)
    expected = 10 * math.log10(1 + 10 ** ((30 - ratio) / 10))
    assert decibels(student) == pytest.approx(expected, rel=1e-6)


def test_silence():
    # Of a silent teacher there is nothing to learn; a silent student is 80 dB away.
    assert decibels(SIGNAL, torch.zeros(4, dtype=torch.float64)) == 0.0
    assert decibels(torch.zeros(4, dtype=torch.float64)) == pytest.approx(110.0, abs=1e-3)


def test_sources_count_alike():
    student = torch.stack([SIGNAL + NOISE, SIGNAL], 1)[None]
    teacher = torch.stack([SIGNAL, SIGNAL], 1)[None]
    value = waveform_si_snr(student, teacher, torch.tensor([4])).item()
    assert value == pytest.approx(5 * math.log10(1 + 1e3), rel=1e-6)


def test_shapes_are_named():
    with pytest.raises(ValueError, match=r"student_waveforms \(2, 2, 2\) and teacher_wave"):
        waveform_si_snr(STUDENT, TEACHER[:1], LENS)


def outputs_of(values, kind=ModelOutputs, **more):
    return kind(LENS, spectrum=Hidden(values, LENS), **more)


@pytest.mark.parametrize(
    ("truths", "expected"),
    [
        # The first frames' differences are 1 and 3.5, the last's 2, as above.
        ((TEACHER, TEACHER), 6.5 / 3),
        ((TEACHER, STUDENT), 4.5 / 3),
        ((STUDENT, TEACHER), 2.0 / 3),
        ((STUDENT, STUDENT), 0.0),
    ],
)
def test_only_where_the_teacher_is_better(truths, expected):
    truth = torch.stack([whole[b] for b, whole in enumerate(truths)])
    student = outputs_of(STUDENT, truth={"spectrum": Hidden(truth, LENS)})
    loss = SpectrumL1(where="teacher_better")
    assert loss.needs().of_student["truth"] == ("spectrum",)
    value = loss(student, outputs_of(TEACHER, TeacherTargets))
    assert value.item() == pytest.approx(expected)
    sure = outputs_of(TEACHER, TeacherTargets, weights=torch.tensor([2.0, 1.0]))
    assert loss(student, sure).item() >= value.item()


def test_a_student_that_is_better_everywhere_stops_no_training():
    assert SpectrumL1(where="teacher_better").may_be_silent
    assert not SpectrumL1().may_be_silent


def test_a_teacher_as_far_from_the_truth_does_not_teach():
    halfway = (STUDENT + TEACHER) / 2
    student = outputs_of(STUDENT, truth={"spectrum": Hidden(halfway, LENS)})
    loss = SpectrumL1(where="teacher_better")
    assert loss(student, outputs_of(TEACHER, TeacherTargets)).item() == 0
