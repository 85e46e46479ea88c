"""One pass of both models before training, for losses that must know their widths."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.forward import Labels, Request, evaluating, fork_rng, run_guest
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.parts import view_of
from espnet_kd.teachers.base import Guest


def trial(
    model: nn.Module,
    teacher: Guest | None,
    requests: tuple[Request, Request],
    example: Mapping[str, Tensor] | None,
) -> tuple[ModelOutputs, TeacherTargets | None]:
    """Hidden representations of both models for an example.

    Args:
        model: The student; its random numbers and modes are left where they were.
        teacher: The teacher, if there is one.
        requests: What the losses ask of each.
        example: ``speech`` and ``speech_lengths``; None for a second of noise.

    Raises:
        KDError: If there must be an example, because the model takes features.
    """
    batch = _example(model) if example is None else example
    device = next(model.parameters()).device
    batch = {key: value.to(device) for key, value in batch.items()}
    labels = _trial_labels(model, batch)
    ours, theirs = (Request(decoder=r.decoder, taps=r.taps) for r in requests)
    with fork_rng(device):
        with evaluating(model):
            student = run_guest(model, batch, ours, labels)
        if teacher is None:
            return student, None
        return student, teacher.trial(batch, theirs, labels)


def _example(model: nn.Module) -> dict[str, Tensor]:
    """A second of noise for a model that takes audio."""
    if getattr(model, "frontend", None) is None:
        raise KDError(
            "hidden losses need a trial pass to learn both widths, and this model "
            "takes features of unknown size: call attach(..., example=batch) with a "
            "batch of 'speech' and 'speech_lengths'"
        )
    noise = torch.Generator().manual_seed(0)
    speech = torch.randn(1, 16000, generator=noise)
    return {"speech": speech, "speech_lengths": torch.tensor([16000])}


def _trial_labels(model: nn.Module, batch: Mapping[str, Tensor]) -> Labels:
    """One label for each utterance of a trial."""
    size, device = len(batch["speech"]), batch["speech"].device
    eos = view_of(model).eos_id
    start = torch.full((size, 2), max(eos, 1), dtype=torch.long, device=device)
    two = torch.full((size,), 2, dtype=torch.long, device=device)
    return Labels(start, two, start[:, :1], two - 1)
