"""One pass of both models before training, which shows their widths and frame rates."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.families import family_of
from espnet_kd.model.forward import evaluating, fork_rng, run_guest
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.parts import parts_of, reads_transcript
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question, Teacher


def probe(
    model: nn.Module,
    teacher: Teacher | None,
    requests: tuple[Request, Request],
    example: Mapping[str, Tensor] | None,
) -> tuple[ModelOutputs, TeacherTargets]:
    """Hidden representations of both models for an example.

    Args:
        model: The student; its random numbers and modes are left where they were.
        teacher: The teacher, if there is one.
        requests: What the losses ask of student and teacher.
        example: ``speech`` and ``speech_lengths``, and the stream that a teacher hears if
            it is another; of a model that is asked by its own forward pass all that it
            takes; None for a second of noise.

    Raises:
        KDError: If there must be an example, because the model takes features.
    """
    batch = _example(model) if example is None else example
    device = next(model.parameters()).device
    # Of a whole batch of training, names are no tensors.
    batch = {k: v.to(device) for k, v in batch.items() if isinstance(v, Tensor)}
    labels = _labels(model, batch)
    of_student, of_teacher = map(_tapped, requests)
    with fork_rng(device):
        with evaluating(model):
            student = run_guest(model, batch, of_student, labels)
        if teacher is None:
            return student, TeacherTargets(student.encoder_out_lens)
        features = takes_features(model, batch)
        question = Question(batch, of_teacher, labels, is_features=features)
        return student, teacher.probe(question)


def can_probe(model: nn.Module, example: Mapping[str, Tensor] | None) -> bool:
    """Whether there is something to try a model on: an example, or audio of any kind."""
    if family_of(model) is not None or (example is None and reads_transcript(model)):
        return False  # a pass that needs a whole batch is made only for what it shows
    return example is not None or getattr(model, "frontend", None) is not None


def takes_features(model: nn.Module, batch: Mapping[str, Any]) -> bool:
    """Whether a student is given features: (B, T, D) without a front end for channels."""
    if family_of(model) is not None or getattr(model, "frontend", None) is not None:
        return False
    return bool(batch["speech"].dim() == 3)


def _tapped(request: Request) -> Request:
    """What of a request has to run for its taps."""
    listed = {name: request.listed(name) for name in ("taps", "codebooks")}
    return Request(decoder="decoder" in request, **listed)


def _example(model: nn.Module) -> dict[str, Tensor]:
    """A second of noise for a model that takes audio."""
    if (family := family_of(model)) is not None:
        raise KDError(
            f"taps of a {family.title} need a trial pass, which takes a batch of the "
            "training: call attach(..., example=batch) with all that the model takes"
        )
    if reads_transcript(model):
        raise KDError(
            "hidden losses need a trial pass, and this model reads a transcript: call "
            "attach(..., example=batch) with a batch of the training"
        )
    if getattr(model, "frontend", None) is None:
        raise KDError(
            "hidden losses need a trial pass to learn both widths, and this model "
            "takes features of unknown size: call attach(..., example=batch) with a "
            "batch of 'speech' and 'speech_lengths'"
        )
    noise = torch.Generator().manual_seed(0)
    speech = torch.randn(1, 16000, generator=noise)
    return {"speech": speech, "speech_lengths": torch.tensor([16000])}


def _labels(model: nn.Module, batch: Mapping[str, Tensor]) -> Labels:
    """One label for each utterance of the example."""
    if family_of(model) is not None:
        return Labels()  # it reads its own
    size, device = len(batch["speech"]), batch["speech"].device
    eos = parts_of(model).eos_id
    start = torch.full((size, 2), max(eos, 1), dtype=torch.long, device=device)
    two = torch.full((size,), 2, dtype=torch.long, device=device)
    return Labels(start, two, start[:, :1], two - 1)
