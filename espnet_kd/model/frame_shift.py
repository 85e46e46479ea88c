"""How long a frame of a model's encoder is, where its parts say so."""

from math import prod
from typing import Any

from torch import nn

from espnet_kd.model.parts import has_recurrent_encoder

STRIDED = (nn.Conv1d, nn.Conv2d, nn.MaxPool1d, nn.MaxPool2d)


def frame_shift(model: nn.Module) -> float | None:
    """Milliseconds from one frame of the encoder's output to the next.

    Args:
        model: An ESPnet model.

    Returns:
        The front end's hop times the encoder's subsampling; None where either is not to
        be read off the model, as of one that takes features.
    """
    hop, factor = _hop(getattr(model, "frontend", None)), subsampling(model)
    return None if hop is None or factor is None else hop * factor


def subsampling(model: nn.Module) -> int | None:
    """Frames of features to one of the encoder's output; None where it is not known."""
    encoder: Any = getattr(model, "encoder", None)
    around = (getattr(model, name, None) for name in ("preencoder", "postencoder"))
    layers = getattr(encoder, "encoders", None)
    if any(part is not None for part in around) or not isinstance(layers, nn.Module):
        return None
    if has_recurrent_encoder(model) or _strides(layers) != 1:
        return None
    return _strides(getattr(encoder, "embed", None))


def _strides(module: nn.Module | None) -> int:
    """The product of all steps in time; of two axes, time is the first."""
    found = [m for m in module.modules() if isinstance(m, STRIDED)] if module else []
    return prod(m.stride if isinstance(m.stride, int) else m.stride[0] for m in found)


def _hop(frontend: Any) -> float | None:
    """Milliseconds from frame to frame of ESPnet's default front end, None of others."""
    hop, logmel = (getattr(frontend, name, None) for name in ("hop_length", "logmel"))
    rate = getattr(logmel, "mel_options", {}).get("sr")
    return 1000 * hop / rate if hop and rate else None
