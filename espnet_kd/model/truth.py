"""What outputs should be by the batch: a row of the table, by which a teacher is judged."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from espnet_kd.model.families import family_of, synthesiser_of
from espnet_kd.model.lengths import lengths_along
from espnet_kd.model.outputs import Hidden, ModelOutputs
from espnet_kd.model.parts import Parts
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Request
from espnet_kd.model.separation import collected_references
from espnet_kd.model.synthesis import duration_lengths, given_durations, predictor_of
from espnet_kd.model.taps import first_tensor


def missing_truth(model: nn.Module, _parts: Parts, request: Request) -> str | None:
    """Why the batch does not say what an output should be."""
    for name in request.listed("truth"):
        if name not in TRUTHS or (name == "spectrum" and not synthesiser_of(model)[0]):
            return (
                f" has no reference of its {name} in a batch, so that nobody knows where "
                "the teacher is better; set 'where: everywhere', or use waveform_si_snr"
            )
    return None


@torch.no_grad()
def collect_truth(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the references of the outputs that are asked for."""
    for name in recorded.request.listed("truth"):
        outputs.truth[name] = TRUTHS[name](recorded)


def _waveforms(recorded: RecordedPass) -> Hidden:
    """The references of all sources, (B, N, S)."""
    references = collected_references(recorded)
    return Hidden(references.transpose(1, 2), lengths_along("samples", recorded))


def _mel(recorded: RecordedPass) -> Hidden:
    """The mel spectrum of the recording, normalised as the model is trained."""
    model: Any = recorded.model
    calls = recorded.called("feats_extract")
    family = family_of(model)
    assert family is not None, "its spectrum was asked for"
    given = first_tensor(calls[0].output) if calls else recorded.batch[family.stream]
    lens = lengths_along("mel", recorded)
    assert given is not None, "a front end gives features"
    if getattr(model, "normalize", None) is not None:
        given = model.normalize(given, lens.clamp(max=given.shape[1]))[0]
    return Hidden(given, lens)


def _durations(recorded: RecordedPass) -> Hidden:
    """Logarithms of the given durations, as the predictor's, (B, L, 1)."""
    path = predictor_of(recorded.model)
    assert path is not None, "its durations were asked for"
    predictor: Any = recorded.model.get_submodule(path)
    durations = given_durations(recorded).float()
    values = (durations + float(getattr(predictor, "offset", 1.0))).log()
    return Hidden(values[..., None], duration_lengths(recorded))


TRUTHS: dict[str, Callable[[RecordedPass], Hidden]] = {
    "waveforms": _waveforms,
    "spectrum": _mel,
    "durations": _durations,
}
