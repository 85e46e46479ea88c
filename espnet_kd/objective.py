"""Terms times weights times schedule: one loss, and the stats that explain it."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from espnet_kd.config import KDConfig, LossTermConfig, ScheduleConfig
from espnet_kd.errors import KDError
from espnet_kd.losses import LOSSES, DistillationLoss, Needs
from espnet_kd.targets import ModelOutputs, TeacherTargets


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
        L = w_{\mathrm{task}} L_{\mathrm{task}}
            + s(n) \sum_i w_i L_i, \quad s(n) = \min(1, (n + 1) / \mathrm{warmup})

    A term of weight 0 is observed: it appears in the stats and nowhere else, so that a
    run with all weights 0 and task weight 1 is the stock run bit for bit.

    Args:
        config: A validated configuration.
    """

    def __init__(self, config: KDConfig) -> None:
        self.task_weight = config.task_weight
        self.schedule = config.schedule
        self.terms = [
            Term(term, LOSSES.get(term.type)(**term.options)) for term in config.losses
        ]

    @property
    def needs(self) -> Needs:
        """What all terms together read."""
        needs = [term.loss.needs() for term in self.terms]
        return Needs(
            ctc=any(n.ctc for n in needs),
            decoder=any(n.decoder for n in needs),
            student_taps=_unique(tap for n in needs for tap in n.student_taps),
            teacher_taps=_unique(tap for n in needs for tap in n.teacher_taps),
        )

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Make the learned parts of the terms that train, from example outputs."""
        for term in self.terms:
            term.loss.build(student, teacher)
        self._drop_untrained_projections()

    def projections(self) -> nn.ModuleDict:
        """The learned parts by term name, for the optimizer to train."""
        learned = {t.config.name: t.loss for t in self.terms if _parameters(t.loss)}
        return nn.ModuleDict(learned)

    def __call__(
        self,
        loss_task: Tensor,
        student: ModelOutputs,
        teacher: TeacherTargets,
        step: int,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Combine the student's own loss with the terms.

        Args:
            loss_task: The student's loss, any shape of one element.
            student: The student's outputs, with their graph.
            teacher: The teacher's targets.
            step: Updates made so far.

        Returns:
            The loss, shaped like ``loss_task``, and detached float32 stats of shape
            (1,): ``loss_kd`` (weighted and scheduled sum), ``loss_kd_<name>``
            (unweighted, comparable across runs), ``loss_task`` (unweighted).
        """
        stats, total = {}, None
        for term in self.terms:
            value = self._evaluate(term, student, teacher)
            stats[f"loss_kd_{term.config.name}"] = _stat(value)
            if term.is_trained:
                part = term.config.weight * warmup_scale(self.schedule, step) * value
                total = part if total is None else total + part
        loss = loss_task if self.task_weight == 1.0 else self.task_weight * loss_task
        if total is not None:
            loss = loss + total.to(loss.dtype)
        kd = torch.zeros((), device=loss_task.device) if total is None else total
        return loss, {"loss_kd": _stat(kd), **stats, "loss_task": _stat(loss_task)}

    def check_fired(self) -> None:
        """Refuse to go on when a term never contributed.

        Raises:
            KDError: Naming each term whose value has been exactly 0 in every step.
        """
        idle = [
            term.config.name
            for term in self.terms
            if term.is_trained and (term.fired is None or not bool(term.fired))
        ]
        if idle:
            raise KDError(
                f"{', '.join(idle)}: exactly 0 in every training step so far, so "
                "nothing is being distilled by it. Usual causes: the teacher says "
                "blank on every frame (use 'frames: all', or another teacher), the "
                "tapped layer never runs, or student and teacher are the same model. "
                "Mend it, or remove the term."
            )

    def _evaluate(
        self, term: Term, student: ModelOutputs, teacher: TeacherTargets
    ) -> Tensor:
        grad = torch.is_grad_enabled() and term.is_trained
        with torch.set_grad_enabled(grad):
            value = term.loss(student, teacher)
        if torch.is_grad_enabled():
            seen = value.detach() != 0
            term.fired = seen if term.fired is None else term.fired | seen
        return value

    def _drop_untrained_projections(self) -> None:
        """Observed terms must add no parameters; a random projection says nothing."""
        kept = [t for t in self.terms if t.is_trained or not _parameters(t.loss)]
        self.terms = kept


def warmup_scale(schedule: ScheduleConfig, step: int) -> float:
    """Common weight of the terms after ``step`` updates, in (0, 1]."""
    return min(1.0, (step + 1) / max(schedule.warmup_steps, 1))


def _stat(value: Tensor) -> Tensor:
    # ESPnet's reporter and its all_gather want exactly this: detached, shape (1,).
    return value.detach().float().reshape(1)


def _parameters(loss: DistillationLoss) -> bool:
    return next(loss.parameters(), None) is not None


def _unique(taps: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(taps))
