"""The spectrum that a model gives, of speech or of each source: a row of the table."""

from torch import nn

from espnet_kd.model.families import synthesiser_of
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

# Synthesisers whose spectrum is known.
KNOWN = {
    "tts": "tacotron2, transformer, fastspeech and fastspeech2",
    "svs": "xiaoice, naive_rnn and naive_rnn_dp with a postnet",
}


def missing_spectrum(model: nn.Module, parts: Parts, request: Request) -> str | None:
    """Why there is no spectrum that another model's could be compared with."""
    name, synthesiser = synthesiser_of(model)
    if name:
        if mel_modules(model):
            return None
        kind = type(synthesiser).__name__
        return (
            f" ({kind}) gives no mel spectrum in one pass; spectrum_l1 compares "
            f"{KNOWN[name]}, so remove it"
        )
    learned = missing_magnitudes(model, "spectrum_l1")
    return learned or missing_waveforms(model, parts, request)


def collect_spectrum(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take a synthesiser's mel spectrum, or the magnitudes of an enhancer's sources."""
    collect = collect_mel if synthesiser_of(recorded.model)[0] else collect_magnitudes
    collect(recorded, outputs)
