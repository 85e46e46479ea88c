"""Try a training that was prepared: what happens, why it would stop, what is unwise."""

from contextlib import suppress
from dataclasses import dataclass, field

import torch

from espnet_kd.checkup.hearing import MEASURES, Audience
from espnet_kd.checkup.reading import (
    Batch,
    batches_of,
    copied,
    first_batches,
    read,
    shortest,
    singly,
    unknown_labels,
    utterances,
)
from espnet_kd.checkup.reasons import Reasons, reasons_of, why
from espnet_kd.checkup.rehearsal import Prepared
from espnet_kd.checkup.step_cost import FEW, Costs, Tried, cost_of_steps, in_time
from espnet_kd.config.schema import KDConfig
from espnet_kd.errors import KDError
from espnet_kd.hook.attach import attachment_of
from espnet_kd.hook.attachment import Attachment
from espnet_kd.hook.decisions import decisions, delay_doubts
from espnet_kd.hook.judgement import (
    judge_errors,
    judge_labels,
    judge_lengths,
    judge_schedule,
    judge_silence,
    judge_start,
)
from espnet_kd.model.parts import parts_of
from espnet_kd.tasks.arguments import kd_config
from espnet_kd.tasks.start import starts_in_vain
from espnet_kd.teachers.vocabulary import vocabulary_of

READING = (
    "the {split} data cannot be read ({{why}}); check that every file that its lists name "
    "is there and whole"
)
ALONE = (
    "the student alone stops at {what} ({{why}}); mend that first, for a training without "
    "--kd_conf stops there as well"
)
TOGETHER = (
    "a distilled step stops at {what} ({{why}}), and the student alone does not; leave out "
    "one term after the other to find which"
)
TOO_SHORT = (
    "{what} is shorter than the student's subsampling needs ({{why}}); drop such "
    "utterances, by --min_seconds in stage 4 of the recipe"
)
UNKNOWN_TOKEN = "<unk>"


@dataclass
class Findings:
    """What was found about a training.

    Attributes:
        lines: What would happen.
        reasons: Why it would not work.
        unwise: What works and is to be doubted.
        unread: Splits of the data that are known to be broken before they are read.
    """

    lines: list[str] = field(default_factory=list)
    reasons: Reasons = field(default_factory=Reasons)
    unwise: list[str] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)

    @property
    def status(self) -> int:
        """0 for a training that is well, 1 for an unwise one, 2 for one that will stop."""
        return 2 if self.reasons else 1 if self.unwise else 0


class Examination:
    """What is tried of a training that was prepared.

    Args:
        prepared: The training.
        findings: Where to put what is found.
        steps: Training batches on which steps are timed.
        heard: Validation utterances by which student and teacher are compared.
    """

    def __init__(
        self, prepared: Prepared, findings: Findings, steps: int, heard: int
    ) -> None:
        self.training, self.findings = prepared, findings
        self.steps, self.heard = steps, heard
        self.model, self.args = prepared.model, prepared.args
        self.config: KDConfig = kd_config(prepared.args)
        attachment = attachment_of(prepared.model)
        if attachment is None:
            raise KDError("the student was built without its teacher; give a --kd_conf")
        self.attachment: Attachment = attachment

    def __call__(self) -> None:
        """Try everything that can be tried; one failure does not hide the next."""
        self.findings.lines += decisions(self.config, self.attachment)
        self.findings.unwise += delay_doubts(self.attachment)
        tried = self._read()
        train, valid = tried.get("train"), tried.get("valid")
        if train and self._pass(train.batches[0], "the first batch"):
            self._values(train)
            self._short_ones(train.batches[0])
        if valid:
            self._errors()
        if train and valid and not self.findings.reasons:
            self._costs(train, valid)
        in_vain = starts_in_vain(self.args, self.model, self.attachment)
        self.findings.unwise += judge_start(in_vain)

    def _read(self) -> dict[str, Tried]:
        """Some training batches, and one of validation, of those that can be read."""
        found: dict[str, Tried] = {}
        training = self.training
        asked = {"train": (training.train, self.steps), "valid": (training.valid, 1)}
        for split in sorted(asked.keys() - self.findings.unread):
            factory, count = asked[split]
            with self.findings.reasons.attempt(READING.format(split=split)):
                batches = list(first_batches(factory, count))
                found[split] = Tried(batches)
                # What stops here is named where it is tried.
                with suppress(Exception):
                    found[split] = in_time(training, factory, batches)
        return found

    def _pass(self, batch: Batch, what: str) -> bool:
        """Whether the student alone, then with its teacher, gets through a batch."""
        more = f" and {len(batch[0]) - 1} more" if len(batch[0]) > 1 else ""
        what = f"{what} ({batch[0][0]}{more})"
        reasons, before = self.findings.reasons, len(self.findings.reasons)
        self.model.train()
        with reasons.attempt(_named(ALONE, what), _named(TOO_SHORT, what)):
            with self.attachment.paused(), torch.no_grad():
                self.model(**copied(batch[1]))
            with reasons.attempt(_named(TOGETHER, what)):
                self.model(**copied(batch[1]))
        return len(reasons) == before

    def _values(self, train: Tried) -> None:
        """What the first batch shows."""
        first, batch = self.attachment.first_batch, train.batches[0]
        assert first is not None, "a training pass was made"
        rest = f" (of a batch {train.times:.1f} times as large)" if train.times > 1 else ""
        count = f"{len(batch[0])} utterances{rest}"
        self.findings.lines.append(f"On a training batch of {count}:")
        self.findings.lines += [f"  {line}" for line in first.describe()]
        self.findings.reasons.add(*first.broken())
        self.findings.unwise += first.unwise()
        key, tokens = parts_of(self.model).text, vocabulary_of(self.model).ctc
        if key in batch[1] and UNKNOWN_TOKEN in tokens:
            counts = unknown_labels(batch[1], key, tokens.index(UNKNOWN_TOKEN))
            self.findings.unwise += judge_labels(*counts)

    def _short_ones(self, batch: Batch) -> None:
        """The batch of the shortest utterances, and those that are too short for CTC."""
        lengths = utterances(self.args, "train")
        if batches := batches_of(self.training.train):
            utts = shortest(lengths, batches, FEW)
            with self.findings.reasons.attempt(READING.format(split="train")):
                shortest_ones = read(self.training.train, utts)
                self._pass(shortest_ones, "the batch of the shortest utterances")
        if parts_of(self.model).ctc_lo is None:
            return
        first, lens = self.attachment.first_batch, batch[1]["speech_lengths"]
        assert first is not None, "a training pass was made"
        rate = float(first.student_lens.sum()) / float(lens.sum())
        rate /= len(first.student_lens) / len(lens)  # two views count their batch twice
        short = [u for u, (n, *m) in lengths.items() if n and m and n * rate < m[0]]
        self.findings.unwise += judge_lengths(short, len(lengths))

    def _errors(self) -> None:
        """How many errors student and teachers make."""
        if self.attachment.teacher is None:
            return
        audience = Audience(self.model, self.attachment.teacher, self.config, self.args)
        if not audience.teachers:
            return
        if not audience.part:
            text = "errors: not compared, for not all models have CTC or a decoder"
            self.findings.lines.append(text)
            return
        try:
            batches = list(singly(self.training.task, self.args, self.heard))
            student, *teachers = audience(batches)
        except KDError as error:
            self.findings.reasons.add(*reasons_of(error))
        except Exception as error:  # a training does not count them, and goes on
            self.findings.lines.append(f"errors: not counted ({why(error)})")
        else:
            measure = MEASURES[audience.part]
            told = [f"{one.name} {one.errors:.1f} %" for one in (*teachers, student)]
            where = f"errors on {len(batches)} validation utterances ({measure})"
            self.findings.lines.append(f"{where}: {', '.join(told)}")
            for one in teachers:
                given = (one.name, one.errors, student.errors, measure)
                self.findings.unwise += judge_errors(*given)

    def _costs(self, train: Tried, valid: Tried) -> None:
        """Time and memory of a step, and the time of the whole training."""
        costs: Costs | None = None
        with self.findings.reasons.attempt(_named(TOGETHER, "an update")):
            costs = cost_of_steps(self.training, self.attachment, train, valid)
        if costs is None:
            return
        plan = self.training.plan()
        self.findings.lines += costs.describe(plan)
        silent = self.attachment.objective.idle()
        self.findings.unwise += judge_silence(silent, len(train.batches))
        if plan is not None:
            schedules = (self.config.losses, self.config.schedule)
            self.findings.unwise += judge_schedule(*schedules, plan.updates)


def _named(stage: str, what: str) -> str:
    return stage.format(what=what)
