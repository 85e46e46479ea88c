"""Hidden representations and the lengths of their axes: a row of the table of outputs."""

import re
from typing import Any

from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.blocks import in_time, is_in_blocks
from espnet_kd.model.families import family_of
from espnet_kd.model.lengths import laid_out
from espnet_kd.model.outputs import Hidden, ModelOutputs
from espnet_kd.model.parts import Parts
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Request
from espnet_kd.model.taps import (
    check_unowned,
    find_module,
    first_tensor,
    parse_tap,
    select,
)

LAYER = re.compile(r"encoder\.encoders\.\d+")
LABEL_PARTS = ("decoder", "extra_asr_decoder", "extra_mt_decoder", "joint_network")


def is_label_tap(tap: str) -> bool:
    """Whether a tap's axis counts label positions rather than frames."""
    return parse_tap(tap).path.split(".")[0] in LABEL_PARTS


def layer_count(model: nn.Module) -> int:
    """Layers of a model's encoder, which taps call ``encoder.encoders.N``; 0 of others."""
    layers = getattr(getattr(model, "encoder", None), "encoders", None)
    return len(list(layers.children())) if isinstance(layers, nn.Module) else 0


def tapped(_parts: Parts, request: Request) -> list[str]:
    """Module paths of the taps."""
    return [parse_tap(tap).path for tap in request.listed("taps")]


def missing_tap(model: nn.Module, _parts: Parts, request: Request) -> str | None:
    """Which tap leads nowhere, or to what has no lengths that are known."""
    family = family_of(model)
    for path in tapped(_parts, request):
        try:
            check_unowned(request.listed("taps"))
            find_module(model, path)
        except KDError as error:
            return f": {error}"
        if family is not None and family.rule_of(path) is None:
            known = ", ".join(rule.path for rule in family.rules if rule.axis)
            return (
                f" is a {family.title}, in which the lengths of what '{path}' gives are "
                f"not known; tap one of {known}, or a module inside of it"
            )
    return None


def collect_hidden(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take what the taps gave; a layer that was dropped in this pass gave nothing."""
    family = family_of(recorded.model)
    for text in recorded.request.listed("taps"):
        tap = parse_tap(text)
        output = select(tap, recorded.calls[tap.path])
        rule = family.rule_of(tap.path) if family is not None else None
        if rule is not None:
            found = laid_out(recorded, rule, text, output)
            outputs.hidden |= {} if found is None else {text: found}
            continue
        values = first_tensor(output)
        if values is not None:
            if LAYER.fullmatch(tap.path):
                values = _by_frame(recorded, values)
            outputs.hidden[text] = Hidden(values, lengths_of(text, output, outputs))


def _by_frame(recorded: RecordedPass, values: Tensor) -> Tensor:
    """A layer's output frame by frame, also of an encoder that runs it block by block."""
    encoder = getattr(recorded.model, "encoder", None)
    if not is_in_blocks(encoder, values):
        return values
    encoder_out, _ = recorded.encoded()
    return in_time(encoder, values, encoder_out.shape[1])


def check_rows(values: Tensor, outputs: ModelOutputs, tap: str, side: str) -> None:
    """Require a tap to give one row for each utterance.

    Args:
        values: What it gave, (B, ...).
        outputs: Of the same pass.
        tap: Its name, for the message.
        side: ``student`` or ``teacher``, for the message.

    Raises:
        KDError: If its rows are something else.
    """
    utterances = len(outputs.encoder_out_lens)
    if len(values) != utterances:
        raise KDError(
            f"the {side}'s tap '{tap}' gives {len(values)} rows for {utterances} "
            "utterance(s): a streaming encoder runs its layers over blocks of an "
            "utterance. Remove the term, or compare the whole by a hidden_* loss with "
            "the tap 'encoder'"
        )


def lengths_of(tap: str, output: Any, outputs: ModelOutputs) -> Tensor:
    """A tap's real positions: its own if it returns some, else those of its axis.

    Raises:
        KDError: If it lies in a decoder that did not run.
    """
    if isinstance(output, list | tuple) and len(output) > 1:
        own = output[1]
        if isinstance(own, Tensor) and own.dim() == 1 and not own.is_floating_point():
            return own
    if not is_label_tap(tap):
        return outputs.encoder_out_lens
    if outputs.ys_in_lens is not None:
        return outputs.ys_in_lens
    if outputs.ys_lens is not None:
        return outputs.ys_lens + 1
    raise KDError(f"tap '{tap}' lies in a decoder that did not run")
