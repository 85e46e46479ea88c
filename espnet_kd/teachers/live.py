"""A live teacher: frozen, always evaluating, outside the student, on its own RNG."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.config.schema import Precision
from espnet_kd.errors import KDError, TeacherError
from espnet_kd.host.compat import is_too_short
from espnet_kd.masking import widened_if_real
from espnet_kd.model.families import family_of
from espnet_kd.model.forward import TRANSCRIPT, fork_rng, run_guest, stream_of
from espnet_kd.model.hidden import layer_count
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.parts import has_recurrent_encoder, parts_of
from espnet_kd.model.request import Request
from espnet_kd.model.rows import changed_tensors
from espnet_kd.model.table import OUTPUTS, check_model
from espnet_kd.model.taps import check_rule_alone
from espnet_kd.model.training_part import TrainingPart
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.codebooks import (
    Codebooks,
    check_all_read,
    check_codebooks,
    codes_of,
)
from espnet_kd.teachers.finite import first_broken
from espnet_kd.teachers.guest import (
    cannot_take,
    features_of,
    follow,
    freeze,
    in_precision,
    not_finite,
    too_short,
    without_front_end,
)
from espnet_kd.teachers.lessons import Lessons
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
        skips: Whether it says nothing of utterances that lack the stream.
        every: In every how many batches of the training it is asked; see ``Lessons``.
        precision: ``bfloat16`` computes its forward pass by autocast; what it says is
            float32 again.
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
        skips: bool = False,
        every: int = 1,
        precision: Precision = "float32",
        name: str = "",
        origin: str = "",
        settings: Mapping[str, Any] | None = None,
        codebooks: Sequence[Codebooks] = (),
        token_map: PosteriorMap | None = None,
    ) -> None:
        self.model = freeze(model)
        self.view = view
        size = (settings or {}).get("input_size")
        self.stream = OwnStream(hears, model, size, skips=skips) if hears else None
        self.name = name or type(model).__name__
        self.precision = precision
        self.lessons = Lessons(every) if every > 1 else None
        self.origin = origin
        self.settings = settings
        self.codebooks = {own.tap: own for own in codebooks}
        self.family = family_of(model)
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
        scale = self.lessons.weight if self.lessons else 1.0
        if not scale:
            heard = stream_of(self.model, question.batch)
            lens = torch.zeros(len(heard), dtype=torch.long, device=heard.device)
            return TeacherTargets(lens, scale=scale)
        said = self._answer if self.stream is None else partial(self._hear, self.stream)
        return replace(said(question), scale=scale)

    def _hear(self, stream: OwnStream, question: Question) -> TeacherTargets:
        """Answer about the stream; what is said of a stand-in is not taught."""
        heard = stream.of(question, self.name)
        said = self._answer(heard)
        if not stream.skips:
            return said
        here = question.batch[f"{stream.name}_lengths"] > 0
        request = question.request
        names = [*(n for n in request if n != "taps"), *request.listed("taps")]
        taught = dict.fromkeys(names, here)
        return replace(said, encoder_out_lens=said.encoder_out_lens * here, taught=taught)

    def _answer(self, question: Question) -> TeacherTargets:
        """Answer for every utterance of a batch."""
        follow(self.model, stream_of(self.model, question.batch))
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

    def layers(self, name: str) -> int:
        """Layers of its encoder; 0 of one that has none by the name of layers.

        Raises:
            KDError: If another teacher is meant.
        """
        check_rule_alone(name)
        return layer_count(self.model)

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
        own = vocabulary_of(student)
        # Some models name their tokens only if this package built them.
        if self.family is None or (own.text and self.vocabulary.text):
            self._tokens = match_vocabularies(own, self.vocabulary, lists, self.token_map)

    def check_front_end(self, student: nn.Module, batch: Mapping[str, Any]) -> None:
        """For ``view: same``, require equal features from both front ends, once.

        Raises:
            TeacherError: If they differ, with the way out.
        """
        if self.view != "same" or self._front_ends_agree:
            return
        follow(self.model, stream_of(self.model, batch))
        student_feats, teacher_feats = (
            features_of(m, batch)[0] for m in (student, self.model)
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
        """Nothing of a trained teacher changes but whether it is asked."""
        return [self.lessons] if self.lessons else []

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
        """What of the batch it gets, and what it computes in, for the log."""
        how = "" if self.precision == "float32" else f", precision: {self.precision}"
        if self.stream is None:
            return f"view: {self.view}{how}"
        missing = ", says nothing where that is missing" if self.stream.skips else ""
        return f"hears: {self.stream.name}{missing}{how}"

    def _run(self, question: Question) -> ModelOutputs:
        inputs = self._inputs(question)
        front_end: Any = nullcontext()
        feats = self._prepared(question)
        if feats is not None:
            inputs |= dict(zip(("speech", "speech_lengths"), feats, strict=True))
            front_end = without_front_end(self.model)
        labels = self._tokens.to_teacher(question.labels)
        device = stream_of(self.model, inputs).device
        try:
            with front_end, in_precision(self.precision, device):
                said = run_guest(self.model, inputs, question.request, labels)
        except (KDError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if is_too_short(error):
                raise too_short(self.name, error, question.batch) from None
            whose = f"'{self.stream.name}'" if self.stream else "the student's batch"
            heard = stream_of(self.model, question.batch)
            raise cannot_take(self.name, whose, error, heard) from error
        return (
            said if self.precision == "float32" else changed_tensors(said, widened_if_real)
        )

    def _inputs(self, question: Question) -> dict[str, Any]:
        """What of the batch it is given: all of it for its own forward pass."""
        if self.family is not None:
            return self._tokens.read_by_teacher(question.batch)
        heard = {key: question.batch[key] for key in ("speech", "speech_lengths")}
        words = {key: question.batch[key] for key in TRANSCRIPT if key in question.batch}
        return heard | words

    def _prepared(self, question: Question) -> tuple[Tensor, Tensor] | None:
        """Features that the student's pass decides on; None for the teacher's own."""
        if self.view == "same" and question.feats is not None:
            return question.feats
        if question.warp is None:
            return None
        with fork_rng(question.batch["speech"].device):
            feats, lens = features_of(self.model, question.batch)
            return question.warp(feats, lens, question.rows)

    def _check_input(self, question: Question) -> None:
        batch = question.batch
        if self.family is not None:
            return
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

    def _check_finite(self, outputs: ModelOutputs, utt_ids: list[str] | None) -> None:
        if (broken := first_broken(outputs)) is not None:
            raise not_finite(self.name, *broken, utt_ids)
