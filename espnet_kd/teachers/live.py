"""A live teacher: frozen, always evaluating, outside the student, on its own RNG."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError, TeacherError, utterance_name
from espnet_kd.host.compat import is_too_short
from espnet_kd.model.forward import fork_rng, run_guest
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.parts import has_recurrent_encoder, parts_of
from espnet_kd.model.request import Request
from espnet_kd.model.table import OUTPUTS, check_model
from espnet_kd.model.training_part import TrainingPart
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.codebooks import (
    Codebooks,
    check_all_read,
    check_codebooks,
    codes_of,
)
from espnet_kd.teachers.finite import first_broken
from espnet_kd.teachers.search import can_search, find_nbest
from espnet_kd.teachers.stream import OwnStream
from espnet_kd.teachers.token_map import PosteriorMap, check_map_read
from espnet_kd.teachers.vocabulary import TokenMaps, match_vocabularies, vocabulary_of


class LiveTeacher:
    """A frozen model that answers for a batch. Deliberately not an ``nn.Module``.

    Held by a student's attachment as a plain object, it is in no ``state_dict``,
    average, optimizer, DDP bucket or parameter count.

    Args:
        model: A trained ESPnet model; it is frozen and silenced in place.
        view: ``clean``: it gets the batch as it came in. ``same``: it gets the
            student's features after SpecAugment, normalised by its own statistics.
        name: What to call it in messages.
        hears: A stream of the batch that it gets instead of ``speech``; see ``OwnStream``.
        origin: Which of its files it was loaded from, for the log.
        settings: What its experiment's config says; None for one that has no experiment.
        codebooks: Of its layers, for losses that learn indices into them.
        token_map: How its CTC posteriors are read by a student of other tokens.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        view: str = "clean",
        hears: str = "",
        name: str = "",
        origin: str = "",
        settings: Mapping[str, Any] | None = None,
        codebooks: Sequence[Codebooks] = (),
        token_map: PosteriorMap | None = None,
    ) -> None:
        self.model = freeze(model)
        self.view = view
        size = (settings or {}).get("input_size")
        self.stream = OwnStream(hears, model, size) if hears else None
        self.name = name or type(model).__name__
        self.origin = origin
        self.settings = settings
        self.codebooks = {own.tap: own for own in codebooks}
        self.token_map = token_map
        self.vocabulary = vocabulary_of(model)
        self._tokens = TokenMaps()
        self._front_ends_agree = False
        self._is_recurrent = has_recurrent_encoder(model)

    def __call__(self, question: Question) -> TeacherTargets:
        """Answer for a batch.

        Raises:
            TeacherError: If it cannot take the batch, or the targets hold nan or inf at
                real positions.
        """
        if self.stream is not None:
            question = self.stream.of(question, self.name)
        self._follow(question.batch["speech"])
        self._check_input(question)
        coded = question.request.listed("codebooks")
        taps = dict.fromkeys((*question.request.listed("taps"), *coded))
        request = question.request.changed(taps=tuple(taps))
        outputs = self._run(replace(question, request=request))
        self._check_finite(outputs, question.batch.get("utt_id"))
        outputs.codes = codes_of(self.codebooks, outputs, request)
        if count := question.request.count("nbest"):
            with torch.no_grad(), fork_rng(question.batch["speech"].device):
                outputs.nbest = find_nbest(self.model, outputs, count)
        return self._tokens.to_student(TeacherTargets.of(outputs))

    def has(self, part: str) -> bool:
        """Whether it gives a part, by its name in the table of outputs."""
        row, parts = OUTPUTS[part], parts_of(self.model)
        return row.missing(self.model, parts, Request(**{part: True})) is None

    def check(self, request: Request) -> None:
        """Require the parts that the losses read.

        Raises:
            KDError: Naming the first that is missing and what to do.
        """
        check_model(self.model, parts_of(self.model), request, "teacher")
        check_codebooks(request, self.codebooks, "the teacher")
        check_all_read(request, self.codebooks)
        check_map_read(self.token_map, request)
        if "nbest" in request and not can_search(self.model):
            raise KDError(
                f"the teacher ({type(self.model).__name__}) has no beam search here; "
                "ctc_nbest with 'search: greedy' needs none, or decode beforehand and "
                "train on the result"
            )

    def match_vocabulary(self, student: nn.Module, lists: Collection[str]) -> None:
        """Speak in the student's tokens from now on; see ``match_vocabularies``.

        Raises:
            AlignmentError: If they are others.
        """
        sides = (vocabulary_of(student), self.vocabulary)
        self._tokens = match_vocabularies(*sides, lists, self.token_map)

    def check_front_end(self, student: nn.Module, batch: Mapping[str, Any]) -> None:
        """For ``view: same``, require equal features from both front ends, once.

        Raises:
            TeacherError: If they differ, with the way out.
        """
        if self.view != "same" or self._front_ends_agree:
            return
        self._follow(batch["speech"])
        student_feats, teacher_feats = (
            _features(m, batch)[0] for m in (student, self.model)
        )
        same_shape = student_feats.shape == teacher_feats.shape
        if not same_shape or not torch.allclose(student_feats, teacher_feats, atol=1e-4):
            raise TeacherError(
                f"teacher {self.name}: 'view: same' needs the student's front end, but "
                "the two give different features for the same audio. Use "
                "'view: clean', or give the student the teacher's frontend_conf."
            )
        self._front_ends_agree = True

    def probe(self, question: Question) -> TeacherTargets:
        """Answer for an example, so that losses learn the widths of what is tapped."""
        return self(self.stream.example(question) if self.stream else question)

    def training_parts(self) -> list[TrainingPart]:
        """Nothing of a trained teacher changes."""
        return []

    def describe(self) -> list[str]:
        """Name, file, size, features and tokens."""
        count = sum(parameter.numel() for parameter in self.model.parameters())
        file = f" ({self.origin})" if self.origin else ""
        kind = f"{type(self.model).__name__}, {count:,} parameters"
        lines = [f"teacher {self.name}{file}: {kind}, {self.heard}"]
        lines += [f"  {own.describe()}" for own in self.codebooks.values()]
        return lines + self._tokens.describe()

    @property
    def heard(self) -> str:
        """What of the batch it gets, for the log."""
        return f"hears: {self.stream.name}" if self.stream else f"view: {self.view}"

    def _run(self, question: Question) -> ModelOutputs:
        inputs = {key: question.batch[key] for key in ("speech", "speech_lengths")}
        front_end: Any = nullcontext()
        feats = self._prepared(question)
        if feats is not None:
            inputs = dict(zip(inputs, feats, strict=True))
            front_end = _without_front_end(self.model)
        labels = self._tokens.to_teacher(question.labels)
        try:
            with front_end:
                return run_guest(self.model, inputs, question.request, labels)
        except (KDError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if is_too_short(error):
                raise self._too_short(error, question.batch) from None
            raise self._failed(error, question.batch) from error

    def _prepared(self, question: Question) -> tuple[Tensor, Tensor] | None:
        """Features that the student's pass decides on; None for the teacher's own."""
        if self.view == "same" and question.feats is not None:
            return question.feats
        if question.warp is None:
            return None
        with fork_rng(question.batch["speech"].device):
            feats, lens = _features(self.model, question.batch)
            return question.warp(feats, lens)

    def _too_short(self, error: Exception, batch: Mapping[str, Any]) -> TeacherError:
        shortest = int(batch["speech_lengths"].argmin())
        return TeacherError(
            f"teacher {self.name}: utterance "
            f"{utterance_name(shortest, batch.get('utt_id'))} is shorter than its "
            f"subsampling needs ({error}). Drop such utterances, by --min_seconds in "
            "stage 4 of the recipe."
        )

    def _failed(self, error: Exception, batch: Mapping[str, Any]) -> TeacherError:
        shape = ", ".join(map(str, batch["speech"].shape))
        what, *_ = str(error).splitlines() or [""]
        whose = f"'{self.stream.name}'" if self.stream else "the student's batch"
        return TeacherError(
            f"teacher {self.name}: it cannot take {whose} of {shape} "
            f"({type(error).__name__}: {what}). It needs what it was trained on: audio, or "
            "features of as many dimensions. Train the student on the same, or name a "
            "teacher that was trained on the student's"
        )

    def _check_input(self, question: Question) -> None:
        batch = question.batch
        if question.is_features and getattr(self.model, "frontend", None) is not None:
            raise TeacherError(
                f"teacher {self.name}: it takes audio, and the student is trained on "
                f"features of {batch['speech'].shape[-1]} dimensions. Train the student "
                "on audio, or name a teacher that was trained on the same features"
            )
        if self._is_recurrent and bool((batch["speech_lengths"].diff() > 0).any()):
            raise TeacherError(
                f"teacher {self.name}: its recurrent encoder takes the utterances of a "
                "batch by falling length. Train with a 'batch_type' that sorts them (any "
                "but 'unsorted'), and without cr_ctc"
            )

    def _follow(self, speech: Tensor) -> None:
        """Move to where the batch is: ESPnet moves the student after building it."""
        parameter = next(self.model.parameters(), None)
        dtype = speech.dtype if speech.is_floating_point() else None
        if parameter is None or parameter.device != speech.device:
            self.model.to(device=speech.device)
        if dtype is not None and parameter is not None and parameter.dtype != dtype:
            self.model.to(dtype=dtype)

    def _check_finite(self, outputs: ModelOutputs, utt_ids: list[str] | None) -> None:
        broken = first_broken(outputs)
        if broken is None:
            return
        what, rows = broken
        raise TeacherError(
            f"teacher {self.name}: its {what} hold nan or inf for {len(rows)} "
            f"utterance(s), first {utterance_name(rows[0], utt_ids)}. Check the teacher's "
            "checkpoint and normalisation statistics, and whether it can run in this "
            "precision (without --use_amp, for one)."
        )


def freeze(model: nn.Module) -> nn.Module:
    """Make a model a silent guest: evaluating, without gradients or side errands."""
    model.eval().requires_grad_(False)
    for name in ("error_calculator", "error_calculator_trans", "asr_error_calculator"):
        if hasattr(model, name):
            setattr(model, name, None)
    ctc: Any = getattr(model, "ctc", None)
    if ctc is not None:
        ctc.dropout_rate = 0.0  # ESPnet applies it in evaluation as well
    encoder: Any = getattr(model, "encoder", None)
    if getattr(encoder, "dynamic_chunk_training", False):
        encoder.dynamic_chunk_training = False  # random chunks, also in evaluation
    return model


@contextmanager
def _without_front_end(model: Any) -> Iterator[None]:
    """Let a model take features for a while, as if it had been built for them."""
    front_end, model.frontend = model.frontend, None
    try:
        yield
    finally:
        model.frontend = front_end


def _features(model: Any, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        speech, lens = batch["speech"].clone(), batch["speech_lengths"]
        feats: Tensor
        feats, lens = model._extract_feats(speech, lens)
        return feats, lens
