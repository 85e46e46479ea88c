"""A model that runs beside a training and leaves no trace in it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.config.schema import Precision
from espnet_kd.errors import TeacherError, utterance_name

# Attributes of models by which they count errors and losses, or remember what they said.
ERRANDS: dict[str, Any] = {
    "error_calculator": None,
    "error_calculator_trans": None,
    "asr_error_calculator": None,
    "mt_error_calculator": None,
    "loss_wrappers": (),
    "log_epoch_metrics": False,
}


def freeze(model: nn.Module) -> nn.Module:
    """Make a model a silent guest: evaluating, without gradients or side errands."""
    model.eval().requires_grad_(False)
    for name, silent in ERRANDS.items():
        if hasattr(model, name):
            setattr(model, name, silent)
    ctc: Any = getattr(model, "ctc", None)
    if ctc is not None:
        ctc.dropout_rate = 0.0  # ESPnet applies it in evaluation as well
    encoder: Any = getattr(model, "encoder", None)
    if getattr(encoder, "dynamic_chunk_training", False):
        encoder.dynamic_chunk_training = False  # random chunks, also in evaluation
    return model


def follow(model: nn.Module, heard: Tensor) -> None:
    """Move a model to where its input is: ESPnet moves the student after building it."""
    parameter = next(model.parameters(), None)
    dtype = heard.dtype if heard.is_floating_point() else None
    if parameter is None or parameter.device != heard.device:
        model.to(device=heard.device)
    if dtype is not None and parameter is not None and parameter.dtype != dtype:
        model.to(dtype=dtype)


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


def too_short(name: str, error: Exception, batch: Mapping[str, Any]) -> TeacherError:
    """What is said of an utterance that a teacher's subsampling leaves nothing of."""
    shortest = int(batch["speech_lengths"].argmin())
    return TeacherError(
        f"teacher {name}: utterance "
        f"{utterance_name(shortest, batch.get('utt_id'))} is shorter than its "
        f"subsampling needs ({error}). Drop such utterances, by --min_seconds in "
        "stage 4 of the recipe."
    )


def cannot_take(name: str, whose: str, error: Exception, heard: Tensor) -> TeacherError:
    """What is said of a batch in which a teacher's own code failed."""
    shape = ", ".join(map(str, heard.shape))
    what, *_ = str(error).splitlines() or [""]
    return TeacherError(
        f"teacher {name}: it cannot take {whose} of {shape} "
        f"({type(error).__name__}: {what}). It needs what it was trained on: audio, or "
        "features of as many dimensions. Train the student on the same, or name a "
        "teacher that was trained on the student's"
    )


def not_finite(
    name: str, what: str, rows: Sequence[int], utt_ids: Sequence[str] | None
) -> TeacherError:
    """What is said of a teacher's outputs that hold nan or inf, of some utterances."""
    return TeacherError(
        f"teacher {name}: its {what} hold nan or inf for {len(rows)} "
        f"utterance(s), first {utterance_name(rows[0], utt_ids)}. Check the teacher's "
        "checkpoint and normalisation statistics, and whether it can run in this "
        "precision (try without --use_amp, or with 'precision: float32')."
    )
