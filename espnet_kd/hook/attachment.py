"""What ties a student to its teacher while it trains."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from espnet_kd.errors import ConfigError, KDError, Problem
from espnet_kd.hook.first_batch import FirstBatch, is_same_model
from espnet_kd.hook.mapping import check_mapped
from espnet_kd.hook.pairing import pair_problems
from espnet_kd.hook.probe import can_probe, probe, takes_features
from espnet_kd.hook.projections import PROJECTIONS, Projections
from espnet_kd.hook.triple import Triple
from espnet_kd.model.context import check_blocks
from espnet_kd.model.families import family_of
from espnet_kd.model.forward import fork_rng, kept, outputs_of_pass, recorder
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.parts import parts_of
from espnet_kd.model.request import Labels
from espnet_kd.model.table import check_model, token_lists
from espnet_kd.model.taps import Call
from espnet_kd.model.training_part import TrainingPart, TrainingPass, other_parts
from espnet_kd.objective.objective import Objective, stat
from espnet_kd.teachers.base import Question, Teacher
from espnet_kd.teachers.build import live_teacher

ATTRIBUTE = "_espnet_kd"

Calls = Mapping[str, list[Call]]
# Makes a part of training of a student.
PartOf = Callable[[nn.Module], TrainingPart]


class Attachment:
    """What ties a student to its teacher; lives beside the student's parameters.

    Args:
        model: The student.
        objective: The terms.
        teacher: Who answers; None if no term reads a teacher.

    Attributes:
        parts: What takes part in the training, in the order in which it acts.
        frames: The student's and the teacher's frames of an example, (B,) each; None
            where no example was tried.
        first_batch: What the first training pass showed; None before it.
        step: Optimizer updates made so far, for schedules. Counted from the calls unless
            a trainer sets it, as this package does so that it survives a resume.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        teacher: Teacher | None,
    ) -> None:
        self.model = model
        self.objective = objective
        self.teacher = teacher
        self.frames: tuple[Tensor, Tensor] | None = None
        self.first_batch: FirstBatch | None = None
        self.step = 0
        self.accum_grad = 1
        self.passes = 0
        self._updates = 0
        self.parts: list[TrainingPart] = teacher.training_parts() if teacher else []
        self.parts += objective.training_parts()
        self.family = family_of(model)
        self.student_request = objective.student_request
        if self.family is not None:
            # Its teacher is not forced along labels: it reads them itself.
            self.student_request = self.student_request.changed(forced=False)
        self.teacher_request = objective.teacher_request
        same = teacher is not None and teacher.view == "same"
        augments = getattr(model, "specaug", None) is not None
        # Its decoder runs once more for it, and draws random numbers for its dropout.
        self._watches_words = "hypothesis" in objective.watched_request
        self._augmented = ("specaug",) if same and augments else ()
        taps = self.student_request.listed("taps") + self._augmented
        self._taps = recorder(model, self.student_request.changed(taps=taps))
        self._pass: TrainingPass | None = None
        self._paused = False
        self._handles: list[RemovableHandle] = []

    def check(self) -> None:
        """Require of both models what the losses read, all problems at once.

        Raises:
            ConfigError: With everything that is missing.
            AlignmentError: If tokens are compared and the lists differ.
            KDError: If the student's blocks do not fit.
        """
        check_blocks(self.model)
        asked = (self.model, parts_of(self.model), self.student_request, "student")
        checks = [partial(check_model, *asked)]
        checks += [partial(term.loss.meet, self.model) for term in self.objective.terms]
        checks.append(partial(check_mapped, self.objective, self.teacher))
        if self.teacher is not None:
            checks.append(partial(self.teacher.check, self.teacher_request))
        texts = pair_problems(self.model, self.teacher, self.teacher_request)
        problems = [Problem("teachers", text) for text in texts]
        for check in checks:
            try:
                check()
            except KDError as error:
                problems.append(Problem("losses", str(error)))
        try:
            self._match_vocabulary()
        except KDError as error:
            if not problems:
                raise
            problems.append(Problem("losses", str(error)))
        if problems:
            raise ConfigError(problems, self.objective.source)

    def _match_vocabulary(self) -> None:
        lists = token_lists(self.teacher_request)
        if "forced" in self.student_request:
            lists.add("text")
        if self.family is not None:
            lists |= set(self.family.tokens)
        if self.teacher is not None and lists:
            self.teacher.match_vocabulary(self.model, lists)

    def build(self, example: Mapping[str, Tensor] | None) -> None:
        """Let the terms make their learned parts, from a pass of both models."""
        requests = (self.student_request, self.teacher_request)
        is_needed = any("taps" in request for request in requests)
        live = live_teacher(self.teacher)
        if not is_needed and not (live and can_probe(self.model, example)):
            return
        student, teacher = probe(self.model, self.teacher, requests, example)
        if is_needed:
            self.objective.build(student, teacher)
        # Of another stream than the student's no example tells the frame rate.
        if live is not None and live.stream is None and self.family is None:
            self.frames = (student.encoder_out_lens, teacher.encoder_out_lens)

    def connect(self, parts: Sequence[PartOf] = ()) -> None:
        """Put the hooks on the model, and everything that takes part in its training.

        Args:
            parts: Make a part of the model each, in the order in which they act.

        Raises:
            ConfigError: If the model cannot have one of them; it is then as it was.
        """
        model = self.model
        try:
            for make in parts:
                self.parts.append(make(model))
        except KDError as error:
            self.disconnect()
            problems = [Problem("", str(error))]
            raise ConfigError(problems, self.objective.source) from None
        learned = self.objective.projections()
        if len(learned):
            self.parts.append(Projections(model, learned))
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
        for part in self.parts:
            part.remove()
        self.model.__dict__.pop(ATTRIBUTE, None)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the model run as stock for a while, for plots of its attention."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def count_from(self, updates: int, accum_grad: int) -> None:
        """Begin to gather batches for the next update, after so many updates."""
        self.accum_grad = max(accum_grad, 1)
        self.passes = 0
        self.step = self._updates = updates

    def part(self, key: str) -> TrainingPart:
        """A part by the key of its state."""
        return next(part for part in self.parts if part.key == key)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside model and optimizer; empty if nothing."""
        return {part.key: part.state_dict() for part in self.parts if part.key}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up an interrupted run.

        Raises:
            KDError: If the state is of a run with another configuration.
        """
        own = {part.key: part for part in self.parts if part.key}
        if state.keys() != own.keys():
            raise other_parts(state, own)
        for key, part in own.items():
            part.load_state_dict(state[key])

    def _before(
        self, model: nn.Module, args: Any, kwargs: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]] | None:
        if getattr(model, "_is_replica", False):
            raise KDError(
                "DataParallel runs replicas of the model in threads, which cannot be "
                "distilled. Use one process per GPU: --multiprocessing_distributed true"
            )
        if self._paused:
            return None
        for part in self.parts:
            part.after_pass()  # of a pass that was interrupted
        learns = model.training and torch.is_grad_enabled()
        self._pass = TrainingPass(model, kwargs, self.step, learns)
        for part in self.parts:
            part.before_pass(self._pass)
        given = self._pass.batch
        self._pass.batch = kept(model, given)
        self._taps.start(model)
        return None if given is kwargs else (args, given)

    def _after(
        self, model: nn.Module, args: Any, kwargs: dict[str, Any], output: Any
    ) -> Any:
        training_pass, self._pass = self._pass, None
        calls = self._taps.stop()
        for part in self.parts:
            part.after_pass()
        triple = Triple.of(output)
        if self._paused or training_pass is None or triple is None:
            return output
        with self._unmoved(triple.loss.device):
            asked_of = (self.student_request, training_pass.batch)
            student = outputs_of_pass(model, calls, *asked_of)
        student.doubled = training_pass.doubled
        teacher = self._targets(training_pass, student, calls)
        # Softmax and divergences in float32, whatever the models ran in.
        with torch.autocast(triple.loss.device.type, enabled=False):
            trained = (self._trained_parameters(), triple.weight)
            asked = (triple.loss, student, teacher, self.step, *trained)
            loss, stats = self.objective(*asked)
        answered = teacher is None or teacher.scale > 0
        if training_pass.learns and answered and self.first_batch is None:
            is_same = is_same_model(model, self.teacher)
            heard = (student, teacher)
            self.first_batch = FirstBatch.of(
                self.objective, stats, *heard, is_same=is_same, is_own=bool(self.family)
            )
            self.first_batch.tell(rates=self.frames is None)
        self._count(training_pass.learns)
        for part in self.parts:
            stats |= {key: stat(v, loss.device) for key, v in part.stats().items()}
        return triple.joined_by(loss, stats, training_pass.doubled)

    def _targets(
        self, training_pass: TrainingPass, student: ModelOutputs, calls: Calls
    ) -> TeacherTargets | None:
        if self.teacher is None:
            return None
        if training_pass.learns and self.objective.is_over:
            return TeacherTargets(torch.zeros_like(student.encoder_out_lens), scale=0.0)
        batch = training_pass.batch
        feats: Any = None
        if self._augmented and calls["specaug"]:
            self.teacher.check_front_end(self.model, batch)
            feats = calls["specaug"][0].output
        labels = Labels(
            *(student.ys_in_pad, student.ys_in_lens, student.ys_pad, student.ys_lens),
            *(student.hyp_in_pad, student.hyp_in_lens),
        )
        asked = (self.teacher_request, labels, feats, training_pass.warp)
        features = takes_features(self.model, batch)
        return self.teacher(Question(batch, *asked, is_features=features))

    def _unmoved(self, device: torch.device) -> AbstractContextManager[None]:
        """Leave the student's random numbers alone where it is only watched."""
        return fork_rng(device) if self._watches_words else nullcontext()

    def _trained_parameters(self) -> Iterator[nn.Parameter]:
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad and not name.startswith(f"{PROJECTIONS}."):
                yield parameter

    def _count(self, learns: bool) -> None:
        if learns:
            self.passes += 1
            self.step = self._updates + self.passes // self.accum_grad
