"""A teacher that answers from targets on disk."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from espnet_kd.cache.entries import check_labels, prefix, targets_of
from espnet_kd.cache.reader import Cache
from espnet_kd.errors import KDError
from espnet_kd.model.outputs import Codes, Hidden, TeacherTargets
from espnet_kd.model.request import Request
from espnet_kd.model.table import lasting_posterior_rows, rows_of
from espnet_kd.model.taps import check_rule_alone, check_unowned
from espnet_kd.model.training_part import TrainingPart
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.codebooks import check_codebooks
from espnet_kd.teachers.token_map import PosteriorMap, check_map_read
from espnet_kd.teachers.vocabulary import (
    TokenMaps,
    Vocabulary,
    match_vocabularies,
    vocabulary_of,
)


class CachedTeacher:
    """Answers for a batch from what its collate function brought along.

    Args:
        cache: What was written.
        place: Of the cache, among those that the collate function was given.

    Attributes:
        token_map: How its CTC posteriors are read by a student of other tokens.
    """

    view = "clean"

    def __init__(self, cache: Cache, place: int = 0) -> None:
        self.cache = cache
        self.place = place
        self.header = cache.header
        self.token_map: PosteriorMap | None = None
        self._tokens = TokenMaps()

    def __call__(self, question: Question) -> TeacherTargets:
        """Answer for a batch.

        Raises:
            KDError: If the batch came without targets, or its text is another.
        """
        batch, labels = question.batch, question.labels
        if f"{prefix(self.place)}frames" not in batch:
            raise KDError(
                "this batch came without cached targets: they are read by the data "
                "loader of 'python -m espnet_kd'. With another one, wrap its collate "
                "function by espnet_kd.cache.reader.CachedCollate, or use 'targets: live'"
            )
        if question.warp is not None:
            raise KDError(
                "SpecAugment's time warp moves frames away from the cached ones; set "
                "specaug_conf.apply_time_warp to false, or use 'targets: live'"
            )
        targets = targets_of(batch, self.header, self.place)
        for row in lasting_posterior_rows():
            if row.name not in question.request:  # nor does a live teacher give it
                setattr(targets, row.field, None)
        targets = self._tokens.to_student(targets)
        if targets.decoder_logits is not None and labels.ys_in_pad is not None:
            prefix_lens = labels.ys_in_lens
            assert prefix_lens is not None, "a prefix comes with its lengths"
            check_labels(targets, labels.ys_in_pad, prefix_lens, batch.get("utt_id"))
        return targets

    def has(self, part: str) -> bool:
        """Whether a part was written."""
        return part in self.header.parts

    def layers(self, name: str) -> int:
        """Layers of its encoder; 0 if the cache does not say.

        Raises:
            KDError: If another teacher is meant.
        """
        check_rule_alone(name)
        return self.header.layers

    def check(self, request: Request) -> None:
        """Require what the losses read to have been written.

        Raises:
            KDError: Naming what is not in the cache.
        """
        if "joint" in request:
            raise KDError("a cache holds no transducer lattices; use 'targets: live'")
        if any(not row.lasting for row in rows_of(request)):
            raise KDError(
                "'prefix: student' asks the teacher along the student's hypotheses, which "
                "change with every update and are in no cache; use 'targets: live', or "
                "'prefix: transcript'"
            )
        by_layer = ("taps", "codebooks")
        wanted = [row.name for row in rows_of(request) if row.name not in by_layer]
        missing = [name for name in wanted if name not in self.header.parts]
        if missing or request.count("nbest") > self.header.nbest:
            has = ", ".join(self.header.parts) or "none"
            raise KDError(
                f"the cache has no {', '.join(missing) or 'so many hypotheses'} (it has: "
                f"{has}; nbest {self.header.nbest}); write it again with --parts and "
                "--nbest as needed"
            )
        coded = {own.tap: own for own in self.header.codebooks}
        check_codebooks(request, coded, "the cache")
        check_map_read(self.token_map, request)
        self._check_temperatures(request)
        check_unowned(request.listed("taps"))
        taps = [tap for tap in request.listed("taps") if tap not in self.header.taps]
        if taps:
            has = ", ".join(self.header.taps) or "none"
            raise KDError(
                f"the cache has no hidden '{taps[0]}' (it has: {has}); write it again "
                f"with --tap {taps[0]}"
            )

    def _check_temperatures(self, request: Request) -> None:
        """Require the tolerance at every temperature at which posteriors are read."""
        for row in rows_of(request):
            known = self.header.temperatures_of(row.name)
            asked = request.listed(row.name) if row.posterior else ()
            if unknown := [tau for tau in asked if tau not in known]:
                kept = " and ".join(f"{tau:g}" for tau in known)
                wanted = ",".join(f"{tau:g}" for tau in sorted({*known, *unknown}))
                raise KDError(
                    f"a loss reads the cached {row.name} posteriors at temperature "
                    f"{unknown[0]:g}, and they keep their tolerance of "
                    f"{self.header.tolerance:g} nats at {kept} alone; write the cache "
                    f"again with --{row.name}_temperatures {wanted}, or use "
                    "'targets: live'"
                )

    def match_vocabulary(self, student: nn.Module, lists: Collection[str]) -> None:
        """Speak in the student's tokens from now on; see ``match_vocabularies``.

        Raises:
            AlignmentError: If they are others.
        """
        written = Vocabulary(self.header.token_list, self.header.tokens_of("ctc"))
        sides = (vocabulary_of(student), written)
        self._tokens = match_vocabularies(*sides, lists, self.token_map)

    def check_front_end(self, student: nn.Module, batch: Mapping[str, Any]) -> None:
        """Nothing to compare: what was written was heard by the teacher's own front end."""

    def probe(self, question: Question) -> TeacherTargets:
        """Hidden representations of the right widths, so that losses learn them."""
        one = torch.ones(1, dtype=torch.long)
        widths = dict(zip(self.header.taps, self.header.widths, strict=True))
        taps = question.request.listed("taps")
        hidden = {tap: Hidden(torch.zeros(1, 1, widths[tap]), one) for tap in taps}
        codes = {
            own.tap: Codes(one.new_zeros(1, 1, own.count), one, own.centroids)
            for own in self.header.codebooks
        }
        return TeacherTargets(one, hidden=hidden, codes=codes)

    def training_parts(self) -> list[TrainingPart]:
        """Nothing of what was written changes."""
        return []

    def describe(self) -> list[str]:
        """Who wrote it, where it lies, and what it holds."""
        places = ", ".join(map(str, self.cache.directories))
        codes = (f"of {own.tap}" for own in self.header.codebooks)
        held = ", ".join((*self.header.parts, *codes, *self.header.taps))
        held += f", hears: {self.header.hears}" if self.header.hears else ""
        lines = [f"teacher {self.header.teacher}, from {places}: {held}"]
        return lines + self._tokens.describe()
