"""attach and detach: make any ESPnet model learn from a teacher, and let it go again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from espnet_kd.align import check_vocabulary
from espnet_kd.config import KDConfig, parse_config
from espnet_kd.errors import ConfigError, KDError, Problem
from espnet_kd.forward import (
    Request,
    evaluating,
    fork_rng,
    is_label_tap,
    outputs_of_pass,
    recorder,
    run_guest,
)
from espnet_kd.losses import LOSSES
from espnet_kd.objective import Objective
from espnet_kd.targets import ModelOutputs, TeacherTargets
from espnet_kd.teacher import Teacher, check_needs

ATTRIBUTE = "_espnet_kd"
PROJECTIONS = "kd_projections"
# What a student may overwrite in its own batch: features when it has no front end
# (time warp, masks, normalisation), lengths when a language token is put in front.
CLONED = ("speech", "speech_lengths")


def attach(
    model: nn.Module,
    kd_conf: Mapping[str, Any] | KDConfig,
    teacher: nn.Module | Teacher | None = None,
    *,
    example: Mapping[str, Tensor] | None = None,
    task: type | None = None,
) -> "Attachment":
    """Make a model learn from a teacher in every forward pass.

    The model keeps its class, its parameters and its ``state_dict``; its ``forward``
    still gives ``loss, stats, weight`` (or the dict form), with the distillation terms
    in the loss and ``loss_kd``, ``loss_kd_<name>``, ``loss_task`` in the stats. Any
    other output passes through untouched. Call it before the optimizer is built: hidden
    losses between different widths bring a projection, as a submodule of the model
    that no ``state_dict`` shows.

    Args:
        model: Any ESPnet model, the student.
        kd_conf: The configuration, as a mapping (see README) or validated.
        teacher: A trained model, frozen in place; None loads ``teachers`` of the
            configuration.
        example: A batch to try both models on, needed only for hidden losses on a
            model that takes features (no front end).
        task: ESPnet task class that can build the teacher; the ASR task by default.

    Returns:
        The attachment, also found by ``attachment_of(model)``.

    Raises:
        ConfigError: With every problem of the configuration.
        KDError: If the model is attached already, or cannot give what a loss needs.
    """
    if attachment_of(model) is not None:
        raise KDError("this model is distilled already; call detach(model) first")
    config = kd_conf
    if not isinstance(config, KDConfig):
        config = parse_config(kd_conf, LOSSES, teacher_given=teacher is not None)
    if teacher is None:
        teacher = _load(config, task)
    if not isinstance(teacher, Teacher):
        teacher = Teacher(teacher)
    attachment = Attachment(model, Objective(config), teacher)
    attachment.check()
    attachment.build(example)
    attachment.connect()
    return attachment


def detach(model: nn.Module) -> None:
    """Undo ``attach``: hooks, projections and the attachment itself are gone."""
    attachment = attachment_of(model)
    if attachment is not None:
        attachment.disconnect()


def attachment_of(model: nn.Module) -> "Attachment | None":
    """The attachment of a model, or None."""
    return model.__dict__.get(ATTRIBUTE)


class Attachment:
    """What ties a student to its teacher; lives beside the student's parameters.

    Attributes:
        objective: The terms.
        teacher: The guest.
        step: Optimizer updates made so far, for the warm-up. Counted from the calls
            unless a trainer sets it, as ours does so that it survives a resume.
    """

    def __init__(self, model: nn.Module, objective: Objective, teacher: Teacher) -> None:
        self.model = model
        self.objective = objective
        self.teacher = teacher
        self.step = 0
        self.accum_grad = 1
        self.passes = 0
        self._paused = False
        self._batch: dict[str, Any] | None = None
        self._handles: list[RemovableHandle] = []
        needs = objective.needs
        labels = needs.decoder or any(map(is_label_tap, needs.teacher_taps))
        same = ("specaug",) if teacher.view == "same" else ()
        self._augmented = same if getattr(model, "specaug", None) is not None else ()
        self.student_request = Request(needs.ctc, labels, needs.student_taps)
        self.teacher_request = Request(needs.ctc, needs.decoder, needs.teacher_taps)
        self._taps = recorder(
            model, Request(needs.ctc, labels, needs.student_taps + self._augmented)
        )

    def check(self) -> None:
        """Require of both models what the losses read, all problems at once."""
        sides = (
            (self.model, self.student_request, "student"),
            (self.teacher.model, self.teacher_request, "teacher"),
        )
        problems = []
        for model, request, side in sides:
            try:
                check_needs(model, request, side)
            except KDError as error:
                problems.append(Problem("losses", str(error)))
        if problems:
            raise ConfigError(problems)
        if self.objective.needs.common_vocabulary or self.student_request.decoder:
            _check_token_lists(self.model, self.teacher.model)

    def build(self, example: Mapping[str, Tensor] | None) -> None:
        """Let the terms make their learned parts, from a trial pass of both models."""
        needs = self.objective.needs
        if not needs.student_taps and not needs.teacher_taps:
            return
        batch = _example(self.model) if example is None else example
        device = next(self.model.parameters()).device
        batch = {key: value.to(device) for key, value in batch.items()}
        labels = self.student_request.decoder
        prefix = _prefix(self.model, batch) if labels else None
        with fork_rng(device):
            with evaluating(self.model):
                student = run_guest(self.model, batch, self.student_request, prefix)
            teacher = self.teacher(batch, self.teacher_request, decoder_inputs=prefix)
            self.objective.build(student, teacher)

    def connect(self) -> None:
        """Put the hooks on the model, and the projections into it if there are any."""
        model = self.model
        projections = self.objective.projections()
        if len(projections):
            model.add_module(PROJECTIONS, projections)
        self._handles = [
            model.register_forward_pre_hook(self._before, with_kwargs=True),
            model.register_forward_hook(self._after, with_kwargs=True),
        ]
        model.__dict__[ATTRIBUTE] = self

    def disconnect(self) -> None:
        """Take everything off again."""
        for handle in self._handles:
            handle.remove()
        self._taps.stop()
        self.model._modules.pop(PROJECTIONS, None)
        self.model.__dict__.pop(ATTRIBUTE, None)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the model run as stock for a while, for plots of its attention."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def count_from(self, batches: int, accum_grad: int) -> None:
        """Set the warm-up's position from a trainer's own count of batches."""
        self.accum_grad = max(accum_grad, 1)
        self.passes = batches
        self.step = batches // self.accum_grad

    def _before(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        if getattr(model, "_is_replica", False):
            raise KDError(
                "DataParallel runs replicas of the model in threads, which cannot be "
                "distilled. Use one process per GPU: --multiprocessing_distributed true"
            )
        if self._paused:
            return
        self._batch = dict(kwargs)
        for key in CLONED:
            if isinstance(kwargs.get(key), Tensor):
                self._batch[key] = kwargs[key].clone()
        self._taps.start(model)

    def _after(self, model: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        batch, self._batch = self._batch, None
        calls = self._taps.stop()
        triple = _as_triple(output)
        if self._paused or batch is None or triple is None:
            return output
        loss_task, stats, weight = triple
        student = outputs_of_pass(model, calls, self.student_request)
        teacher = self._targets(model, batch, student, calls)
        # Softmax and divergences in float32, whatever the models ran in.
        with torch.autocast(loss_task.device.type, enabled=False):
            loss, kd_stats = self.objective(loss_task, student, teacher, self.step)
        self._count(model)
        return _like(output, loss, stats | kd_stats | _total(stats, loss), weight)

    def _targets(
        self, model: nn.Module, batch: dict, student: ModelOutputs, calls: dict
    ) -> TeacherTargets:
        prefix, feats = None, None
        if student.ys_in_pad is not None:
            prefix = (student.ys_in_pad, student.ys_in_lens)
        if self._augmented and calls["specaug"]:
            self.teacher.check_front_end(model, batch)
            feats = calls["specaug"][0].output
        return self.teacher(batch, self.teacher_request, decoder_inputs=prefix, feats=feats)

    def _count(self, model: nn.Module) -> None:
        if model.training and torch.is_grad_enabled():
            self.passes += 1
            self.step = self.passes // self.accum_grad


def _load(config: KDConfig, task: type | None) -> Teacher:
    from espnet_kd.compat import task_class
    from espnet_kd.loading import load_teacher

    return load_teacher(config.teachers[0], task or task_class("asr"))


def _check_token_lists(student: nn.Module, teacher: nn.Module) -> None:
    check_vocabulary(getattr(student, "token_list", ()), getattr(teacher, "token_list", ()))


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


def _prefix(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    size = len(batch["speech"])
    device = batch["speech"].device
    start = torch.full((size, 2), model.sos, dtype=torch.long, device=device)
    return start, torch.full((size,), 2, dtype=torch.long, device=device)


def _as_triple(output: Any) -> tuple[Tensor, dict, Any] | None:
    """The loss, stats and weight of a training output, or None if it is no such."""
    if isinstance(output, dict) and {"loss", "stats", "weight"} <= output.keys():
        return output["loss"], output["stats"], output["weight"]
    if isinstance(output, tuple) and len(output) == 3 and isinstance(output[1], dict):
        return output
    return None


def _like(output: Any, loss: Tensor, stats: dict, weight: Any) -> Any:
    if isinstance(output, dict):
        return {**output, "loss": loss, "stats": stats}
    return loss, stats, weight


def _total(stats: dict, loss: Tensor) -> dict[str, Tensor]:
    """ESPnet's ``loss`` stat stays the loss that is minimised."""
    return {"loss": loss.detach()} if stats.get("loss") is not None else {}
