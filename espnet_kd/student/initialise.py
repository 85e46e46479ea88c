"""A student's parameters, taken from its teacher's."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from espnet_kd.student.axes import LAYER, POSITION, VOCABULARIES, Axes, Dim
from espnet_kd.student.sources import source_of
from espnet_kd.student.token_rows import TokenRows
from espnet_kd.student.wider import Shape, refuse_wider

# Parameters whose output ESPnet multiplies by the root of the width.
EMBEDDED = ("encoder.embed.out.", "encoder.embed.1.", "decoder.embed.0")


@dataclass(frozen=True)
class Origin:
    """Where a parameter of the student came from.

    Attributes:
        name: Name of the student's parameter.
        source: Name of the teacher's parameter; empty if the student's stayed random.
        how: ``copied``, ``cut`` (some of the teacher's units) or why it stayed random.
        size: Number of the parameter's values.
    """

    name: str
    source: str
    how: str
    size: int


class Initialiser:
    """The choice of a student's parameters among a teacher's.

    Args:
        teacher_state: The teacher's parameters and buffers.
        importance: Axis of the teacher to the importance of its units, (n,), as
            ``espnet_kd.student.importance`` gives it.
        layers: ``encoder`` and ``decoder`` to the teacher's layer of each of the
            student's layers.
        student_shape: What the student's parameters do not show.
        teacher_shape: What the teacher's do not show.
        tokens: How the rows of tokens are found; as they are where none is given.
    """

    def __init__(
        self,
        teacher_state: Mapping[str, Tensor],
        importance: Mapping[str, Tensor],
        layers: Mapping[str, Sequence[int]],
        student_shape: Shape,
        teacher_shape: Shape,
        tokens: TokenRows | None = None,
    ) -> None:
        self.teacher_state = teacher_state
        self.teacher_axes = Axes(teacher_state)
        self.importance = importance
        self.layers = layers
        self.student_shape = student_shape
        self.teacher_shape = teacher_shape
        self.tokens = tokens or TokenRows()

    def __call__(
        self, student_state: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], list[Origin]]:
        """Choose parameters for a student.

        Args:
            student_state: The student's parameters and buffers as they are now; what
                the teacher cannot give stays.

        Returns:
            The student's new parameters and buffers, and the origin of each.

        Raises:
            ConfigError: With every width in which the student exceeds its teacher.
        """
        student_axes = Axes(student_state)
        self.refuse_wider(student_axes)
        chosen = self._units(student_axes)
        state, origins = {}, []
        for name, value in student_state.items():
            source = self._source(name)
            found, how = self._value(source, value, student_axes.dims[name], chosen)
            state[name] = found
            origins.append(
                Origin(name, source if found is not value else "", how, value.numel())
            )
        return state, origins

    def _source(self, name: str) -> str:
        return source_of(name, self.layers, self.teacher_state)

    def _teacher_axis(self, axis: str) -> str:
        """The teacher's axis of a student's."""
        return self._source(axis + ".").removesuffix(".")

    def _units(self, student_axes: Axes) -> dict[str, Tensor]:
        """For each of the student's axes the teacher's units, in the teacher's order."""
        chosen: dict[str, Tensor] = {}
        for axis, size in student_axes.sizes.items():
            teacher_axis = self._teacher_axis(axis)
            full = self.teacher_axes.sizes.get(teacher_axis)
            if full is None or axis in VOCABULARIES:
                continue
            if size == full and not self._heads_differ(axis):
                chosen[axis] = torch.arange(full)
            elif axis == POSITION:
                chosen[axis] = _frequencies(size, full)
            elif axis.endswith((".qk", ".v")):
                chosen[axis] = self._head_units(axis, teacher_axis, size, full)
            else:
                chosen[axis] = _greatest(self.importance[teacher_axis], size)
        return chosen

    def _head_units(self, axis: str, teacher_axis: str, size: int, full: int) -> Tensor:
        """The most important heads, then in each the most important dimensions."""
        side = axis.partition(".")[0]
        student_heads = self.student_shape.heads[side]
        teacher_heads = self.teacher_shape.heads[side]
        attention = teacher_axis.rpartition(".")[0]
        # A head matters as much as its queries, keys and values together.
        qk, v = (
            self.importance[f"{attention}.{part}"].reshape(teacher_heads, -1).sum(1)
            for part in ("qk", "v")
        )
        heads = _greatest(qk + v, student_heads)
        scores = self.importance[teacher_axis].reshape(teacher_heads, -1)
        width, kept = full // teacher_heads, size // student_heads
        rows = [head * width + _greatest(scores[head], kept) for head in heads]
        return torch.cat(rows)

    def _heads_differ(self, axis: str) -> bool:
        side = axis.partition(".")[0]
        student_heads = self.student_shape.heads.get(side)
        differ = student_heads != self.teacher_shape.heads.get(side)
        return differ and axis.endswith((".qk", ".v"))

    def _value(
        self,
        source: str,
        value: Tensor,
        student_dims: tuple[Dim, ...] | None,
        chosen: Mapping[str, Tensor],
    ) -> tuple[Tensor, str]:
        """The value of a student's parameter from its source, and how it was had."""
        if source not in self.teacher_state:
            return value, "the teacher has none"
        whole, teacher_dims = self.teacher_state[source], self.teacher_axes.dims[source]
        if student_dims is None or teacher_dims is None:
            same = whole.shape == value.shape
            return (whole.clone(), "copied") if same else (value, "of another shape")
        pairs = list(zip(student_dims, teacher_dims, strict=True))
        units = {t.axis: chosen[s.axis] for s, t in pairs if s.axis in chosen}
        for axis in {s.axis for s, _ in pairs} & set(VOCABULARIES):
            if self.tokens.differ(axis):
                return value, "of other tokens"
            units |= self.tokens.units(axis)
        found = self.teacher_axes.take(whole, source, units)
        if past := self._hears_only_past(source):
            found = _past(found, value.shape[-1])
        found = _cropped(found, value) if found.dim() == value.dim() > 1 else found
        if found.numel() != value.numel():
            return value, "of another shape"
        narrower = any(len(u) < self.teacher_axes.sizes[axis] for axis, u in units.items())
        scale = self._scale(source, chosen) if narrower else 1.0
        found = (found * scale if scale != 1.0 else found.clone()).reshape(value.shape)
        return found.to(value.dtype), "cut" if narrower or past else "copied"

    def _hears_only_past(self, source: str) -> bool:
        """Whether a kernel of the teacher's, which hears both sides, is to lose one."""
        turns = self.student_shape.is_causal and not self.teacher_shape.is_causal
        return turns and source.endswith(".depthwise_conv.weight")

    def _scale(self, source: str, chosen: Mapping[str, Tensor]) -> float:
        """The factor that undoes what depends on the width of what is read or made.

        ESPnet multiplies embeddings by the root of the width; a sum over fewer sampled
        frequencies of a position is smaller by their number.
        """
        side = source.partition(".")[0]
        stream = f"{side}.stream"
        if source.startswith(EMBEDDED) and stream in chosen:
            return math.sqrt(self.teacher_axes.sizes[stream] / len(chosen[stream]))
        if source.endswith(".linear_pos.weight") and POSITION in chosen:
            return self.teacher_axes.sizes[POSITION] / len(chosen[POSITION])
        return 1.0

    def refuse_wider(self, student_axes: Axes) -> None:
        """Require a student no wider than its teacher.

        Raises:
            ConfigError: With every width in which it is.
        """
        shapes = (self.student_shape, self.teacher_shape)
        refuse_wider(student_axes, self.teacher_axes, shapes, self._teacher_axis)


def summary(origins: Sequence[Origin]) -> str:
    """Tell in a Markdown table what came from where, a row for each layer or part."""
    rows: dict[tuple[str, str, str], int] = {}
    for origin in origins:
        key = (_part(origin.name), _part(origin.source) or "random", origin.how)
        rows[key] = rows.get(key, 0) + origin.size
    lines = ["| student | from | how | values |", "|---|---|---|---:|"]
    lines += [f"| {a} | {b} | {how} | {n:,} |" for (a, b, how), n in rows.items()]
    taken = sum(origin.size for origin in origins if origin.source)
    total = sum(origin.size for origin in origins)
    lines.append(f"\n{taken:,} of {total:,} values come from the teacher.")
    return "\n".join(lines)


def _part(name: str) -> str:
    match = LAYER.match(name)
    return match[0].rstrip(".") if match else ".".join(name.split(".")[:2])


def _greatest(scores: Tensor, count: int) -> Tensor:
    """Indices of the greatest, ascending; ties go to the first."""
    order = scores.argsort(descending=True, stable=True)[:count]
    return order.sort().values


def _frequencies(size: int, full: int) -> Tensor:
    """The teacher's sinusoids nearest in frequency to the student's, sine then cosine."""
    pairs = (torch.arange(size // 2) * full / size).round().long().clamp(max=full // 2 - 1)
    return torch.stack([2 * pairs, 2 * pairs + 1], 1).flatten()


def _past(kernel: Tensor, length: int) -> Tensor:
    """Of a kernel over both sides, the present and as much of the past, (..., length)."""
    past = kernel[..., : (kernel.shape[-1] + 1) // 2]
    return pad(past, (length, 0))[..., -length:]


def _cropped(found: Tensor, value: Tensor) -> Tensor:
    """The middle of longer kernels."""
    for place in range(2, found.dim()):
        spare = found.shape[place] - value.shape[place]
        if spare > 0 and spare % 2 == 0:
            found = found.narrow(place, spare // 2, value.shape[place])
    return found
