"""How many positions of each axis are real, in models asked by their own forward pass.

An axis is named by the rules of ``families``; its row of ``AXES`` reads the lengths, (B,),
off a recorded pass. What taps gave is brought into the form that losses compare.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from espnet_kd.errors import KDError
from espnet_kd.model.families import Rule, family_of, synthesiser_of
from espnet_kd.model.outputs import Hidden
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.taps import first_tensor

# A pass, and the width of the axis in it -> real positions of each utterance, (B,).
Axis = Callable[[RecordedPass, int], Tensor]


def lengths_along(axis: str, recorded: RecordedPass, width: int = 0) -> Tensor:
    """Real positions of an axis, (B,).

    Args:
        axis: One of ``AXES``.
        recorded: A pass of the model.
        width: Positions of the padded axis, for an axis of which they say how much is real.

    Raises:
        KDError: If what says so is not in the pass.
    """
    return AXES[axis](recorded, width)


def laid_out(recorded: RecordedPass, rule: Rule, tap: str, output: Any) -> Hidden | None:
    """What a tap gave, as (B, L, D), with its lengths; None of a layer that was dropped.

    Args:
        recorded: The pass.
        rule: Of the tapped module.
        tap: As the user wrote it, for messages.
        output: What it gave.

    Raises:
        KDError: If that is not laid out as the rule says.
    """
    values = first_tensor(output)
    if values is None:
        return None
    if values.is_complex():
        raise KDError(
            f"tap '{tap}' gives complex numbers, which hidden losses do not compare; tap "
            "a layer inside of the separator, or use spectrum_l1"
        )
    if values.dim() == 2:  # one vector an utterance, or one number a position
        values = values[:, None] if rule.axis == "utterance" else values[..., None]
    if rule.last and values.dim() == 3:
        values = values.transpose(1, 2)
    width = values.shape[1] if values.dim() > 1 else 0
    own = _lengths_in(output)
    lengths = lengths_along(rule.axis, recorded, width) if own is None else own
    _check_fit(values, lengths, tap)
    return Hidden(values, lengths)


def _check_fit(values: Tensor, lengths: Tensor, tap: str) -> None:
    """Require a row of each utterance, and room for all of its positions."""
    rows, width = len(values), values.shape[1] if values.dim() > 1 else 0
    longest = int(lengths.max()) if len(lengths) else 0
    if rows != len(lengths) or width < longest:
        raise KDError(
            f"tap '{tap}' gives {rows} rows of {width} positions for {len(lengths)} "
            f"utterance(s) of up to {longest}, so that its lengths are not known; tap the "
            "module around it, or another layer"
        )


def prefix_of(recorded: RecordedPass, decoder: str | None) -> tuple[Tensor, Tensor] | None:
    """What a decoder was forced along, (B, U+1), and its lengths, (B,).

    A language model is given tokens alone, with or without a start in front; an attention
    decoder is given the lengths as well. None of a decoder that did not run.
    """
    calls = recorded.called(decoder)
    if not calls:
        return None
    if len(calls[0].args) > 3:
        ys_in, lens = calls[0].args[2:4]
        return ys_in, lens
    ys_in, lens = calls[0].args[0], recorded.batch["text_lengths"]
    return ys_in, lens + (ys_in.shape[1] - lens.max())


def _prefix(recorded: RecordedPass, _width: int) -> Tensor:
    found = prefix_of(recorded, recorded.parts.decoder)
    if found is None:
        raise KDError("the model's decoder did not run in this pass")
    return found[1]


def _labels(recorded: RecordedPass, _width: int) -> Tensor:
    lens: Tensor = recorded.batch["text_lengths"]
    return lens + 1  # the end of the sentence


def _notes(recorded: RecordedPass, _width: int) -> Tensor:
    """Of what is sung, as the predictor of its durations is told."""
    calls = recorded.called("svs.duration_predictor")
    if not calls or len(calls[0].args) < 2:
        raise KDError(
            "the singing synthesiser predicts no durations, so that the lengths of its "
            "score are not known; tap its decoder, or distil xiaoice or naive_rnn_dp"
        )
    padding: Tensor = calls[0].args[1]
    return (~padding).sum(1)


def _mel(recorded: RecordedPass, _width: int) -> Tensor:
    lens = _own(recorded, "feats_extract")
    family = family_of(recorded.model)
    assert family is not None, "frames of mel are a family's"
    # Where features are ready, they are the stream itself.
    lens = recorded.batch[f"{family.stream}_lengths"] if lens is None else lens
    return lens - lens % _reduction(recorded)


def _steps(recorded: RecordedPass, width: int) -> Tensor:
    steps: Tensor = _mel(recorded, width) // _reduction(recorded)
    return steps


def _reduction(recorded: RecordedPass) -> int:
    """Mel frames that one step of a synthesiser's decoder gives."""
    return int(getattr(synthesiser_of(recorded.model)[1], "reduction_factor", 1))


def _samples(recorded: RecordedPass, _width: int) -> Tensor:
    return _of_stream(recorded, "speech_mix")


def _frames(recorded: RecordedPass, _width: int) -> Tensor:
    for path in ("separator", "encoder"):
        lens = _own(recorded, path)
        if lens is not None:
            return lens
    raise KDError("neither separator nor encoder gave its lengths in this pass")


def _features(recorded: RecordedPass, _width: int) -> Tensor:
    lens = _own(recorded, "frontend")
    return _of_stream(recorded, "speech") if lens is None else lens


def _share(recorded: RecordedPass, width: int) -> Tensor:
    """An encoder's frames as the part of its input that is real; rounded up."""
    calls = recorded.called("frontend")
    given = first_tensor(calls[0].output) if calls else recorded.batch["speech"]
    assert given is not None, "a front end gives features"
    features = _features(recorded, width)
    return -(-features * width // max(given.shape[1], 1))


def _utterance(recorded: RecordedPass, _width: int) -> Tensor:
    return torch.ones_like(_features(recorded, 0))


AXES: dict[str, Axis] = {
    "prefix": _prefix,
    "labels": _labels,
    "notes": _notes,
    "mel": _mel,
    "steps": _steps,
    "samples": _samples,
    "frames": _frames,
    "features": _features,
    "share": _share,
    "utterance": _utterance,
}


def _own(recorded: RecordedPass, path: str) -> Tensor | None:
    """The lengths that a module returns beside its output; None if it gave none."""
    calls = recorded.called(path)
    return _lengths_in(calls[0].output) if calls else None


def _lengths_in(output: Any) -> Tensor | None:
    if not isinstance(output, list | tuple) or len(output) < 2:
        return None
    lens = output[1]
    is_count = isinstance(lens, Tensor) and lens.dim() == 1
    return lens if is_count and not lens.is_floating_point() else None


def _of_stream(recorded: RecordedPass, name: str) -> Tensor:
    """The lengths of an input; of one without, as chunks are, its whole width."""
    values, lens = recorded.batch[name], recorded.batch.get(f"{name}_lengths")
    if lens is not None:
        return torch.as_tensor(lens, device=values.device)
    return torch.full((len(values),), values.shape[1], device=values.device)
