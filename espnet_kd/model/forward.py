"""Turn one pass of a model into ``ModelOutputs``: the student's recorded, a guest's run.

The student's pass is ESPnet's own; its parts are recorded by taps. A guest (the teacher,
or a model that is tried) is run here: a model that is asked by parts through its encoder
and decoder only, for its full ``forward`` would compute losses, error rates and, for
transducers, a search; any other (``families``) by that ``forward``, its loss thrown away.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.families import family_of
from espnet_kd.model.hidden import is_label_tap
from espnet_kd.model.joint import predict
from espnet_kd.model.lengths import lengths_along
from espnet_kd.model.outputs import ModelOutputs
from espnet_kd.model.parts import Parts, parts_of, reads_transcript
from espnet_kd.model.posteriors import collect_decoder, collect_labels
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Labels, Request
from espnet_kd.model.table import rows_of
from espnet_kd.model.taps import Call, Taps, first_tensor, has_module

# What a student may overwrite in its own batch: features when it has no front end
# (time warp, masks, normalisation), lengths when a language token is put in front.
CLONED = ("speech", "speech_lengths", "text_lengths")

# What models of spoken language understanding may be given beside the audio.
TRANSCRIPT = ("transcript", "transcript_lengths")


def recorder(model: nn.Module, request: Request) -> Taps:
    """Taps that record everything a request needs of the model's own pass."""
    parts, family = parts_of(model), family_of(model)
    paths: list[str | None] = [parts.encoder]
    if family is not None:
        paths = [path for path in family.reads if has_module(model, path)]
    for row in rows_of(request):
        paths += row.records(parts, request)
    if runs_along_labels(request):
        paths.append(parts.decoder)
    return Taps([path for path in paths if path is not None])


def outputs_of_pass(
    model: nn.Module,
    calls: Mapping[str, list[Call]],
    request: Request,
    batch: Mapping[str, Any] | None = None,
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
    parts = parts_of(model)
    recorded = RecordedPass(model, parts, calls, request, batch or {})
    family = family_of(model)
    if family is None:
        encoder_out, lens = recorded.encoded()
    else:
        encoder_out, lens = None, lengths_along(family.axis, recorded)
    outputs = ModelOutputs(
        lens,
        encoder_out=encoder_out,
        blank_id=parts.blank_id,
        sos_id=parts.sos_id,
        eos_id=parts.eos_id,
    )
    # What other parts are counted by, wanted or not.
    collect_labels(recorded, outputs)
    collect_decoder(recorded, outputs)
    for row in rows_of(request):
        row.collect(recorded, outputs)
    return outputs


def run_guest(
    model: nn.Module,
    batch: Mapping[str, Any],
    request: Request,
    labels: Labels | None = None,
) -> ModelOutputs:
    """Run a frozen model: its encoder and, if asked, its decoder along given labels.

    Args:
        model: An ESPnet model.
        batch: ``speech`` and ``speech_lengths``, or, of a model that is asked by its own
            forward pass, all that it takes; left as they are.
        request: What is wanted.
        labels: What the student's own decoder was given.

    Returns:
        Outputs without gradient.
    """
    parts, taps, family = parts_of(model), recorder(model, request), family_of(model)
    labels = labels or Labels()
    with torch.no_grad(), fork_rng(stream_of(model, batch).device):
        taps.start(model)
        try:
            if family is not None:
                # Some models write into what they are given.
                model(**kept(model, batch))
            else:
                _run(model, parts, batch, request, labels)
        finally:
            calls = taps.stop()
        if family is not None:
            return outputs_of_pass(model, calls, request, batch)
        texts = {}
        if labels.ys_pad is not None:
            texts = {parts.text: labels.ys_pad, f"{parts.text}_lengths": labels.ys_lens}
        texts |= {"hyp_in_pad": labels.hyp_in_pad, "hyp_in_lens": labels.hyp_in_lens}
        return outputs_of_pass(model, calls, request, texts)


def stream_of(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """What a model hears or reads of a batch: ``speech``, or its family's stream.

    Raises:
        KDError: If the batch does not have it.
    """
    family = family_of(model)
    name = "speech" if family is None else family.stream
    stream = batch.get(name)
    if not isinstance(stream, Tensor):
        raise KDError(f"the batch has no '{name}', which the model takes")
    return stream


def kept(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The batch as it came in, whatever the model is going to do to its own."""
    names = CLONED if family_of(model) is None else tuple(batch)
    copies = {k: v.clone() for k in names if isinstance(v := batch.get(k), Tensor)}
    return {**batch, **copies}


def runs_along_labels(request: Request) -> bool:
    """Whether the part of the model behind the labels has to run."""
    own = any(name in request for name in ("decoder", "forced", "joint"))
    return own or any(map(is_label_tap, request.listed("taps")))


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
    parts: Parts,
    batch: Mapping[str, Any],
    request: Request,
    labels: Labels,
) -> None:
    espnet: Any = model
    # Without a front end the model normalises its input in place.
    words = [batch.get(name) for name in TRANSCRIPT] if reads_transcript(model) else []
    heard = (batch["speech"].clone(), batch["speech_lengths"])
    encoder_out, lens = espnet.encode(*heard, *words)
    encoder_out, lens = first_tensor(encoder_out), first_tensor(lens)
    if not runs_along_labels(request):
        return
    if parts.decoder and labels.ys_in_pad is not None:
        espnet.decoder(encoder_out, lens, labels.ys_in_pad, labels.ys_in_lens)
    elif parts.predictor and any(map(is_label_tap, request.listed("taps"))):
        predict(model, parts, labels)
