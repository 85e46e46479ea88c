"""A model that runs beside a training and leaves no trace in it."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.config.schema import Precision


def freeze(model: nn.Module) -> nn.Module:
    """Make a model a silent guest: evaluating, without gradients or side errands."""
    model.eval().requires_grad_(False)
    for name in ("error_calculator", "error_calculator_trans", "asr_error_calculator"):
        if hasattr(model, name):
            setattr(model, name, None)
    ctc: Any = getattr(model, "ctc", None)
    if ctc is not None:
        ctc.dropout_rate = 0.0  # ESPnet applies it in evaluation as well
    encoder: Any = getattr(model, "encoder", None)
    if getattr(encoder, "dynamic_chunk_training", False):
        encoder.dynamic_chunk_training = False  # random chunks, also in evaluation
    return model


@contextmanager
def without_front_end(model: Any) -> Iterator[None]:
    """Let a model take features for a while, as if it had been built for them."""
    front_end, model.frontend = model.frontend, None
    try:
        yield
    finally:
        model.frontend = front_end


def features_of(model: Any, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """What a model's encoder is given of a batch, (B, T, D), and its lengths."""
    with torch.no_grad():
        speech, lens = batch["speech"].clone(), batch["speech_lengths"]
        feats: Tensor
        feats, lens = model._extract_feats(speech, lens)
        return feats, lens


def in_precision(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Where a model computes; ``float32`` leaves a training's own precision as it is."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
