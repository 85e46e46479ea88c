"""Turn one pass of a model into ``ModelOutputs``: the student's recorded, a guest's run.

The student's pass is ESPnet's own; its parts are recorded by taps. A guest (the teacher,
or a model that is tried) is run here, through its encoder and decoder only: its full
``forward`` would compute losses, error rates and, for transducers, a search.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from espnet_kd.model.hidden import is_label_tap
from espnet_kd.model.joint import predict
from espnet_kd.model.outputs import ModelOutputs
from espnet_kd.model.parts import Parts, parts_of
from espnet_kd.model.posteriors import collect_decoder, collect_labels
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Labels, Request
from espnet_kd.model.table import rows_of
from espnet_kd.model.taps import Call, Taps, first_tensor


def recorder(model: nn.Module, request: Request) -> Taps:
    """Taps that record everything a request needs of the model's own pass."""
    parts = parts_of(model)
    paths: list[str | None] = [parts.encoder]
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
    encoder_out, lens = recorded.encoded()
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
    """Run a frozen model's encoder and, if asked, its decoder along given labels.

    Args:
        model: An ESPnet model with ``encode``.
        batch: ``speech`` and ``speech_lengths``; left as they are.
        request: What is wanted.
        labels: What the student's own decoder was given.

    Returns:
        Outputs without gradient.
    """
    parts, taps = parts_of(model), recorder(model, request)
    labels = labels or Labels()
    with torch.no_grad(), fork_rng(batch["speech"].device):
        taps.start(model)
        try:
            _run(model, parts, batch, request, labels)
        finally:
            calls = taps.stop()
        texts = {}
        if labels.ys_pad is not None:
            texts = {parts.text: labels.ys_pad, f"{parts.text}_lengths": labels.ys_lens}
        texts |= {"hyp_in_pad": labels.hyp_in_pad, "hyp_in_lens": labels.hyp_in_lens}
        return outputs_of_pass(model, calls, request, texts)


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
    encoder_out, lens = espnet.encode(batch["speech"].clone(), batch["speech_lengths"])
    encoder_out, lens = first_tensor(encoder_out), first_tensor(lens)
    if not runs_along_labels(request):
        return
    if parts.decoder and labels.ys_in_pad is not None:
        espnet.decoder(encoder_out, lens, labels.ys_in_pad, labels.ys_in_lens)
    elif parts.predictor and any(map(is_label_tap, request.listed("taps"))):
        predict(model, parts, labels)
