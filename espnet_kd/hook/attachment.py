"""What ties a student to its teacher while it trains."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from espnet_kd.errors import ConfigError, KDError, Problem
from espnet_kd.hook.probe import trial
from espnet_kd.hook.two_views import TwoViews, check_two_views
from espnet_kd.model.forward import Labels, Request, is_label_tap, outputs_of_pass, recorder
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.objective.objective import Objective
from espnet_kd.student.masks import Masks
from espnet_kd.teachers.base import Guest
from espnet_kd.teachers.ema import EMATeacher
from espnet_kd.teachers.live import check_needs

ATTRIBUTE = "_espnet_kd"
PROJECTIONS = "kd_projections"
# What a student may overwrite in its own batch: features when it has no front end
# (time warp, masks, normalisation), lengths when a language token is put in front.
CLONED = ("speech", "speech_lengths", "text_lengths")


class Attachment:
    """What ties a student to its teacher; lives beside the student's parameters.

    Attributes:
        objective: The terms.
        teacher: The guest.
        masks: Weights that are taken away meanwhile; None for none.
        step: Optimizer updates made so far, for the warm-up. Counted from the calls
            unless a trainer sets it, as ours does so that it survives a resume.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        teacher: Guest | None,
    ) -> None:
        self.model = model
        self.objective = objective
        self.teacher = teacher
        self.step = 0
        self.accum_grad = 1
        self.passes = 0
        self.masks: Masks | None = None
        self._paused = False
        self._batch: dict[str, Any] | None = None
        self._handles: list[RemovableHandle] = []
        same = teacher is not None and teacher.view == "same"
        augments = getattr(model, "specaug", None) is not None
        self._augmented = ("specaug",) if same and augments else ()
        self._views = TwoViews(model) if objective.needs.two_views else None
        self.student_request, self.teacher_request = _requests(objective)
        taps = self.student_request.taps + self._augmented
        self._taps = recorder(model, replace(self.student_request, taps=taps))

    def check(self) -> None:
        """Require of both models what the losses read, all problems at once."""
        checks = [partial(check_needs, self.model, self.student_request, "student")]
        if self.teacher is not None:
            checks.append(partial(self.teacher.check, self.teacher_request))
        if self._views is not None:
            checks.append(partial(check_two_views, self.model))
        problems = []
        for check in checks:
            try:
                check()
            except KDError as error:
                problems.append(Problem("losses", str(error)))
        if problems:
            raise ConfigError(problems)
        needs = self.objective.teacher_needs
        if needs.common_vocabulary or self.student_request.forced:
            self.teacher.match_vocabulary(self.model)

    def build(self, example: Mapping[str, Tensor] | None) -> None:
        """Let the terms make their learned parts, from a trial pass of both models."""
        requests = (self.student_request, self.teacher_request)
        if any(request.taps for request in requests):
            self.objective.build(*trial(self.model, self.teacher, requests, example))

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
        if self.masks is not None:
            self.masks.remove()
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

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside model and optimizer; empty if nothing."""
        state: dict[str, Any] = {}
        learned = self.model._modules.get(PROJECTIONS)
        if learned is not None:
            named = learned.named_parameters()
            state[PROJECTIONS] = {name: p.detach().clone() for name, p in named}
        if isinstance(self.teacher, EMATeacher):
            state["ema"] = self.teacher.state_dict()
        if self.masks is not None:
            state["pruned"] = self.masks.state_dict()
        if self.objective.meter.config.balance:
            state["balance"] = self.objective.meter.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up an interrupted run.

        Raises:
            KDError: If the state is of a run with another configuration.
        """
        ours = self.state_dict()
        names = [set(s.get(PROJECTIONS, {})) for s in (state, ours)]
        if state.keys() != ours.keys() or names[0] != names[1]:
            raise KDError(
                "the checkpoint to resume from was made with other distillation "
                f"parts (it has {_listed(state)}, this run {_listed(ours)}); give the "
                "run its former --kd_conf, or a new --output_dir"
            )
        with torch.no_grad():
            for name, saved in state.get(PROJECTIONS, {}).items():
                self.model._modules[PROJECTIONS].get_parameter(name).copy_(saved)
        if "ema" in state:
            self.teacher.load_state_dict(state["ema"])
        if "pruned" in state:
            self.masks.load_state_dict(state["pruned"])
        if "balance" in state:
            self.objective.meter.load_state_dict(state["balance"])

    def _before(
        self, model: nn.Module, args: tuple, kwargs: dict
    ) -> tuple[tuple, dict] | None:
        if getattr(model, "_is_replica", False):
            raise KDError(
                "DataParallel runs replicas of the model in threads, which cannot be "
                "distilled. Use one process per GPU: --multiprocessing_distributed true"
            )
        if self._paused:
            return None
        learns = model.training and torch.is_grad_enabled()
        if learns and isinstance(self.teacher, EMATeacher):
            self.teacher.update(model, self.step)
        if self.masks is not None:
            if learns:
                self.masks.step(self.step)
            else:
                self.masks.apply()
        doubled = learns and self._views is not None
        if doubled:
            kwargs = self._views.start(kwargs)
        self._batch = dict(kwargs)
        for key in CLONED:
            if isinstance(kwargs.get(key), Tensor):
                self._batch[key] = kwargs[key].clone()
        self._taps.start(model)
        return (args, kwargs) if doubled else None

    def _after(self, model: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        batch, self._batch = self._batch, None
        calls = self._taps.stop()
        doubled = self._views is not None and self._views.stop()
        triple = _as_triple(output)
        if self._paused or batch is None or triple is None:
            return output
        loss_task, stats, weight = triple
        student = outputs_of_pass(model, calls, self.student_request, batch)
        student.two_views = doubled
        teacher = self._targets(model, batch, student, calls)
        # Softmax and divergences in float32, whatever the models ran in.
        with torch.autocast(loss_task.device.type, enabled=False):
            loss, kd_stats = self.objective(
                loss_task, student, teacher, self.step, self._trained_parameters()
            )
        self._count(model)
        # Two views of an utterance are one utterance in ESPnet's averages.
        weight = weight // 2 if doubled else weight
        if self.masks is not None:
            kd_stats["kd_sparsity"] = loss.new_tensor(self.masks.sparsity)
        return _like(output, loss, stats | kd_stats | _total(stats, loss), weight)

    def _targets(
        self, model: nn.Module, batch: dict, student: ModelOutputs, calls: dict
    ) -> TeacherTargets | None:
        if self.teacher is None:
            return None
        feats = None
        if self._augmented and calls["specaug"]:
            self.teacher.check_front_end(model, batch)
            feats = calls["specaug"][0].output
        labels = Labels(
            student.ys_in_pad, student.ys_in_lens, student.ys_pad, student.ys_lens
        )
        return self.teacher(batch, self.teacher_request, labels=labels, feats=feats)

    def _trained_parameters(self) -> Iterator[nn.Parameter]:
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad and not name.startswith(f"{PROJECTIONS}."):
                yield parameter

    def _count(self, model: nn.Module) -> None:
        if model.training and torch.is_grad_enabled():
            self.passes += 1
            self.step = self.passes // self.accum_grad


def _requests(objective: Objective) -> tuple[Request, Request]:
    """What is recorded of the student and asked of the teacher."""
    ours, theirs = objective.needs, objective.teacher_needs
    forced = any(map(is_label_tap, theirs.teacher_taps))
    student = Request(
        ctc=ours.ctc,
        interctc=ours.interctc,
        decoder=ours.decoder,
        joint=ours.joint,
        labels=ours.labels,
        forced=forced,
        decode=ours.decode,
        taps=ours.student_taps,
    )
    teacher = Request(
        ctc=theirs.ctc,
        decoder=theirs.decoder,
        joint=theirs.joint,
        nbest=theirs.nbest,
        taps=theirs.teacher_taps,
    )
    return student, teacher


def _listed(state: Mapping[str, Any]) -> str:
    return ", ".join(state) or "none"


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
