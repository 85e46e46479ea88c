"""Several teachers that answer as one."""

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.config.schema import ScheduleConfig
from espnet_kd.errors import ConfigError, KDError, Problem, suggest
from espnet_kd.model.hidden import is_label_tap
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.request import Request
from espnet_kd.model.table import OUTPUTS, posterior_rows
from espnet_kd.model.taps import split_owner
from espnet_kd.model.training_part import TrainingPart, TrainingPass
from espnet_kd.objective.schedule import describe_schedule, schedule_scale
from espnet_kd.teachers.base import Question, Teacher
from espnet_kd.teachers.mixture import mixed, nobody_has, nobody_keeps

# A teacher's place among several, and what it said.
Answer = tuple[int, TeacherTargets]


class Ensemble(TrainingPart):
    r"""Teachers of one token list, whose posteriors are combined.

    .. math::
        \text{mean: } \sum_i w_i p_i, \quad
        \text{log\_mean: } \propto \prod_i p_i^{w_i}, \quad
        \text{confidence: } \sum_i w_{bi}\, p_i \text{ with } w_{bi} \propto w_i c_{bi}

    with :math:`\sum_i w_i = 1` and :math:`c_{bi}` teacher i's confidence in utterance b
    (see ``confidence``); ``draw`` asks one teacher a batch, i with probability
    :math:`w_i`. Teachers may be of any architecture: CTC posteriors are combined of those
    that have CTC, at the frames of the first of them, decoder posteriors of those with a
    decoder. A teacher of weight 0 has no part in either, and its tokens may be others.
    Lattices and hypotheses are the first teacher's. Hidden representations are those of
    the teacher whose name stands in front of the tap, else the first's.

    Args:
        teachers: Two or more.
        weights: Of each, not negative; that of the first positive.
        how: ``mean``, ``log_mean``, ``confidence`` or ``draw``.
        names: Of each, for taps; empty for one that has none.
        schedules: How the weight of each develops; a validation counts it as at its end.

    Attributes:
        shares: What of the whole each has in this pass, 1 in sum.

    Source: Gao et al. Distilling Knowledge from Ensembles of Acoustic Models. 2020,
    section 3. https://arxiv.org/abs/2005.09310
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        weights: Sequence[float],
        how: str = "mean",
        names: Sequence[str] = (),
        schedules: Sequence[ScheduleConfig] = (),
    ) -> None:
        self.teachers = tuple(teachers)
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.weights /= self.weights.sum()
        self.shares = self.weights
        self.how = how
        self.names = tuple(names) or ("",) * len(self.teachers)
        self.schedules = tuple(schedules) or (ScheduleConfig(),) * len(self.teachers)
        # Those whose decoder runs along the student's labels for what is tapped of it.
        self._forced: set[int] = set()

    @property
    def view(self) -> str:
        """What the student has to hand over: ``same`` if any teacher wants that."""
        return max((teacher.view for teacher in self.teachers), default="clean")

    def __call__(self, question: Question) -> TeacherTargets:
        """Answer for a batch as one."""
        if self.how == "draw":
            return self.teachers[self._drawn(question.batch)](question)
        parts = [self._part(place, question.request) for place in range(len(self.teachers))]
        answers = []
        for place, part in enumerate(parts):
            if part or (place == 0 and not any(parts)):
                answer = self.teachers[place](replace(question, request=part))
                answers.append((place, answer))
        return self._combined(answers, question.request)

    def has(self, part: str) -> bool:
        """Whether any of the teachers gives a part that is combined, or the first does."""
        if OUTPUTS[part].posterior:
            return any(self._mixes(place, part) for place in range(len(self.teachers)))
        return self.teachers[0].has(part)

    def layers(self, name: str) -> int:
        """Layers of the encoder of the teacher of a name, or of the first."""
        return self.teachers[self._place(name)].layers("")

    def check(self, request: Request) -> None:
        """Require each part of one teacher at least, and of the first what is not shared.

        Raises:
            KDError: Naming the part and what to do.
        """
        owned = [tap for tap in request.listed("taps") if split_owner(tap)[0]]
        if self.how == "draw":
            if owned or not self.weights.all():
                what = f"'{owned[0]}'" if owned else "'weight: 0'"
                raise KDError(
                    f"{what} is of one teacher's layers, and 'combine: draw' asks one "
                    "teacher a batch, whoever it is; combine by 'mean'"
                )
            for teacher in self.teachers:
                teacher.check(request)
            return
        for row in posterior_rows():
            if row.name not in request:
                continue
            if not self.has(row.name):
                raise KDError(nobody_has(row))
            if not any(self._mixes(place, row.name) for place in self._lasting()):
                raise KDError(nobody_keeps(row))
        for place, teacher in enumerate(self.teachers):
            part = self._part(place, request)
            if not part:
                raise KDError(self._idle(place))
            teacher.check(part)
            if any(map(is_label_tap, part.listed("taps"))):
                self._forced.add(place)

    def match_vocabulary(self, student: nn.Module, lists: Collection[str]) -> None:
        """Let every teacher whose tokens count speak in the student's."""
        problems = []
        for place, teacher in enumerate(self.teachers):
            try:
                teacher.match_vocabulary(student, lists)
            except KDError as error:
                if not self.weights[place] and place not in self._forced:
                    continue  # of its layers alone tokens are not read
                problems.append(Problem(f"teachers[{place}]", str(error)))
        if problems:
            raise ConfigError(problems)

    def check_front_end(self, student: nn.Module, batch: Mapping[str, Any]) -> None:
        """For ``view: same``, require equal features of every teacher that wants them."""
        for teacher in self.teachers:
            teacher.check_front_end(student, batch)

    def probe(self, question: Question) -> TeacherTargets:
        """Answer for an example, with everything that is tapped."""
        answers = []
        for place, teacher in enumerate(self.teachers):
            part = self._part(place, question.request)
            if "taps" in part or place == 0:
                answers.append((place, teacher.probe(replace(question, request=part))))
        return replace(answers[0][1], hidden=self._hidden(answers, question.request))

    def training_parts(self) -> list[TrainingPart]:
        """What of the teachers changes, their shares first."""
        own = [self] if self._moves else []
        return own + [p for teacher in self.teachers for p in teacher.training_parts()]

    def before_pass(self, training_pass: TrainingPass) -> None:
        """Set the shares of an update, or of a validation."""
        step, learns = training_pass.step, training_pass.learns
        scales = [schedule_scale(s, step) if learns else s.last for s in self.schedules]
        self.shares = self.weights * torch.tensor(scales, dtype=torch.float64)
        self.shares /= self.shares.sum()

    def stats(self) -> dict[str, float]:
        """The share of each teacher."""
        labels = [name or str(place) for place, name in enumerate(self.names)]
        return {
            f"kd_share_{label}": float(share)
            for label, share in zip(labels, self.shares, strict=True)
        }

    def describe(self) -> list[str]:
        """Each teacher with its name and its share, and how they are combined."""
        lines = [f"{len(self.teachers)} teachers, combined by '{self.how}'"]
        for place, teacher in enumerate(self.teachers):
            first, *rest = teacher.describe()
            name = f" as '{self.names[place]}'" if self.names[place] else ""
            share = float(self.weights[place])
            told = f"share {share:.2f}" if share else "of hidden layers alone"
            moves = describe_schedule(self.schedules[place])
            told += f", of its own weight, which {moves}" if moves else ""
            lines += [f"{first}{name}, {told}", *rest]
        return lines

    @property
    def _moves(self) -> bool:
        return any(schedule != ScheduleConfig() for schedule in self.schedules)

    def _lasting(self) -> list[int]:
        """Places of the teachers whose share does not fall to 0."""
        return [place for place, one in enumerate(self.schedules) if one.last]

    def _drawn(self, batch: Mapping[str, Any]) -> int:
        """One of the teachers, by the epoch's seed and the batch's utterances.

        So it differs from batch to batch and from epoch to epoch, comes back on resume,
        and leaves the student's random numbers alone.
        """
        names = batch.get("utt_id") or batch["speech_lengths"].tolist()
        seed = zlib.crc32(f"{torch.initial_seed()} {names}".encode())
        random = torch.Generator().manual_seed(seed)
        return int(torch.multinomial(self.shares, 1, generator=random))

    def _idle(self, place: int) -> str:
        """What to say of a teacher that nobody asks for anything."""
        name = self.names[place]
        who = f"the teacher named '{name}'" if name else f"teacher number {place + 1}"
        weightless = "" if self.weights[place] else " has 'weight: 0' and"
        way = f"tap them, '{name}:encoder' for one," if name else "give it a 'name' to tap"
        return (
            f"{who}{weightless} is asked for nothing: no loss reads posteriors that it "
            f"gives, nor taps its layers; {way} or remove it"
        )

    def _place(self, name: str) -> int:
        """Where the teacher of a name stands; the first for an empty one.

        Raises:
            KDError: If none has it.
        """
        if name and name not in self.names:
            known = suggest(name, filter(None, self.names))
            raise KDError(f"no teacher has the 'name: {name}'; {known}")
        return self.names.index(name) if name else 0

    def _taps(self, place: int, request: Request) -> dict[str, str]:
        """A teacher's taps as it knows them, with what the request calls them."""
        owned = [(text, *split_owner(text)) for text in request.listed("taps")]
        return {tap: text for text, name, tap in owned if self._place(name) == place}

    def _mixes(self, place: int, part: str) -> bool:
        """Whether a teacher has its part in a posterior."""
        return bool(self.shares[place]) and self.teachers[place].has(part)

    def _part(self, place: int, request: Request) -> Request:
        """What one of the teachers is asked of a request."""
        names = [row.name for row in posterior_rows() if row.name in request]
        shared = {name: self._mixes(place, name) for name in names}
        taps = tuple(self._taps(place, request))
        own = request if place == 0 else Request()
        return own.changed(**shared, taps=taps)

    def _hidden(self, answers: Sequence[Answer], request: Request) -> dict[str, Any]:
        """What was tapped of each, by what the request calls it."""
        return {
            text: targets.hidden[tap]
            for place, targets in answers
            for tap, text in self._taps(place, request).items()
            if tap in targets.hidden
        }

    def _combined(self, answers: list[Answer], request: Request) -> TeacherTargets:
        first = answers[0][1]
        found: dict[str, Any] = {"hidden": self._hidden(answers, request)}
        taught = self._taught(answers, request)
        lens = first.encoder_out_lens
        for row in posterior_rows():
            given = [pair for pair in answers if getattr(pair[1], row.field) is not None]
            found[row.field] = None
            if given:
                weights = [float(self.shares[place]) for place, _ in given]
                said = [targets for _, targets in given]
                here = taught.get(row.name)
                found[row.field] = mixed(said, row, weights, self.how, here)
                lens = said[0].encoder_out_lens if row.by_frame else lens
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
            taught=taught,
            **found,
        )

    def _taught(self, answers: Sequence[Answer], request: Request) -> dict[str, Tensor]:
        """Utterances of which all say something that have their share in a part."""
        found: dict[str, Tensor] = {}
        for place, targets in answers:
            names = {name: name for name in self._part(place, request)}
            names |= self._taps(place, request)
            for name, here in targets.taught.items():
                if asked := names.get(name):
                    found[asked] = found.get(asked, here) & here
        return found
