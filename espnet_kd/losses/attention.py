"""Losses between self-attention: its maps, and the relations behind them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from espnet_kd.alignment.frames import bridge_frames, compared_lens
from espnet_kd.config.check import Check
from espnet_kd.config.options import Ordinal
from espnet_kd.errors import KDError
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.divergence import kl_probs
from espnet_kd.losses.tapped import TapLoss, TapOptions, bridged, find_hidden, is_tap
from espnet_kd.masking import Reduction, length_mask, reduce_positions, widened
from espnet_kd.model.hidden import check_rows
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets

RELATIONS = ("q", "k", "v")


def attention_kl(
    student_maps: Tensor,
    teacher_maps: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of self-attention maps.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_{t < \mathrm{lengths}_b} \frac{1}{H} \sum_h
            \mathrm{KL}(A^T_{bht} \,\|\, A^S_{bht})

    Models of equal head counts are compared head by head, others by the mean over their
    heads (H = 1). Rows become distributions over real keys, as if others were masked.

    Args:
        student_maps: Shares of the keys, (B, H, T, T), any float dtype.
        teacher_maps: (B, H', T, T). Receives no gradient.
        lengths: Real positions, queries and keys, (B,).
        reduction: ``batch`` (divide by B) or ``token`` (by the real queries).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats, float32 or wider, not negative, 0 for equal maps; 0 and attached
        without a position.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Sun et al. MobileBERT. 2020, section 3.4; Wang et al. MiniLM. 2020,
    section 3.1. https://arxiv.org/abs/2002.10957
    """
    _check_maps(student_maps, teacher_maps, lengths)
    real = length_mask(lengths, student_maps.shape[2])  # (B, T)
    student, teacher = widened(student_maps), teacher_maps.detach()
    teacher = teacher.to(student.dtype)
    if student.shape[1] != teacher.shape[1]:
        student, teacher = student.mean(1, keepdim=True), teacher.mean(1, keepdim=True)
    student, teacher = (_rows(z, real) for z in (student, teacher))  # (N, H, T)
    values = kl_probs(student, teacher).mean(-1)
    return reduce_positions(values, real, reduction, weights)


def relation_kl(
    student_vectors: list[Tensor],
    teacher_vectors: list[Tensor],
    lengths: Tensor,
    *,
    heads: Ordinal = 8,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of self-attention relations, as in MiniLMv2.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_t \frac{1}{A |R|} \sum_{a, r}
            \mathrm{KL}(R^T_{brat} \,\|\, R^S_{brat}), \quad
        R_{bra} = \mathrm{softmax}\left(\frac{Z_{bra} Z_{bra}^\top}{\sqrt{D / A}}\right)

    Z are the queries, keys or values of a layer, cut into A relation heads, whatever
    number of attention heads and width the models have.

    Args:
        student_vectors: Queries, keys and values, or some of them, (B, T, D) each.
        teacher_vectors: The same of the teacher, (B, T, D'). Receives no gradient.
        lengths: Real positions, (B,).
        heads: Relation heads A; divides D and D'.
        reduction: ``batch`` (divide by B) or ``token`` (by the real positions).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats, float32 or wider, not negative, 0 for equal inputs; 0 and
        attached without a position.

    Raises:
        ValueError: If shapes do not fit.

    Source: Wang et al. MiniLMv2. 2021, section 3. https://arxiv.org/abs/2012.15828
    """
    real = length_mask(lengths, student_vectors[0].shape[1])
    total = []
    for student, teacher in zip(student_vectors, teacher_vectors, strict=True):
        if student.shape[:2] != teacher.shape[:2]:
            raise ValueError(
                f"student_vectors {tuple(student.shape)} and teacher_vectors "
                f"{tuple(teacher.shape)} must share batch and length"
            )
        teacher = _relations(teacher.detach().to(student.dtype), real, heads)
        student = _relations(student, real, heads)
        gap = (teacher - student).masked_fill(~_keys(real), 0.0)
        total.append((teacher.exp() * gap).sum(-1))
    values = torch.stack(total).mean((0, 2))  # (B, T)
    return reduce_positions(values[real], real, reduction, weights)


def _relations(vectors: Tensor, real: Tensor, heads: int) -> Tensor:
    """Log-softmax of the scaled products of all pairs, (B, A, T, T)."""
    vectors = widened(vectors).masked_fill(~real[..., None], 0.0)
    width = vectors.shape[-1] // heads
    split = vectors.view(*vectors.shape[:2], heads, width).transpose(1, 2)  # (B, A, T, D/A)
    scores = split @ split.transpose(2, 3) / math.sqrt(width)
    return scores.masked_fill(~_keys(real), torch.finfo(scores.dtype).min).log_softmax(-1)


def _keys(real: Tensor) -> Tensor:
    return real[:, None, None]  # (B, 1, 1, T)


def _rows(maps: Tensor, real: Tensor) -> Tensor:
    """The real queries' distributions over real keys, (N, H, T)."""
    rows = maps.transpose(1, 2)[real]
    keys = real.repeat_interleave(real.sum(1), 0)[:, None]  # (N, 1, T)
    rows = torch.where(keys, rows, 0.0)
    return rows / rows.sum(-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)


def _check_maps(student: Tensor, teacher: Tensor, lengths: Tensor) -> None:
    same = student.dim() == teacher.dim() == 4 and student.shape[2:] == teacher.shape[2:]
    if not same or len(student) != len(teacher) or lengths.shape != student.shape[:1]:
        raise ValueError(
            f"student_maps {tuple(student.shape)} and teacher_maps "
            f"{tuple(teacher.shape)} must be (B, H, T, T) and (B, H', T, T)"
        )


def bridge_maps(maps: Hidden, lengths: Tensor) -> Tensor:
    """A teacher's maps at the student's frames, queries and keys; rows sum to anything."""
    if torch.equal(maps.lengths, lengths):
        width = int(lengths.max())
        return maps.values[:, :, :width, :width]
    heads = []
    for head in maps.values.unbind(1):  # (B, T', T')
        for _ in range(2):
            head = bridge_frames(
                head, student_lens=lengths, teacher_lens=maps.lengths, how="mean"
            ).transpose(1, 2)
        heads.append(head)
    return torch.stack(heads, 1)


def _is_self_attention(check: Check, name: str, value: object) -> None:
    is_tap(check, name, f"{value}:attn")
    if str(value).endswith("src_attn"):
        text = f"'{value}' attends to another sequence; name a self_attn module"
        check.add(name, text)


def _are_relations(check: Check, name: str, value: object) -> None:
    listed = value if isinstance(value, list | tuple) else [value]
    if not listed or any(relation not in RELATIONS for relation in listed):
        check.add(name, f"must be some of {', '.join(RELATIONS)}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class MapOptions(TapOptions):
    """Which self-attention modules are compared.

    Attributes:
        student: Path of the student's module.
        teacher: Path of the teacher's.
    """

    student: Annotated[str, _is_self_attention]
    teacher: Annotated[str, _is_self_attention]


@dataclass(frozen=True, kw_only=True)
class RelationOptions(TapOptions):
    """Which self-attention modules are compared, and what of them.

    Attributes:
        student: Path of the student's module.
        teacher: Path of the teacher's.
        relations: Some of ``q``, ``k`` and ``v``.
    """

    relations: Annotated[tuple[str, ...], _are_relations] = RELATIONS


@LOSSES.register("attention_kl")
class AttentionKL(TapLoss, measure=attention_kl, own=MapOptions):
    """``attention_kl`` as a term: ``student`` and ``teacher`` name attention modules."""

    @property
    def student_tap(self) -> str:
        """The map that the student's module keeps."""
        return f"{self.own.student}:attn"

    @property
    def teacher_tap(self) -> str:
        """The map that the teacher's module keeps."""
        return f"{self.own.teacher}:attn"

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Require both taps to give attention maps.

        Raises:
            KDError: If a module keeps none, or not one an utterance.
        """
        for outputs, tap, side in self.sides(student, teacher):
            hidden = outputs.hidden.get(tap)
            if hidden is None or hidden.values.dim() != 4:
                raise KDError(
                    f"the {side}'s '{tap}' gives no attention map: name an attention "
                    "module (encoder.encoders.5.self_attn), and switch off flash "
                    "attention and sdpa, which never make one"
                )
            check_rows(hidden.values, outputs, tap, side)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``attention_kl``; 0, attached, if the student dropped that layer."""
        source = student.hidden.get(self.student_tap)
        target = teacher.hidden.get(self.teacher_tap)
        if source is None or target is None:
            return self.nothing(student.encoder_out_lens)
        width = int(source.lengths.max())
        return self.bound(attention_kl)(
            source.values[:, :, :width, :width],
            bridge_maps(target, source.lengths),
            compared_lens(source.lengths, target.lengths),
            weights=teacher.weights,
        )


@LOSSES.register("relation_kl")
class RelationKL(TapLoss, measure=relation_kl, own=RelationOptions):
    """``relation_kl`` as a term: ``student`` and ``teacher`` name attention modules."""

    own: RelationOptions

    def needs(self) -> Needs:
        """The projections of either attention module."""
        return Needs(
            student_taps=self._taps(self.student_tap),
            teacher_taps=self._taps(self.teacher_tap),
        )

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Require widths that the relation heads divide.

        Raises:
            KDError: If they do not, with both.
        """
        heads = self.options["heads"]
        for outputs, tap, side in self.sides(student, teacher):
            width = find_hidden(outputs, self._taps(tap)[0], side).values.shape[-1]
            if width % heads:
                raise KDError(
                    f"relation_kl: {heads} relation heads do not divide the {side}'s "
                    f"width of {width}; choose 'heads' that divides both models' widths"
                )

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``relation_kl``; 0, attached, if the student dropped that layer."""
        sources = _found(student.hidden, self._taps(self.student_tap))
        targets = _found(teacher.hidden, self._taps(self.teacher_tap))
        if not sources or not targets:
            return self.nothing(student.encoder_out_lens)
        lengths = sources[0].lengths
        return self.bound(relation_kl)(
            [source.values[:, : int(lengths.max())] for source in sources],
            [bridged(target, lengths) for target in targets],
            compared_lens(lengths, targets[0].lengths),
            weights=teacher.weights,
        )

    def _taps(self, module: str) -> tuple[str, ...]:
        return tuple(f"{module}.linear_{relation}" for relation in self.own.relations)


def _found(hidden: Mapping[str, Hidden], taps: tuple[str, ...]) -> list[Hidden]:
    """The representations at all of some taps; nothing if one of them is absent."""
    found = [hidden[tap] for tap in taps if tap in hidden]
    return found if len(found) == len(taps) else []
