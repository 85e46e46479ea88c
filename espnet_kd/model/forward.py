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
from espnet_kd.model.joint import add_lattice, predict
from espnet_kd.model.outputs import Decode, Hidden, ModelOutputs
from espnet_kd.model.parts import View, view_of
from espnet_kd.model.taps import Call, Taps, find_module, first_tensor, parse_tap, select

LABEL_PARTS = ("decoder", "extra_asr_decoder", "extra_mt_decoder", "joint_network")


@dataclass(frozen=True)
class Request:
    """What is wanted of a pass.

    Attributes:
        ctc: CTC logits.
        interctc: Encoder layers whose intermediate CTC logits are wanted.
        decoder: Decoder logits.
        joint: Of a transducer's lattice: ``classes``, ``path`` or ``logits``.
        labels: The transcript.
        forced: What the decoder was forced along, for a guest's to follow.
        decode: The attention decoder, to be run along other prefixes.
        nbest: Hypotheses of a search.
        taps: Hidden representations, as taps are written.
    """

    ctc: bool = False
    interctc: tuple[int, ...] = ()
    decoder: bool = False
    joint: tuple[str, ...] = ()
    labels: bool = False
    forced: bool = False
    decode: bool = False
    nbest: int = 0
    taps: tuple[str, ...] = ()

    @property
    def along_labels(self) -> bool:
        """Whether the part of the model behind the labels has to run."""
        own = self.decoder or self.forced or bool(self.joint)
        return own or any(map(is_label_tap, self.taps))


@dataclass(frozen=True)
class Labels:
    """What a guest's decoder is forced along.

    Attributes:
        ys_in_pad: An attention decoder's prefix, (B, U+1), as the student's was given.
        ys_in_lens: Its lengths, (B,).
        ys_pad: The transcript, (B, U).
        ys_lens: Its lengths, (B,).
    """

    ys_in_pad: Tensor | None = None
    ys_in_lens: Tensor | None = None
    ys_pad: Tensor | None = None
    ys_lens: Tensor | None = None


def recorder(model: nn.Module, request: Request) -> Taps:
    """Taps that record everything a request needs of the model's own pass."""
    view = view_of(model)
    parts = [view.encoder]
    parts += ["encoder"] if request.interctc else []
    parts += [view.ctc_lo] if request.ctc or request.interctc else []
    parts += [view.decoder] if request.along_labels and view.decoder else []
    parts += [view.joint] if request.joint else []
    return Taps([*parts, *(parse_tap(tap).path for tap in request.taps)])


def outputs_of_pass(
    model: nn.Module,
    calls: Mapping[str, list[Call]],
    request: Request,
    batch: Mapping[str, Tensor] | None = None,
) -> ModelOutputs:
    """Collect what a request asks for from a recorded pass of the model.

    Args:
        model: The model that ran.
        calls: What was recorded of it.
        request: What is wanted.
        batch: What it was given; its transcript is taken from here.

    Raises:
        KDError: If the pass did not run the encoder, or a tap is ambiguous.
    """
    view = view_of(model)
    encoder_out, lens = _encoded(view, calls)
    outputs = ModelOutputs(
        lens, encoder_out=encoder_out, blank_id=view.blank_id, eos_id=view.eos_id
    )
    _add_labels(outputs, view, request, batch or {})
    if request.ctc:
        outputs.ctc_logits = _ctc_logits(model, view, calls, encoder_out)
    if request.interctc:
        outputs.interctc_logits = _interctc_logits(model, view, calls, request)
    if calls.get(view.decoder):
        call = calls[view.decoder][0]
        outputs.decoder_logits = first_tensor(call.output)
        outputs.ys_in_pad, outputs.ys_in_lens = call.args[2:4]
    if calls.get(view.joint):
        # The lattice comes first; a search that measures errors comes after it.
        outputs.joint_logits = first_tensor(calls[view.joint][0].output)
    if request.decode:
        outputs.decode = _decoder_of(model, encoder_out, lens)
    _add_hidden(outputs, calls, request)
    return outputs


def run_guest(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    request: Request,
    labels: Labels | None = None,
) -> ModelOutputs:
    """Run a frozen model's encoder and, if asked, its decoder along given labels.

    Args:
        model: An ESPnet model with ``encode``.
        batch: ``speech`` and ``speech_lengths``; left as they are.
        request: What is wanted.
        labels: What the student's own decoder was given.

    Returns:
        Outputs without gradient.
    """
    view, taps = view_of(model), recorder(model, request)
    labels = labels or Labels()
    with torch.no_grad(), fork_rng(batch["speech"].device):
        taps.start(model)
        try:
            _run(model, view, batch, request, labels)
        finally:
            calls = taps.stop()
        texts = {}
        if labels.ys_pad is not None:
            texts = {view.text: labels.ys_pad, f"{view.text}_lengths": labels.ys_lens}
        outputs = outputs_of_pass(model, calls, request, texts)
        if request.joint:
            add_lattice(outputs, model, view, request.joint)
        return outputs


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
    labels: Labels,
) -> None:
    # Without a front end the model normalises its input in place.
    encoder_out, lens = model.encode(batch["speech"].clone(), batch["speech_lengths"])
    encoder_out, lens = first_tensor(encoder_out), first_tensor(lens)
    if request.ctc:
        find_module(model, view.ctc_lo)(encoder_out)
    if not request.along_labels:
        return
    if view.decoder and labels.ys_in_pad is not None:
        model.decoder(encoder_out, lens, labels.ys_in_pad, labels.ys_in_lens)
    elif view.predictor and any(map(is_label_tap, request.taps)):
        predict(model, view, labels.ys_pad, labels.ys_lens)


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


def _interctc_logits(
    model: nn.Module, view: View, calls: Mapping[str, list[Call]], request: Request
) -> dict[int, Tensor]:
    """Logits of intermediate CTC heads, which share the final one's layer."""
    encoder_out = calls["encoder"][-1].output[0]
    between = dict(encoder_out[1]) if isinstance(encoder_out, tuple) else {}
    layer = find_module(model, view.ctc_lo)
    return {index: layer(between[index]) for index in request.interctc}


def _add_labels(
    outputs: ModelOutputs, view: View, request: Request, batch: Mapping[str, Tensor]
) -> None:
    if request.labels and view.text not in batch:
        raise KDError(
            f"a loss needs the transcript, and this batch has no '{view.text}'; train on "
            "transcribed audio, or remove the losses that read it (see the README)"
        )
    if view.text in batch:
        outputs.ys_pad = batch[view.text]
        outputs.ys_lens = batch[f"{view.text}_lengths"]


def _decoder_of(model: nn.Module, encoder_out: Tensor, lens: Tensor) -> Decode:
    """The decoder over this pass's encoder output, in the precision of this pass."""
    kind = encoder_out.device.type
    ambient = (torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))

    def decode(ys_in: Tensor, ys_in_lens: Tensor, rows: Tensor) -> Tensor:
        dtype, enabled = ambient
        with torch.autocast(kind, dtype=dtype, enabled=enabled):
            output = model.decoder(encoder_out[rows], lens[rows], ys_in, ys_in_lens)
        return first_tensor(output)

    return decode


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
    if not is_label_tap(tap):
        return outputs.encoder_out_lens
    if outputs.ys_in_lens is not None:
        return outputs.ys_in_lens
    if outputs.ys_lens is not None:
        return outputs.ys_lens + 1
    raise KDError(f"tap '{tap}' lies in a decoder that did not run")


def is_label_tap(tap: str) -> bool:
    """Whether a tap's axis counts label positions rather than frames."""
    return parse_tap(tap).path.split(".")[0] in LABEL_PARTS
