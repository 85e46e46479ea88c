"""How near enhanced speech is to the clean speech, by the packages that others use."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torchmetrics.functional.audio import scale_invariant_signal_noise_ratio

from espnet_kd.errors import KDError

# Of clean speech and what is heard, samples a second -> value; None where the speech is too
# short for it.
Function = Callable[[np.ndarray, np.ndarray, int], float | None]


@dataclass(frozen=True)
class Measure:
    """One number of an utterance; higher is better.

    Attributes:
        name: What tables call it.
        of: Computes it.
        package: What has to be installed.
    """

    name: str
    of: Function
    package: str


def si_snr(clean: np.ndarray, heard: np.ndarray, _fs: int) -> float:
    """Scale-invariant ratio of signal to noise in dB, means removed."""
    pair = (torch.from_numpy(samples) for samples in (heard, clean))
    return float(scale_invariant_signal_noise_ratio(*pair))


def stoi(clean: np.ndarray, heard: np.ndarray, fs: int) -> float | None:
    """Short-time objective intelligibility, up to 1; None of less than 0.4 s of speech."""
    from pystoi import stoi as stock

    with warnings.catch_warnings():
        # It warns, and gives a number that means nothing, where there is too little.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stock(clean, heard, fs))
        except RuntimeWarning:
            return None


def pesq(clean: np.ndarray, heard: np.ndarray, fs: int) -> float | None:
    """Wide-band PESQ (ITU-T P.862.2), 1 to 4.64; None where it finds no speech."""
    from pesq import PesqError
    from pesq import pesq as stock

    try:
        return float(stock(fs, clean, heard, "wb"))
    except PesqError:
        return None


MEASURES = (
    Measure("SI-SNR, dB", si_snr, "torchmetrics"),
    Measure("STOI", stoi, "pystoi"),
    Measure("PESQ", pesq, "pesq"),
)


def usable(measures: tuple[Measure, ...] = MEASURES) -> list[Measure]:
    """Those whose package is installed; a sentence on stderr tells of the others."""
    for measure in measures:
        if find_spec(measure.package) is None:
            print(
                f"{measure.name} is left out, for '{measure.package}' is not installed; "
                f"{sys.executable} -m pip install {measure.package} adds it",
                file=sys.stderr,
            )
    return [measure for measure in measures if find_spec(measure.package) is not None]


class Means:
    """Means of the measures over utterances.

    Args:
        measures: What is measured.
        fs: Samples a second.
    """

    def __init__(self, measures: list[Measure], fs: int) -> None:
        self.measures = measures
        self.fs = fs
        self.found: dict[str, list[float]] = {measure.name: [] for measure in measures}

    def add(self, utterance: str, clean: np.ndarray, heard: np.ndarray) -> None:
        """Measure an utterance.

        Raises:
            KDError: If the two are not of one length, or what is heard is no number.
        """
        if clean.shape != heard.shape or not np.isfinite(heard).all():
            raise KDError(
                f"'{utterance}': {len(heard)} samples stand against {len(clean)} of clean "
                "speech, or are no numbers; has this model been trained to an end?"
            )
        for measure in self.measures:
            value = measure.of(clean, heard, self.fs)
            if value is not None:
                self.found[measure.name].append(value)

    def values(self) -> dict[str, float]:
        """The mean of each measure, over the utterances that are long enough for it."""
        return {name: float(np.mean(v)) for name, v in self.found.items() if v}
