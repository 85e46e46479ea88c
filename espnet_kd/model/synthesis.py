"""What a speech synthesiser says, forced along given durations: rows of the table."""

from typing import Any

from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.lengths import lengths_along
from espnet_kd.model.outputs import Hidden, ModelOutputs
from espnet_kd.model.parts import Parts
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Request
from espnet_kd.model.taps import first_tensor

PREDICTOR = "tts.duration_predictor"


def mel_modules(model: nn.Module) -> list[str]:
    """Modules from which a synthesiser's mel spectrum is read; none if it is not known."""
    tts = getattr(model, "tts", None)
    if isinstance(getattr(tts, "feat_out", None), nn.Module):
        postnet = getattr(tts, "postnet", None)
        return ["tts.feat_out", *(["tts.postnet"] if postnet is not None else [])]
    return ["tts.dec"] if isinstance(getattr(tts, "dec", None), nn.Module) else []


def collect_mel(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the mel spectrum, behind the postnet if there is one.

    Raises:
        KDError: If the model gave none in this pass.
    """
    paths = mel_modules(recorded.model)
    given = [_output(recorded, path) for path in paths]
    if not given:
        raise KDError("the synthesiser gives no mel spectrum that is known")
    values, tts = given[0], _synthesiser(recorded.model)
    if paths[0] == "tts.feat_out":
        # Each step of the decoder may give several frames.
        values = values.reshape(len(values), -1, int(tts.odim))
        values = values + given[1].transpose(1, 2) if len(given) > 1 else values
    outputs.spectrum = Hidden(values, lengths_along("mel", recorded))


def _synthesiser(model: Any) -> Any:
    return model.tts


def missing_durations(model: nn.Module, _parts: Parts, _request: Request) -> str | None:
    """Why there are no durations."""
    tts = getattr(model, "tts", None)
    if isinstance(getattr(tts, "duration_predictor", None), nn.Module):
        return None
    return (
        " predicts no durations; duration_mse compares models of fastspeech's kind, so "
        "remove it"
    )


def collect_durations(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the logarithms of the durations."""
    values = _output(recorded, PREDICTOR)
    values = values[..., None] if values.dim() == 2 else values
    outputs.durations = Hidden(values, lengths_along("labels", recorded))


def _output(recorded: RecordedPass, path: str) -> Tensor:
    calls = recorded.called(path)
    values = first_tensor(calls[0].output) if calls else None
    if values is None:
        raise KDError(f"the model's '{path}' did not run in this pass")
    return values
