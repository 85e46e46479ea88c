"""How well student and teachers know the validation data before anything is trained."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn

from espnet_kd.alignment.ctc_best import greedy_ctc
from espnet_kd.alignment.words import word_error_rate
from espnet_kd.config.schema import KDConfig
from espnet_kd.errors import AlignmentError
from espnet_kd.hook.probe import takes_features
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.text import detokeniser
from espnet_kd.model.forward import evaluating, run_guest
from espnet_kd.model.outputs import ModelOutputs, given
from espnet_kd.model.parts import parts_of
from espnet_kd.model.request import Labels, Request
from espnet_kd.model.table import OUTPUTS
from espnet_kd.teachers.base import Question, Teacher
from espnet_kd.teachers.build import acoustic_teachers
from espnet_kd.teachers.cached import CachedTeacher
from espnet_kd.teachers.ema import EMATeacher
from espnet_kd.teachers.live import LiveTeacher
from espnet_kd.teachers.vocabulary import vocabulary_of

Batch = tuple[list[str], Mapping[str, Any]]
# Asks a model about a batch, its decoder forced along labels.
Ask = Callable[[Batch, Request, Labels], ModelOutputs]
MEASURES = {
    "ctc": "words, greedy CTC",
    "decoder": "tokens, the decoder behind the transcript",
}
STUDENT = "the student as it starts"


@dataclass(frozen=True)
class Heard:
    """What one model made of the utterances.

    Attributes:
        name: The teacher's; the student's says that it is as it starts.
        errors: In percent.
    """

    name: str
    errors: float


@dataclass(frozen=True)
class Tongue:
    """The tokens that a model speaks in, and what joins them to text.

    Attributes:
        tokens: By their indices.
        settings: The model's, whose files are there as long as there is text to write.
        side: Of its tokens, see ``detokeniser``.
    """

    tokens: Sequence[str]
    settings: Mapping[str, Any]
    side: str = ""

    def text(self, ids: Iterable[int]) -> str:
        """Text of tokens by their indices."""
        return self._to_text([self.tokens[index] for index in ids])

    @cached_property
    def _to_text(self) -> Callable[[list[str]], str]:
        return detokeniser(self.settings, self.side)


class Audience:
    """A student, its teachers, and a measure that all of them can be held to.

    Args:
        model: The student, attached.
        teacher: Its teacher.
        config: The validated ``kd_conf``.
        args: Of the training.

    Attributes:
        part: Output that is measured, a key of ``MEASURES``; empty if there is none.
    """

    def __init__(
        self, model: nn.Module, teacher: Teacher, config: KDConfig, args: argparse.Namespace
    ) -> None:
        self.model, self.config, self.args = model, config, args
        self.parts = parts_of(model)
        heard = acoustic_teachers(teacher)
        self.teachers = [one for one in heard if not isinstance(one, EMATeacher)]
        can = [part for part in MEASURES if self.teachers and self._have(part)]
        self.part = next(iter(can), "")

    def __call__(self, batches: Iterable[Batch]) -> list[Heard]:
        """Hold the student, then each of the teachers to the measure."""
        batches = list(batches)
        errors = self._wrong_words if self.part == "ctc" else self._wrong_tokens
        with evaluating(self.model), torch.no_grad(), ExitStack() as stack:
            found = [Heard(STUDENT, errors(self._ask_student, batches, self._own_tongue))]
            for place, teacher in enumerate(self.teachers):
                tongue = self._tongue(place, teacher, stack)
                if tongue is not None:
                    ask = partial(self._ask_teacher, teacher)
                    found.append(Heard(name_of(teacher), errors(ask, batches, tongue)))
        return found

    def _have(self, part: str) -> bool:
        missing = OUTPUTS[part].missing(self.model, self.parts, Request(**{part: True}))
        return missing is None and all(teacher.has(part) for teacher in self.teachers)

    def _ask_student(self, batch: Batch, request: Request, labels: Labels) -> ModelOutputs:
        return run_guest(self.model, batch[1], request, labels)

    def _ask_teacher(
        self, teacher: Teacher, batch: Batch, request: Request, labels: Labels
    ) -> ModelOutputs:
        is_features = takes_features(self.model, batch[1])
        heard = {**batch[1], "utt_id": batch[0]}
        return teacher(Question(heard, request, labels, is_features=is_features))

    @cached_property
    def _own_tongue(self) -> Tongue:
        tokens = vocabulary_of(self.model)
        is_source = self.part == "ctc" and self.parts.text == "src_text"
        listed, side = (tokens.ctc, "src_") if is_source else (tokens.text, "")
        return Tongue(listed, vars(self.args), side)

    def _tongue(self, place: int, teacher: Teacher, stack: ExitStack) -> Tongue | None:
        """What a teacher speaks in, until a stack is closed; None where it is not known."""
        try:
            teacher.match_vocabulary(self.model, {"text", "ctc"})
        except AlignmentError:
            named = [config for config in self.config.teachers if config.exp][place:]
            if self.part != "ctc" or not named or not isinstance(teacher, LiveTeacher):
                return None
            opened = open_experiment(named[0].exp, named[0].file)
            settings = stack.enter_context(opened).settings
            return Tongue(teacher.vocabulary.ctc, settings)
        return self._own_tongue

    def _wrong_words(self, ask: Ask, batches: Sequence[Batch], tongue: Tongue) -> float:
        own, pairs = self._own_tongue, []
        for batch in batches:
            outputs = ask(batch, Request(ctc=(1.0,)), Labels())
            logits = given(outputs.ctc_logits, "ctc_logits")
            said = greedy_ctc(logits, outputs.encoder_out_lens, outputs.blank_id)
            for labels, ids in zip(_labels(batch, self.parts.text), said, strict=True):
                pairs.append((own.text(labels), tongue.text(ids)))
        return word_error_rate(pairs)

    def _wrong_tokens(self, ask: Ask, batches: Sequence[Batch], _tongue: Tongue) -> float:
        wrong: list[bool] = []
        for batch in batches:
            for labels in _labels(batch, "text"):
                prefix = torch.tensor([[self.parts.sos_id, *labels]])
                forced = Labels(prefix, torch.tensor([prefix.shape[1]]))
                outputs = ask(batch, Request(decoder=(1.0,)), forced)
                best = given(outputs.decoder_logits, "decoder_logits")[0].argmax(-1)
                target = torch.tensor([*labels, self.parts.eos_id])
                wrong += (best[: len(target)] != target).tolist()
        return 100.0 * sum(wrong) / max(len(wrong), 1)


def name_of(teacher: Teacher) -> str:
    """What to call a teacher."""
    if isinstance(teacher, CachedTeacher):
        return teacher.header.teacher
    return teacher.name if isinstance(teacher, LiveTeacher) else type(teacher).__name__


def _labels(batch: Batch, key: str) -> list[list[int]]:
    """The transcripts of a batch of single utterances, without padding."""
    rows: list[list[int]] = batch[1][key].tolist()
    lengths: list[int] = batch[1][f"{key}_lengths"].tolist()
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]
