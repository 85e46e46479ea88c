"""Where a model keeps what the losses need: its encoder, CTC layer and decoder.

Models are recognised by what they have, not by their class, so that this file needs no
ESPnet and a new task costs a line.
"""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class View:
    """Module paths of a model's parts; None where it has no such part.

    Attributes:
        encoder: Gives the encoder's output and its lengths.
        ctc_lo: The linear layer in front of CTC's softmax.
        decoder: The attention decoder (a transducer's prediction network is none).
        blank_id: Index of CTC's blank.
    """

    encoder: str
    ctc_lo: str | None
    decoder: str | None
    blank_id: int


def view_of(model: nn.Module) -> View:
    """Find the parts of an ESPnet model (ASR, transducer, speech translation)."""
    post = getattr(model, "postencoder", None)
    return View(
        encoder="encoder" if post is None else "postencoder",
        ctc_lo=_ctc_path(model),
        decoder=_decoder_path(model),
        blank_id=int(getattr(model, "blank_id", 0)),
    )


def _ctc_path(model: nn.Module) -> str | None:
    if getattr(getattr(model, "ctc", None), "ctc_lo", None) is not None:
        return "ctc.ctc_lo"
    if isinstance(getattr(model, "ctc_lin", None), nn.Module):
        return "ctc_lin"
    return None


def _decoder_path(model: nn.Module) -> str | None:
    joints = ("joint_network", "st_joint_network")
    is_transducer = any(getattr(model, name, None) is not None for name in joints)
    has_decoder = isinstance(getattr(model, "decoder", None), nn.Module)
    return "decoder" if has_decoder and not is_transducer else None
