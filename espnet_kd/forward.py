"""Turn one pass of a model into ``ModelOutputs``: the student's recorded, a guest's run.

The student's pass is ESPnet's own; its parts are recorded by taps. A guest (the teacher,
or a model on trial) is run here, through its encoder and decoder only: its full
``forward`` would compute losses, error rates and, for transducers, a search.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.taps import Call, Taps, find_module, first_tensor, parse_tap, select
from espnet_kd.targets import Hidden, ModelOutputs
from espnet_kd.views import View, view_of

LABEL_PARTS = ("decoder", "extra_asr_decoder", "extra_mt_decoder", "joint_network")


@dataclass(frozen=True)
class Request:
    """What is wanted of a pass.

    Attributes:
        ctc: CTC logits.
        decoder: Decoder logits.
        taps: Hidden representations, as taps are written.
    """

    ctc: bool = False
    decoder: bool = False
    taps: tuple[str, ...] = ()


def recorder(model: nn.Module, request: Request) -> Taps:
    """Taps that record everything a request needs of the model's own pass."""
    view = view_of(model)
    parts = [view.encoder]
    parts += [view.ctc_lo] if request.ctc else []
    has_labels = any(is_label_tap(tap) for tap in request.taps)
    parts += [view.decoder] if request.decoder or (has_labels and view.decoder) else []
    return Taps([*parts, *(parse_tap(tap).path for tap in request.taps)])


def outputs_of_pass(
    model: nn.Module, calls: Mapping[str, list[Call]], request: Request
) -> ModelOutputs:
    """Collect what a request asks for from a recorded pass of the model.

    Raises:
        KDError: If the pass did not run the encoder, or a tap is ambiguous.
    """
    view = view_of(model)
    encoder_out, lens = _encoded(view, calls)
    outputs = ModelOutputs(encoder_out_lens=lens, blank_id=view.blank_id)
    if request.ctc:
        outputs.ctc_logits = _ctc_logits(model, view, calls, encoder_out)
    if calls.get(view.decoder):
        call = calls[view.decoder][0]
        outputs.decoder_logits = first_tensor(call.output)
        outputs.ys_in_pad, outputs.ys_in_lens = call.args[2:4]
    _add_hidden(outputs, calls, request)
    return outputs


def run_guest(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    request: Request,
    decoder_inputs: tuple[Tensor, Tensor] | None,
) -> ModelOutputs:
    """Run a frozen model's encoder and, if asked, its decoder along given prefixes.

    Args:
        model: An ESPnet model with ``encode``.
        batch: ``speech`` and ``speech_lengths``; left as they are.
        request: What is wanted.
        decoder_inputs: ``ys_in_pad`` (B, U+1) and ``ys_in_lens`` (B,), as the student
            gave them to its own decoder.

    Returns:
        Outputs without gradient.
    """
    view, taps = view_of(model), recorder(model, request)
    with torch.no_grad(), fork_rng(batch["speech"].device):
        taps.start(model)
        try:
            _run(model, view, batch, request, decoder_inputs)
        finally:
            calls = taps.stop()
        return outputs_of_pass(model, calls, request)


@contextmanager
def fork_rng(device: torch.device) -> Iterator[None]:
    """Let a guest draw random numbers without moving the student's stream."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _run(
    model: nn.Module,
    view: View,
    batch: Mapping[str, Tensor],
    request: Request,
    decoder_inputs: tuple[Tensor, Tensor] | None,
) -> None:
    # Without a front end the model normalises its input in place.
    encoder_out, lens = model.encode(batch["speech"].clone(), batch["speech_lengths"])
    encoder_out, lens = first_tensor(encoder_out), first_tensor(lens)
    if request.ctc:
        find_module(model, view.ctc_lo)(encoder_out)
    wants_labels = request.decoder or any(map(is_label_tap, request.taps))
    if wants_labels and decoder_inputs is not None:
        model.decoder(encoder_out, lens, *decoder_inputs)


def _encoded(view: View, calls: Mapping[str, list[Call]]) -> tuple[Tensor, Tensor]:
    if not calls.get(view.encoder):
        raise KDError(f"the model's '{view.encoder}' did not run in this pass")
    output = calls[view.encoder][-1].output
    return first_tensor(output), first_tensor(output[1])


def _ctc_logits(
    model: nn.Module, view: View, calls: Mapping[str, list[Call]], encoder_out: Tensor
) -> Tensor:
    """The final CTC logits; intermediate heads and error rates run the layer as well."""
    recorded = calls[view.ctc_lo]
    if len(recorded) == 1:
        return recorded[0].output
    return find_module(model, view.ctc_lo)(encoder_out)


def _add_hidden(
    outputs: ModelOutputs, calls: Mapping[str, list[Call]], request: Request
) -> None:
    for text in request.taps:
        tap = parse_tap(text)
        output = select(tap, calls[tap.path])
        values = first_tensor(output)
        if values is not None:
            lengths = _lengths(text, output, outputs)
            outputs.hidden[text] = Hidden(values, lengths)


def _lengths(tap: str, output: object, outputs: ModelOutputs) -> Tensor:
    """A tap's lengths: its own if it returns some, else those of its axis."""
    if isinstance(output, list | tuple) and len(output) > 1:
        own = output[1]
        is_lengths = isinstance(own, Tensor) and own.dim() == 1
        if is_lengths and not own.is_floating_point():
            return own
    if is_label_tap(tap):
        if outputs.ys_in_lens is None:
            raise KDError(f"tap '{tap}' lies in a decoder that did not run")
        return outputs.ys_in_lens
    return outputs.encoder_out_lens


def is_label_tap(tap: str) -> bool:
    """Whether a tap's axis counts label positions rather than frames."""
    return parse_tap(tap).path.split(".")[0] in LABEL_PARTS
