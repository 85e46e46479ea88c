"""What a synthesiser says, forced along given durations: rows of the table."""

from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.families import family_of, synthesiser_of
from espnet_kd.model.lengths import lengths_along
from espnet_kd.model.outputs import Hidden, ModelOutputs
from espnet_kd.model.parts import Parts
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Request
from espnet_kd.model.taps import first_tensor


def mel_modules(model: nn.Module) -> list[str]:
    """Modules from which a synthesiser's mel spectrum is read; none if it is not known."""
    name, parts = synthesiser_of(model)
    postnet = isinstance(getattr(parts, "postnet", None), nn.Module)
    if name == "svs":
        # What is before the postnet is given to it; one of discrete units is another thing.
        return ["svs.postnet"] if postnet and not hasattr(parts, "proj_out_dim") else []
    if isinstance(getattr(parts, "feat_out", None), nn.Module):
        return ["tts.feat_out", *(["tts.postnet"] if postnet else [])]
    return ["tts.dec"] if isinstance(getattr(parts, "dec", None), nn.Module) else []


def collect_mel(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the mel spectrum, behind the postnet if there is one.

    Raises:
        KDError: If the model gave none in this pass.
    """
    paths = mel_modules(recorded.model)
    given = [_output(recorded, path) for path in paths]
    if not given:
        raise KDError("the synthesiser gives no mel spectrum that is known")
    values = given[0]
    if paths[0] == "svs.postnet":
        before: Tensor = recorded.called(paths[0])[0].args[0]
        values = (before + values).transpose(1, 2)
    if paths[0] == "tts.feat_out":
        # Each step of the decoder may give several frames.
        width = int(synthesiser_of(recorded.model)[1].odim)
        values = values.reshape(len(values), -1, width)
        values = values + given[1].transpose(1, 2) if len(given) > 1 else values
    outputs.spectrum = Hidden(values, lengths_along("mel", recorded))


def predictor_of(model: nn.Module) -> str | None:
    """Module path of what predicts durations; None if nothing does."""
    name, parts = synthesiser_of(model)
    has_one = isinstance(getattr(parts, "duration_predictor", None), nn.Module)
    return f"{name}.duration_predictor" if has_one else None


def missing_durations(model: nn.Module, _parts: Parts, _request: Request) -> str | None:
    """Why there are no durations."""
    if predictor_of(model) is not None:
        return None
    return (
        " predicts no durations; duration_mse compares models of fastspeech's kind, so "
        "remove it"
    )


def collect_durations(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the logarithms of the durations."""
    path = predictor_of(recorded.model)
    assert path is not None, "the model was checked"
    values = _output(recorded, path)
    values = values[..., None] if values.dim() == 2 else values
    outputs.durations = Hidden(values, duration_lengths(recorded))


def duration_lengths(recorded: RecordedPass) -> Tensor:
    """Labels that have a duration, (B,): of speech all and the end, of singing all."""
    family, path = family_of(recorded.model), predictor_of(recorded.model)
    rule = family.rule_of(path) if family is not None and path is not None else None
    assert rule is not None, "the model was checked"
    return lengths_along(rule.axis, recorded)


def given_durations(recorded: RecordedPass) -> Tensor:
    """The durations that the pass was forced along, in frames, (B, L) int64.

    A singing synthesiser brings those of the batch to the frames of its audio first.
    """
    name, _ = synthesiser_of(recorded.model)
    found: Tensor = recorded.called(f"{name}.length_regulator")[0].args[1]
    return found


def _output(recorded: RecordedPass, path: str) -> Tensor:
    calls = recorded.called(path)
    values = first_tensor(calls[0].output) if calls else None
    if values is None:
        raise KDError(f"the model's '{path}' did not run in this pass")
    return values
