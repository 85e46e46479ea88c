"""Distances of two mel spectra, in decibels."""

import librosa
import numpy as np
from scipy.fft import dct

# Of log10 amplitudes, as ESPnet's fbank of tts gives them.
DECIBELS = 20.0
NEPERS = np.log(10.0)
COEFFICIENTS = 24


def mel_l1(found: np.ndarray, wanted: np.ndarray) -> float:
    """Compute the mean absolute difference of two spectra, frame by frame, in dB.

    Args:
        found: Log10 amplitudes of mel bands, (T, F).
        wanted: Same shape.
    """
    return float(DECIBELS * np.abs(found - wanted).mean())


def mel_cepstral_distortion(found: np.ndarray, wanted: np.ndarray) -> float:
    r"""Compute the mel-cepstral distortion of two spectra along their best path, in dB.

    .. math:: \frac{10}{\ln 10} \sqrt{2 \sum_{m=1}^{24} (c_m - c'_m)^2}

    of two frames, and its mean over the frames that dynamic time warping pairs by it. The
    cepstra are those of the mel bands, without the level; see ``cepstra``.

    Args:
        found: Log10 amplitudes of mel bands, (T, F).
        wanted: Likewise, (T', F).

    Source: Kubichek. Mel-cepstral distance measure for objective speech quality
    assessment. 1993.
    """
    pair = [
        10.0 / NEPERS * np.sqrt(2.0) * cepstra(log_mel).T for log_mel in (found, wanted)
    ]
    total, path = librosa.sequence.dtw(*pair, metric="euclidean")
    return float(total[-1, -1] / len(path))


def cepstra(log_mel: np.ndarray) -> np.ndarray:
    r"""Compute the cepstra of a spectrum, (T, 24).

    .. math:: c_m = \frac{2}{F} \sum_{k=0}^{F-1} \ln S_k \cos\frac{\pi m (k + 1/2)}{F}

    so that :math:`\ln S_k` is the sum of :math:`c_m \cos` of all m, and half of
    :math:`c_0`.

    Args:
        log_mel: Log10 amplitudes of F mel bands, (T, F).
    """
    bands = log_mel.shape[1]
    found: np.ndarray = dct(NEPERS * log_mel, type=2, axis=1) / bands
    return found[:, 1 : COEFFICIENTS + 1]
