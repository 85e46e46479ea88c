"""The spectrum that a model gives, of speech or of each source: a row of the table."""

from torch import nn

from espnet_kd.model.outputs import ModelOutputs
from espnet_kd.model.parts import Parts
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Request
from espnet_kd.model.separation import (
    collect_magnitudes,
    missing_magnitudes,
    missing_waveforms,
)
from espnet_kd.model.synthesis import collect_mel, mel_modules


def missing_spectrum(model: nn.Module, parts: Parts, request: Request) -> str | None:
    """Why there is no spectrum that another model's could be compared with."""
    if hasattr(model, "tts"):
        if mel_modules(model):
            return None
        kind = type(model.tts).__name__
        return (
            f" ({kind}) gives no mel spectrum in one pass; spectrum_l1 compares tacotron2, "
            "transformer, fastspeech and fastspeech2, so remove it"
        )
    learned = missing_magnitudes(model, "spectrum_l1")
    return learned or missing_waveforms(model, parts, request)


def collect_spectrum(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take a synthesiser's mel spectrum, or the magnitudes of an enhancer's sources."""
    collect = collect_mel if hasattr(recorded.model, "tts") else collect_magnitudes
    collect(recorded, outputs)
