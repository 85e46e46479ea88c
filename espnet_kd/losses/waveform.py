"""Distance of two waveforms that does not hear how loud they are."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from espnet_kd.config.options import Positive
from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.output import OutputLoss
from espnet_kd.masking import check_pair, length_mask, widened

# Natural logarithms to decibels.
DECIBELS = 10 / math.log(10)
# Below this power a signal is silence.
SILENCE = 1e-10
# Noise that is never below this part of the teacher's power: 80 dB.
FLOOR = 1e-8


def waveform_si_snr(
    student_waveforms: Tensor,
    teacher_waveforms: Tensor,
    lengths: Tensor,
    *,
    max_snr: Positive = 30.0,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Decibels by which the student's waveforms fall short of the teacher's.

    .. math::
        \frac{1}{B} \sum_b \frac{w_b}{S} \sum_s
            10 \log_{10} \left( 1 + 10^{m / 10} \frac{\lVert t - \beta x \rVert^2}
            {\lVert \beta x \rVert^2} \right), \quad
            \beta = \frac{\langle x, t \rangle}{\lVert x \rVert^2}

    with x the student's and t the teacher's source, less their means. The fraction is the
    inverse of the scale-invariant ratio of signal to noise [1]_. That ratio has no end; as
    a loss it is stopped softly at m decibels [2]_, so that a student as good as its
    teacher has 0, and one of no use about m more than its ratio says.

    Args:
        student_waveforms: (B, N, S), S sources in the order of the references; widened to
            float32.
        teacher_waveforms: Same shape. Receives no gradient.
        lengths: Real samples, (B,).
        max_snr: :math:`m` > 0, in dB.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in dB, float32 or wider, not negative. A source in which the teacher is
        silent counts 0; so does a batch without a sample, still attached.

    Raises:
        ValueError: If shapes or lengths do not fit.

    .. [1] Le Roux et al. SDR, half-baked or well done? 2019, equation 2.
       https://arxiv.org/abs/1811.02508
    .. [2] Wisdom et al. Unsupervised Sound Separation Using Mixture Invariant Training.
       2020, section 3.1. https://arxiv.org/abs/2006.12701
    """
    check_pair(student_waveforms, teacher_waveforms, lengths, "waveforms")
    student = _centred(student_waveforms, lengths)  # (B, N, S)
    teacher = _centred(teacher_waveforms.detach(), lengths).to(student.dtype)
    power = teacher.square().sum(1)  # (B, S)
    scale = (student * teacher).sum(1) / student.square().sum(1).clamp_min(SILENCE)
    heard = scale[:, None] * student
    noise = (teacher - heard).square().sum(1)
    ratio = noise / (heard.square().sum(1) + FLOOR * power).clamp_min(SILENCE)
    values = torch.log1p(10 ** (max_snr / 10) * ratio) * DECIBELS
    values = torch.where(power > SILENCE, values, 0.0).mean(-1)  # (B,)
    if weights is not None:
        values = values * weights.to(values.dtype)
    return values.sum() / max(len(values), 1)


def _centred(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Waveforms less their mean over real samples, and 0 behind them."""
    mask = length_mask(lengths, waveforms.shape[1])[..., None]
    values = torch.where(mask, widened(waveforms), 0.0)
    mean = values.sum(1, keepdim=True) / lengths.clamp(min=1)[:, None, None]
    return torch.where(mask, values - mean, 0.0)


@LOSSES.register("waveform_si_snr")
class WaveformSISNR(OutputLoss, measure=waveform_si_snr):
    """``waveform_si_snr`` as a term."""

    output: ClassVar[str] = "waveforms"
