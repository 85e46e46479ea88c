"""Several teachers that answer as one."""

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.alignment.frames import at_student_frames
from espnet_kd.errors import ConfigError, KDError, Problem
from espnet_kd.losses.confidence import confidence
from espnet_kd.masking import widened
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.request import Request
from espnet_kd.model.table import OUTPUTS, Row, posterior_rows
from espnet_kd.model.training_part import TrainingPart
from espnet_kd.teachers.base import Question, Teacher


class Ensemble:
    r"""Teachers of one token list, whose posteriors are combined.

    .. math::
        \text{mean: } \sum_i w_i p_i, \quad
        \text{log\_mean: } \propto \prod_i p_i^{w_i}, \quad
        \text{confidence: } \sum_i w_{bi}\, p_i \text{ with } w_{bi} \propto w_i c_{bi}

    with :math:`\sum_i w_i = 1` and :math:`c_{bi}` teacher i's confidence in utterance b
    (see ``confidence``); ``draw`` asks one teacher a batch, i with probability
    :math:`w_i`. Teachers may be of any architecture: CTC posteriors are combined of those
    that have CTC, at the frames of the first of them, decoder posteriors of those with a
    decoder. Hidden representations, lattices and hypotheses are the first teacher's.

    Args:
        teachers: Two or more.
        weights: Of each, positive.
        how: ``mean``, ``log_mean``, ``confidence`` or ``draw``.

    Source: Gao et al. Distilling Knowledge from Ensembles of Acoustic Models. 2020,
    section 3. https://arxiv.org/abs/2005.09310
    """

    def __init__(
        self, teachers: Sequence[Teacher], weights: Sequence[float], how: str = "mean"
    ) -> None:
        self.teachers = tuple(teachers)
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.weights /= self.weights.sum()
        self.how = how

    @property
    def view(self) -> str:
        """What the student has to hand over: ``same`` if any teacher wants that."""
        return max((teacher.view for teacher in self.teachers), default="clean")

    def __call__(self, question: Question) -> TeacherTargets:
        """Answer for a batch as one."""
        if self.how == "draw":
            return self.teachers[self._drawn(question.batch)](question)
        answers = []
        for place, teacher in enumerate(self.teachers):
            request = self._part(place, question.request)
            if request or place == 0:
                answers.append((place, teacher(replace(question, request=request))))
        return self._combined(answers)

    def has(self, part: str) -> bool:
        """Whether any of the teachers gives a part that is combined, or the first does."""
        if OUTPUTS[part].posterior:
            return any(teacher.has(part) for teacher in self.teachers)
        return self.teachers[0].has(part)

    def check(self, request: Request) -> None:
        """Require each part of one teacher at least, and of the first what is not shared.

        Raises:
            KDError: Naming the part and what to do.
        """
        if self.how == "draw":
            for teacher in self.teachers:
                teacher.check(request)
            return
        requests = [self._part(place, request) for place in range(len(self.teachers))]
        for teacher, part in zip(self.teachers, requests, strict=True):
            teacher.check(part)
        for row in posterior_rows():
            if row.name in request and not any(row.name in part for part in requests):
                raise KDError(_nobody_has(row))

    def match_vocabulary(self, student: nn.Module, lists: Collection[str]) -> None:
        """Let every teacher speak in the student's tokens."""
        problems = []
        for place, teacher in enumerate(self.teachers):
            try:
                teacher.match_vocabulary(student, lists)
            except KDError as error:
                problems.append(Problem(f"teachers[{place}]", str(error)))
        if problems:
            raise ConfigError(problems)

    def check_front_end(self, student: nn.Module, batch: Mapping[str, Any]) -> None:
        """For ``view: same``, require equal features of every teacher that wants them."""
        for teacher in self.teachers:
            teacher.check_front_end(student, batch)

    def probe(self, question: Question) -> TeacherTargets:
        """Answer for an example; what is tapped is the first teacher's."""
        return self.teachers[0].probe(question)

    def training_parts(self) -> list[TrainingPart]:
        """What of the teachers changes."""
        return [part for teacher in self.teachers for part in teacher.training_parts()]

    def describe(self) -> list[str]:
        """Each teacher with its share, and how they are combined."""
        lines = [f"{len(self.teachers)} teachers, combined by '{self.how}'"]
        for teacher, weight in zip(self.teachers, self.weights.tolist(), strict=True):
            first, *rest = teacher.describe()
            lines += [f"{first}, share {weight:.2f}", *rest]
        return lines

    def _drawn(self, batch: Mapping[str, Any]) -> int:
        """One of the teachers, by the epoch's seed and the batch's utterances.

        So it differs from batch to batch and from epoch to epoch, comes back on resume,
        and leaves the student's random numbers alone.
        """
        names = batch.get("utt_id") or batch["speech_lengths"].tolist()
        seed = zlib.crc32(f"{torch.initial_seed()} {names}".encode())
        random = torch.Generator().manual_seed(seed)
        return int(torch.multinomial(self.weights, 1, generator=random))

    def _part(self, place: int, request: Request) -> Request:
        """What one of the teachers can give of a request."""
        names = [row.name for row in posterior_rows() if row.name in request]
        shared = {name: self.teachers[place].has(name) for name in names}
        return request.changed(**shared) if place == 0 else Request(**shared)

    def _combined(self, answers: list[tuple[int, TeacherTargets]]) -> TeacherTargets:
        first = answers[0][1]
        found: dict[str, Any] = {}
        lens = first.encoder_out_lens
        for row in posterior_rows():
            given = [pair for pair in answers if getattr(pair[1], row.field) is not None]
            found[row.field] = None
            if given:
                frames = given[0][1].encoder_out_lens
                found[row.field] = self._mixed(given, row, frames)
                lens = frames if row.by_frame else lens
        forced, led = (
            next((t for _, t in answers if getattr(t, logits) is not None), first)
            for logits in ("decoder_logits", "hyp_logits")
        )
        return replace(
            first,
            encoder_out_lens=lens,
            ys_in_pad=forced.ys_in_pad,
            ys_in_lens=forced.ys_in_lens,
            hyp_in_pad=led.hyp_in_pad,
            hyp_in_lens=led.hyp_in_lens,
            **found,
        )

    def _mixed(
        self, given: list[tuple[int, TeacherTargets]], row: Row, frames: Tensor
    ) -> Tensor:
        log_probs = [_log_probs(targets, row, frames) for _, targets in given]
        return _mixture(torch.stack(log_probs), self._shares(given), self.how)

    def _shares(self, parts: list[tuple[int, TeacherTargets]]) -> Tensor:
        """Weight of each teacher in each utterance, (I, B), 1 in sum."""
        rows = [self.weights[place].expand(len(t.encoder_out_lens)) for place, t in parts]
        shares = torch.stack(rows).to(parts[0][1].encoder_out_lens.device)
        if self.how == "confidence":
            shares = shares * torch.stack([confidence(targets) for _, targets in parts])
        return shares / shares.sum(0)


def _nobody_has(row: Row) -> str:
    if row.lasting:
        return f"none of the teachers has {row.name} posteriors"
    return (
        "none of the teachers follows the student's own words, which 'prefix: student' "
        "asks for; let one with an attention decoder be live, or use 'prefix: transcript'"
    )


def _log_probs(targets: TeacherTargets, row: Row, frames: Tensor) -> Tensor:
    """A teacher's log-posteriors, at the frames of the first one that has the part."""
    logits: Tensor = getattr(targets, row.field)
    if row.by_frame:
        logits = at_student_frames(
            logits,
            student_lens=frames,
            teacher_lens=targets.encoder_out_lens,
            how="spike",
            blank_id=targets.blank_id,
        )
    return widened(logits).log_softmax(-1)


def _mixture(log_probs: Tensor, shares: Tensor, how: str) -> Tensor:
    """One posterior, (B, L, V), of those of I teachers."""
    shares = shares[..., None, None].to(log_probs.dtype)
    if how == "log_mean":
        return (shares * log_probs).sum(0).log_softmax(-1)
    return (shares.log() + log_probs).logsumexp(0)
