"""Several teachers that answer as one."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from espnet_kd.alignment.frames import at_student_frames
from espnet_kd.errors import ConfigError, KDError, Problem
from espnet_kd.losses.confidence import confidence
from espnet_kd.masking import widened
from espnet_kd.model.forward import Labels, Request
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.teachers.base import Guest

POSTERIORS = ("ctc", "decoder")


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
        self, teachers: Sequence[Guest], weights: Sequence[float], how: str = "mean"
    ) -> None:
        self.teachers = tuple(teachers)
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.weights /= self.weights.sum()
        self.how = how

    @property
    def view(self) -> str:
        """What the student has to hand over: ``same`` if any teacher wants that."""
        return max((teacher.view for teacher in self.teachers), default="clean")

    def __call__(
        self,
        batch: Mapping[str, Tensor],
        request: Request,
        *,
        labels: Labels | None = None,
        feats: tuple[Tensor, Tensor] | None = None,
    ) -> TeacherTargets:
        """Targets for a batch; see ``Teacher``."""
        options = {"labels": labels, "feats": feats}
        if self.how == "draw":
            return self.teachers[self._drawn(batch)](batch, request, **options)
        said = []
        for place, teacher in enumerate(self.teachers):
            part = self._part(place, request)
            if part.ctc or part.decoder or place == 0:
                said.append((place, teacher(batch, part, **options)))
        return self._combined(said)

    def trial(
        self, batch: Mapping[str, Tensor], request: Request, labels: Labels | None
    ) -> TeacherTargets:
        """Targets of an example, for losses to be built."""
        return self.teachers[0].trial(batch, request, labels)

    def check(self, request: Request) -> None:
        """Require each part of one teacher at least, and of the first what is not shared.

        Raises:
            KDError: Naming the part and what to do.
        """
        if self.how == "draw":
            for teacher in self.teachers:
                teacher.check(request)
            return
        parts = [self._part(place, request) for place in range(len(self.teachers))]
        for teacher, part in zip(self.teachers, parts, strict=True):
            teacher.check(part)
        for name in POSTERIORS:
            if getattr(request, name) and not any(getattr(p, name) for p in parts):
                raise KDError(f"none of the teachers has {name} posteriors")

    def match_vocabulary(self, student: nn.Module) -> None:
        """Let every teacher speak in the student's tokens."""
        problems = []
        for place, teacher in enumerate(self.teachers):
            try:
                teacher.match_vocabulary(student)
            except KDError as error:
                problems.append(Problem(f"teachers[{place}]", str(error)))
        if problems:
            raise ConfigError(problems)

    def check_front_end(self, student: nn.Module, batch: Mapping[str, Tensor]) -> None:
        """See ``Teacher.check_front_end``."""
        for teacher in self.teachers:
            if teacher.view == "same":
                teacher.check_front_end(student, batch)

    def _drawn(self, batch: Mapping[str, Tensor]) -> int:
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
        teacher = self.teachers[place]
        shared = {n: getattr(request, n) and teacher.has(n) for n in POSTERIORS}
        return replace(request, **shared) if place == 0 else Request(**shared)

    def _combined(self, said: list[tuple[int, TeacherTargets]]) -> TeacherTargets:
        first = said[0][1]
        found = {name: None for name in POSTERIORS}
        lens = first.encoder_out_lens
        for name in POSTERIORS:
            parts = [
                pair for pair in said if getattr(pair[1], f"{name}_logits") is not None
            ]
            if not parts:
                continue
            frames = parts[0][1].encoder_out_lens
            log_probs = [_log_probs(targets, name, frames) for _, targets in parts]
            found[name] = _mixed(torch.stack(log_probs), self._shares(parts), self.how)
            lens = frames if name == "ctc" else lens
        given = next((t for _, t in said if t.decoder_logits is not None), first)
        return replace(
            first,
            encoder_out_lens=lens,
            ctc_logits=found["ctc"],
            decoder_logits=found["decoder"],
            ys_in_pad=given.ys_in_pad,
            ys_in_lens=given.ys_in_lens,
        )

    def _shares(self, parts: list[tuple[int, TeacherTargets]]) -> Tensor:
        """Weight of each teacher in each utterance, (I, B), 1 in sum."""
        rows = [self.weights[place].expand(len(t.encoder_out_lens)) for place, t in parts]
        shares = torch.stack(rows).to(parts[0][1].encoder_out_lens.device)
        if self.how == "confidence":
            shares = shares * torch.stack([confidence(targets) for _, targets in parts])
        return shares / shares.sum(0)


def _log_probs(targets: TeacherTargets, name: str, frames: Tensor) -> Tensor:
    """A teacher's log-posteriors, CTC's at the frames of the first teacher with CTC."""
    logits = getattr(targets, f"{name}_logits")
    if name == "ctc":
        logits = at_student_frames(
            logits,
            student_lens=frames,
            teacher_lens=targets.encoder_out_lens,
            how="spike",
            blank_id=targets.blank_id,
        )
    return widened(logits).log_softmax(-1)


def _mixed(log_probs: Tensor, shares: Tensor, how: str) -> Tensor:
    """One posterior, (B, L, V), of those of I teachers."""
    shares = shares[..., None, None].to(log_probs.dtype)
    if how == "log_mean":
        return (shares * log_probs).sum(0).log_softmax(-1)
    return (shares.log() + log_probs).logsumexp(0)
