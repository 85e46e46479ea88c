"""Where a model keeps what the losses need: its encoder, CTC layer, decoder and joint.

Models are recognised by what they have, not by their class, so that this file needs no
ESPnet and a new task costs a line.
"""

from dataclasses import dataclass

from torch import nn

from espnet_kd.model.families import family_of


@dataclass(frozen=True)
class Parts:
    """Module paths of a model's parts; None where it has no such part.

    Attributes:
        encoder: Gives the encoder's output and its lengths.
        ctc_lo: The linear layer in front of CTC's softmax.
        decoder: The attention decoder.
        predictor: A transducer's prediction network.
        joint: Its joint network.
        interctc: Encoder layers, from 1, behind which CTC is applied as well.
        text: Key of a batch under which the transcript is, that CTC is over.
        blank_id: Index of blank.
        sos_id: Index of the start of a sentence.
        eos_id: Index of the end of a sentence.
    """

    encoder: str
    ctc_lo: str | None
    decoder: str | None
    predictor: str | None
    joint: str | None
    interctc: tuple[int, ...]
    text: str
    blank_id: int
    sos_id: int
    eos_id: int


def parts_of(model: nn.Module) -> Parts:
    """Find the parts of an ESPnet model (ASR, transducer, speech translation)."""
    post = getattr(model, "postencoder", None)
    encoder = getattr(model, "encoder", None)
    decoder = "decoder" if isinstance(getattr(model, "decoder", None), nn.Module) else None
    joint = _joint_path(model)
    eos_id = int(getattr(model, "eos", -1))
    if (family := family_of(model)) is not None:
        decoder = family.decoder
    return Parts(
        encoder="encoder" if post is None else "postencoder",
        ctc_lo=_ctc_path(model),
        decoder=None if joint else decoder,
        predictor=decoder if joint else None,
        joint=joint,
        interctc=tuple(getattr(encoder, "interctc_layer_idx", ())),
        text=_ctc_text(model),
        blank_id=int(getattr(model, "blank_id", 0)),
        sos_id=int(getattr(model, "sos", eos_id)),
        eos_id=eos_id,
    )


def has_recurrent_encoder(model: nn.Module) -> bool:
    """Whether utterances must come by falling length, as torch packs them for its RNNs."""
    return bool(_recurrences(model))


def reads_transcript(model: nn.Module) -> bool:
    """Whether a model of spoken language understanding is given the words as well."""
    readers = ("postdecoder", "deliberationencoder")
    return any(getattr(model, name, None) is not None for name in readers)


def is_unidirectional(model: nn.Module) -> bool:
    """Whether the encoder is recurrent and goes from the past to the future only."""
    found = _recurrences(model)
    return bool(found) and not any(module.bidirectional for module in found)


def _recurrences(model: nn.Module) -> list[nn.RNNBase]:
    encoder = getattr(model, "encoder", None)
    modules = encoder.modules() if isinstance(encoder, nn.Module) else ()
    return [module for module in modules if isinstance(module, nn.RNNBase)]


def _ctc_text(model: nn.Module) -> str:
    """Name of the transcript that CTC is over: of the source, or OWSM's of its own."""
    if hasattr(model, "src_vocab_size"):
        return "src_text"
    return "text_ctc" if hasattr(model, "sop") else "text"


def _ctc_path(model: nn.Module) -> str | None:
    if getattr(getattr(model, "ctc", None), "ctc_lo", None) is not None:
        return "ctc.ctc_lo"
    if isinstance(getattr(model, "ctc_lin", None), nn.Module):
        return "ctc_lin"
    return None


def _joint_path(model: nn.Module) -> str | None:
    joints = ("joint_network", "st_joint_network")
    found = (name for name in joints if getattr(model, name, None) is not None)
    return next(found, None)
