"""Terms times weights times schedule: one loss, and the stats that explain it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor, nn

from espnet_kd.config.schema import KDConfig, LossTermConfig
from espnet_kd.errors import KDError
from espnet_kd.losses import LOSSES, DistillationLoss, Needs
from espnet_kd.losses.confidence import confidence
from espnet_kd.model.forward import fork_rng
from espnet_kd.model.hidden import is_label_tap
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.request import Request
from espnet_kd.model.training_part import TrainingPart
from espnet_kd.objective.diagnostics import diagnose
from espnet_kd.objective.endings import Endings
from espnet_kd.objective.gradients import GradientMeter
from espnet_kd.objective.observed import has_parameters, observed
from espnet_kd.objective.schedule import schedule_scale
from espnet_kd.objective.taught import heard_by_both, part_taught, resting, taught_value


@dataclass
class Term:
    """A loss at work: its configuration and whether it has ever compared anything."""

    config: LossTermConfig
    loss: DistillationLoss
    fired: Tensor | None = None

    @property
    def is_trained(self) -> bool:
        """Whether the student learns from the term."""
        return self.config.weight > 0


class Objective:
    r"""The whole distillation objective.

    .. math::
        L = w_{\mathrm{task}} L_{\mathrm{task}} + \sum_i w_i s_i(n) f_i L_i

    with the schedule :math:`s_i` at update n and the balancing factor :math:`f_i` (1
    unless gradients are balanced). A term of weight 0 is observed: it appears in the
    stats and nowhere else, so that a run with all weights 0 and task weight 1 is the
    stock run bit for bit.

    A validation, without gradients, is of one function in every epoch: each term counts
    as at the end of its schedule, and not at all if its weight is balanced, so that what
    selects models, stops early or lowers the learning rate by ``loss`` compares like with
    like.

    Args:
        config: A validated configuration.
    """

    def __init__(self, config: KDConfig) -> None:
        self.source = config.source
        self.task_weight = config.task_weight
        self.schedule = config.schedule
        self.diagnostics = config.diagnostics
        self.meter = GradientMeter(config.gradients)
        self.endings = Endings(config.losses)
        self.terms = [
            Term(term, LOSSES.get(term.type)(**term.options)) for term in config.losses
        ]

    @property
    def needs(self) -> Needs:
        """What all terms together read."""
        return Needs.union(term.loss.needs() for term in self.terms)

    @property
    def student_request(self) -> Request:
        """What is recorded of the student's pass."""
        needs = self.needs
        forced = any(map(is_label_tap, self.teacher_request.listed("taps")))
        return needs.of_student.changed(forced=forced)

    @property
    def watched_request(self) -> Request:
        """What of ``student_request`` only terms of weight 0 read."""
        trained = Needs.union(t.loss.needs() for t in self.terms if t.is_trained)
        read = self.student_request
        return read.changed(**dict.fromkeys(trained.of_student, False))

    @property
    def teacher_request(self) -> Request:
        """What the terms that read a teacher ask of it."""
        request = self.needs.of_teacher
        unsure = any(term.config.confidence for term in self.terms)
        if unsure and not request.keys() & {"decoder", "hypothesis"}:
            return request.changed(ctc=request.get("ctc", (1.0,)))
        return request

    def pair_layers(self, student: int, teacher: Callable[[str], int]) -> None:
        """Let each term choose the layers that its rule pairs; see ``DistillationLoss``."""
        for term in self.terms:
            term.loss.pair_layers(student, teacher)

    def training_parts(self) -> list[TrainingPart]:
        """What of the objective changes while the student trains."""
        parts: list[TrainingPart] = [self.meter] if self.meter.config.balance else []
        return [*parts, self.endings] if self.endings.patience else parts

    @property
    def is_over(self) -> bool:
        """Whether every term has ended from which the student learns of a teacher."""
        taught = [t for t in self.terms if t.is_trained and t.loss.needs().teacher]
        return bool(taught) and {t.config.name for t in taught} <= self.endings.ended

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Let each term learn the widths from example outputs of both models.

        Those that train get their learned parts; those that are observed get none, and
        draw no random number.

        Raises:
            KDError: If a term cannot compare these outputs, or cannot be observed.
        """
        for term in self.terms:
            if term.is_trained:
                term.loss.build(student, teacher)
            else:
                term.loss = observed(term.loss, term.config.name, student, teacher)

    def projections(self) -> nn.ModuleDict:
        """The learned parts by term name, for the optimizer to train."""
        learned = {t.config.name: t.loss for t in self.terms if has_parameters(t.loss)}
        return nn.ModuleDict(learned)

    def __call__(
        self,
        loss_task: Tensor,
        student: ModelOutputs,
        teacher: TeacherTargets | None,
        step: int,
        parameters: Iterable[nn.Parameter] = (),
        weight: Tensor | float = 1.0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Combine the student's own loss with the terms.

        Args:
            loss_task: The student's loss, any shape of one element.
            student: The student's outputs, with their graph if it learns.
            teacher: The teacher's targets; None if no term reads them.
            step: Updates made so far.
            parameters: The student's trained parameters, for their gradients' norms.
            weight: What the batch counts among those of other processes.

        Returns:
            The loss, shaped like ``loss_task``, and detached float32 stats of shape
            (1,): ``loss_kd`` (what the terms add; left out of a validation where they
            are balanced and add nothing), ``loss_kd_<name>`` (unweighted, comparable
            across runs; left out of a batch in which their teacher is not asked),
            ``loss_task`` (unweighted), and as configured ``kd_*`` (see
            ``diagnose``), ``kd_taught`` (the part of the utterances that are taught, of a
            teacher that may leave some out) and ``grad_<name>`` (see ``GradientMeter``).
        """
        values = self._values(student, teacher)
        if not torch.is_grad_enabled():
            self.endings.note(values, weight)
        counted = values | self._resting(student, values)
        loss = loss_task if self.task_weight == 1.0 else self.task_weight * loss_task
        if torch.is_grad_enabled() and self.meter.is_due(step):
            trained = [term.config.name for term in self.terms if term.is_trained]
            measured = {name: values[name] for name in trained if name in values}
            self.meter.measure(loss, measured, parameters, step, weight)
        weights = self._weights(step, 1.0 if teacher is None else teacher.scale)
        parts = [weights[name] * counted[name] for name in weights]
        kd = torch.zeros((), device=loss_task.device)
        if parts:
            kd = sum(parts[1:], parts[0])
            loss = loss + kd.to(loss.dtype)
        stats: dict[str, Tensor | float] = {"loss_kd": kd} if self._counts_terms else {}
        stats |= {f"loss_kd_{name}": value for name, value in values.items()}
        stats["loss_task"] = loss_task
        if self.diagnostics and teacher is not None and teacher.scale:
            stats |= diagnose(*heard_by_both(student, teacher))
        if teacher is not None and teacher.taught:
            stats["kd_taught"] = part_taught(teacher)
        if torch.is_grad_enabled():
            stats |= self.meter.pulls(weights)
        device = loss_task.device
        return loss, {key: stat(value, device) for key, value in stats.items()}

    @property
    def _counts_terms(self) -> bool:
        """Whether terms are part of the loss here, which balanced ones are in training."""
        return torch.is_grad_enabled() or not self.meter.config.balance

    def idle(self) -> list[str]:
        """Names of the trained terms whose value has been exactly 0 in every step so far.

        Every process of a distributed training must call it, and each finds the same.
        """
        trained = [t for t in self.terms if t.is_trained and not t.loss.may_be_silent]
        fired = _anywhere([term.fired for term in trained])
        said = zip((t.config.name for t in trained), fired, strict=True)
        return [name for name, did in said if not did and name not in self.endings.ended]

    def check_fired(self) -> None:
        """Refuse to go on when a term never contributed, in any process.

        Every process of a distributed training must call it, and each finds the same.

        Raises:
            KDError: Naming each term whose value has been exactly 0 in every step.
        """
        if idle := self.idle():
            raise KDError(
                f"{', '.join(idle)}: exactly 0 in every training step so far, so "
                "nothing is being distilled by it. Usual causes: the teacher says "
                "blank on every frame (use 'frames: all', or another teacher), the "
                "tapped layer never runs, a batch holds a single utterance (losses "
                "across a batch need more), or student and teacher are the same model. "
                "Mend it, or remove the term."
            )

    def _weights(self, step: int, scale: float) -> dict[str, float]:
        """What each trained term's value is multiplied by, in an update or a validation.

        Those that read a teacher count ``scale`` times.
        """
        learns = torch.is_grad_enabled()
        if not self._counts_terms:
            return {}
        weights = {}
        ended = self.endings.ended if learns else set[str]()
        for term in self.terms:
            name, schedule = term.config.name, term.config.schedule or self.schedule
            part = schedule_scale(schedule, step) if learns else schedule.last
            part *= name not in ended
            part *= scale if term.loss.needs().teacher else 1.0
            if term.is_trained:
                weights[name] = term.config.weight * part * self.meter.factor(name)
        return weights

    def _resting(
        self, student: ModelOutputs, values: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """0 for each term without a value, its parameters attached: DDP waits for them."""
        idle = [term for term in self.terms if term.config.name not in values]
        return {term.config.name: resting(term.loss, student) for term in idle}

    def _values(
        self, student: ModelOutputs, teacher: TeacherTargets | None
    ) -> dict[str, Tensor]:
        """Each term's value, by its name; each confidence of the teacher found once.

        Of a teacher that was not asked, the terms that read one have none.
        """
        asked = teacher is None or teacher.scale > 0
        terms = [term for term in self.terms if asked or not term.loss.needs().teacher]
        powers = {term.config.confidence for term in terms}
        said = {0.0: teacher}
        if teacher is not None and any(powers):
            sure = confidence(teacher)
            said |= {p: replace(teacher, weights=sure**p) for p in powers if p}
        return {
            term.config.name: _evaluate(term, student, said.get(term.config.confidence))
            for term in terms
        }


def _evaluate(term: Term, student: ModelOutputs, teacher: TeacherTargets | None) -> Tensor:
    """The term's value, with its graph if the student learns from it."""
    # Observed terms leave the student's random numbers alone, whatever they run.
    device = student.encoder_out_lens.device
    passive = nullcontext() if term.is_trained else fork_rng(device)
    with passive, torch.set_grad_enabled(torch.is_grad_enabled() and term.is_trained):
        sure = bool(term.config.confidence)
        value = taught_value(term.loss, student, teacher, sure=sure)
    if torch.is_grad_enabled():
        seen = value.detach() != 0
        term.fired = seen if term.fired is None else term.fired | seen
    return value


def _anywhere(flags: Sequence[Tensor | None]) -> list[bool]:
    """Which of the flags are set in any process, the same in all of them."""
    said = torch.tensor([flag is not None and bool(flag) for flag in flags]).int()
    if dist.is_available() and dist.is_initialized():
        # nccl knows no memory but the GPU's, also of a process that had no batch.
        said = said.to("cuda" if "nccl" in dist.get_backend() else "cpu")
        dist.all_reduce(said, op=dist.ReduceOp.MAX)
    return [bool(flag) for flag in said]


def stat(value: Tensor | float, device: torch.device) -> Tensor:
    """A number as the log takes it: detached, float32, of shape (1,)."""
    # ESPnet's reporter and its all_gather want exactly this: detached, shape (1,).
    value = torch.as_tensor(value, device=device)
    # A copy: ESPnet divides the loss in place where several batches make an update.
    return value.detach().float().reshape(1).clone()
