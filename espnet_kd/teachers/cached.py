"""A teacher that answers from targets on disk."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from espnet_kd.cache.entries import check_labels, prefix, targets_of
from espnet_kd.cache.reader import Cache
from espnet_kd.errors import KDError
from espnet_kd.model.forward import Labels, Request
from espnet_kd.model.outputs import Hidden, TeacherTargets
from espnet_kd.teachers.vocabulary import TokenMap, match_vocabulary


class CachedTeacher:
    """Answers for a batch from what its collate function brought along.

    Args:
        cache: What was written.
        place: Of the cache, among those that the collate function was given.
    """

    view = "clean"

    def __init__(self, cache: Cache, place: int = 0) -> None:
        self.cache = cache
        self.place = place
        self.header = cache.header
        self._tokens: TokenMap | None = None

    def __call__(
        self,
        batch: Mapping[str, Tensor],
        request: Request,
        *,
        labels: Labels | None = None,
        feats: tuple[Tensor, Tensor] | None = None,
    ) -> TeacherTargets:
        """Targets for a batch; see ``Teacher``.

        Raises:
            KDError: If the batch came without them, or its text is another.
        """
        if f"{prefix(self.place)}frames" not in batch:
            raise KDError(
                "this batch came without cached targets: they are read by the data "
                "loader of 'python -m espnet_kd'. With another one, wrap its collate "
                "function by espnet_kd.cache.reader.CachedCollate, or use 'targets: live'"
            )
        targets = targets_of(batch, self.header, self.place)
        if self._tokens is not None:
            targets = self._tokens.to_student(targets)
        if targets.decoder_logits is not None and labels.ys_in_pad is not None:
            utts = batch.get("utt_id")
            check_labels(targets, labels.ys_in_pad, labels.ys_in_lens, utts)
        return targets

    def has(self, part: str) -> bool:
        """Whether it gives ``ctc`` or ``decoder`` posteriors."""
        return part in self.header.parts

    def trial(
        self, batch: Mapping[str, Tensor], request: Request, labels: Labels | None
    ) -> TeacherTargets:
        """Hidden representations of the right widths, for losses to be built."""
        one = torch.ones(1, dtype=torch.long)
        widths = dict(zip(self.header.taps, self.header.widths, strict=True))
        hidden = {tap: Hidden(torch.zeros(1, 1, widths[tap]), one) for tap in request.taps}
        return TeacherTargets(one, hidden=hidden)

    def check(self, request: Request) -> None:
        """Require what the losses read to have been written.

        Raises:
            KDError: Naming what is not in the cache.
        """
        if request.joint:
            raise KDError("a cache holds no transducer lattices; use 'targets: live'")
        wanted = [name for name in ("ctc", "decoder") if getattr(request, name)]
        wanted += ["nbest"] if request.nbest else []
        missing = [name for name in wanted if name not in self.header.parts]
        if missing or request.nbest > self.header.nbest:
            has = ", ".join(self.header.parts) or "none"
            raise KDError(
                f"the cache has no {', '.join(missing) or 'so many hypotheses'} (it has: "
                f"{has}; nbest {self.header.nbest}); write it again with --parts and "
                "--nbest as needed"
            )
        taps = [tap for tap in request.taps if tap not in self.header.taps]
        if taps:
            has = ", ".join(self.header.taps) or "none"
            raise KDError(
                f"the cache has no hidden '{taps[0]}' (it has: {has}); write it again "
                f"with --tap {taps[0]}"
            )

    def match_vocabulary(self, student: nn.Module) -> None:
        """Speak in the student's tokens from now on; see ``match_vocabulary``.

        Raises:
            AlignmentError: If they are others.
        """
        tokens = getattr(student, "token_list", ())
        self._tokens = match_vocabulary(tokens, self.header.token_list)
