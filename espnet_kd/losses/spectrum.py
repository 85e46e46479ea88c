"""Distance of two spectra: of synthesised speech, or of what an enhancer makes of noise."""

from typing import ClassVar

from torch import Tensor

from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.output import OutputLoss
from espnet_kd.masking import Reduction, kept_pair, reduce_positions


def spectrum_l1(
    student_spectrum: Tensor,
    teacher_spectrum: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "token",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Mean absolute difference of two spectra, over real frames.

    .. math::
        \frac{1}{N} \sum_b w_b \sum_{t < \mathrm{lengths}_b}
            \frac{1}{F} \lVert S_{bt} - T_{bt} \rVert_1, \quad N = \sum_b \mathrm{lengths}_b

    the scale of the losses that ESPnet trains FastSpeech and its kin by. Of a synthesiser
    it is the mel spectrum behind the postnet, normalised as the model is trained; of an
    enhancer the magnitudes of each source, in the order of the references.

    Args:
        student_spectrum: (B, T, F), widened to float32.
        teacher_spectrum: Same shape. Receives no gradient.
        lengths: Real frames, (B,).
        reduction: ``token`` (a mean over frames) or ``batch`` (a sum over them, divided
            by the number of utterances).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in the spectrum's own unit, float32 or wider; 0 and attached without a
        frame.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Wei et al. Nix-TTS. 2022, section 3. https://arxiv.org/abs/2203.15643
    """
    pair = kept_pair(student_spectrum, teacher_spectrum, lengths, "spectrum")
    student, teacher, mask = pair
    return reduce_positions((student - teacher).abs().mean(-1), mask, reduction, weights)


@LOSSES.register("spectrum_l1")
class SpectrumL1(OutputLoss, measure=spectrum_l1):
    """``spectrum_l1`` as a term."""

    output: ClassVar[str] = "spectrum"
