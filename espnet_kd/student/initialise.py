"""A student's parameters, taken from its teacher's."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from espnet_kd.errors import ConfigError, Problem
from espnet_kd.student.axes import LAYER, POSITION, VOCABULARY, Axes

# What a user changes to change the width of an axis, by the axis' end.
SETTINGS = {
    "encoder.stream": "encoder_conf.output_size",
    "decoder.stream": "encoder_conf.output_size",
    "feed_forward": "linear_units",
    "feed_forward_macaron": "encoder_conf.linear_units",
    "cgmlp": "encoder_conf.cgmlp_linear_units",
    "joint": "joint_net_conf.joint_space_size",
    "predictor": "decoder_conf.hidden_size",
}

# What ESPnet multiplies by the root of the width.
EMBEDDED = ("encoder.embed.out", "encoder.embed.1.", "decoder.embed.0")


@dataclass(frozen=True)
class Shape:
    """What of a model's settings its parameters do not show.

    Attributes:
        heads: Attention heads of ``encoder`` and ``decoder``.
    """

    heads: Mapping[str, int]


@dataclass(frozen=True)
class Origin:
    """Where a parameter of the student came from.

    Attributes:
        name: The student's parameter.
        source: The teacher's; empty if it stayed random.
        how: ``copied``, ``cut`` (some of the teacher's units) or why it stayed random.
        size: Its number of values.
    """

    name: str
    source: str
    how: str
    size: int


class Initialiser:
    """Takes a student's parameters from a teacher's.

    Args:
        teacher: The teacher's parameters and buffers.
        importance: Of every unit, by axis, as ``espnet_kd.student.importance`` gives it.
        layers: For ``encoder`` and ``decoder``, the teacher's layer of each of the
            student's.
        shapes: Of teacher and student.
    """

    def __init__(
        self,
        teacher: Mapping[str, Tensor],
        importance: Mapping[str, Tensor],
        layers: Mapping[str, Sequence[int]],
        shapes: tuple[Shape, Shape],
    ) -> None:
        self.teacher = teacher
        self.axes = Axes(teacher)
        self.importance = importance
        self.layers = layers
        self.shapes = shapes

    def __call__(
        self, student: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], list[Origin]]:
        """Parameters for a student, and where each came from.

        Args:
            student: Its parameters as they are now; what the teacher cannot give stays.

        Raises:
            ConfigError: With every width in which the student exceeds its teacher.
        """
        ours = Axes(student)
        self._refuse_wider(ours)
        chosen = self._units(ours)
        state, origins = {}, []
        for name, value in student.items():
            source = self._source(name)
            found, how = self._value(name, source, value, ours, chosen)
            state[name] = found
            origins.append(
                Origin(name, source if found is not value else "", how, value.numel())
            )
        return state, origins

    def _source(self, name: str) -> str:
        match = LAYER.match(name)
        if match is None:
            return name
        side = match[1].partition(".")[0]
        layers, index = self.layers[side], int(match[2])
        layer = layers[index] if index < len(layers) else index
        return f"{match[1]}.{layer}.{name[match.end() :]}"

    def _units(self, ours: Axes) -> dict[str, Tensor]:
        """For each of the student's axes the teacher's units, in the teacher's order."""
        chosen: dict[str, Tensor] = {}
        for axis, size in ours.sizes.items():
            theirs = self._source(axis + ".").removesuffix(".")
            full = self.axes.sizes.get(theirs)
            if full is None or axis == VOCABULARY:
                continue
            if size == full and not self._heads_differ(axis):
                chosen[axis] = torch.arange(full)
            elif axis == POSITION:
                chosen[axis] = _frequencies(size, full)
            elif axis.endswith((".qk", ".v")):
                chosen[axis] = self._head_units(axis, theirs, size, full)
            else:
                chosen[axis] = _greatest(self.importance[theirs], size)
        return chosen

    def _head_units(self, axis: str, theirs: str, size: int, full: int) -> Tensor:
        """The most important heads, then in each the most important dimensions."""
        side = axis.partition(".")[0]
        before, after = (shape.heads[side] for shape in self.shapes)
        attention = theirs.rpartition(".")[0]
        parts = [
            self.importance[f"{attention}.{p}"].reshape(before, -1) for p in ("qk", "v")
        ]
        heads = _greatest(sum(part.sum(1) for part in parts), after)
        scores = self.importance[theirs].reshape(before, -1)
        width = full // before
        rows = [head * width + _greatest(scores[head], size // after) for head in heads]
        return torch.cat(rows)

    def _heads_differ(self, axis: str) -> bool:
        side = axis.partition(".")[0]
        heads = [shape.heads.get(side) for shape in self.shapes]
        return axis.endswith((".qk", ".v")) and heads[0] != heads[1]

    def _value(
        self,
        name: str,
        source: str,
        value: Tensor,
        ours: Axes,
        chosen: Mapping[str, Tensor],
    ) -> tuple[Tensor, str]:
        if source not in self.teacher:
            return value, "the teacher has none"
        theirs = self.teacher[source]
        dims = ours.dims[name]
        if dims is None or self.axes.dims[source] is None:
            same = theirs.shape == value.shape
            return (theirs.clone(), "copied") if same else (value, "of another shape")
        pairs = zip(dims, self.axes.dims[source], strict=True)
        units = {t.axis: chosen[s.axis] for s, t in pairs if s.axis in chosen}
        found = self.axes.take(theirs, source, units)
        found = _cropped(found, value) if found.dim() == value.dim() > 1 else found
        if found.numel() != value.numel():
            return value, "of another shape"
        narrower = any(len(u) < self.axes.sizes[axis] for axis, u in units.items())
        scale = self._scale(source, chosen) if narrower else 1.0
        found = (found * scale if scale != 1.0 else found.clone()).reshape(value.shape)
        return found.to(value.dtype), "cut" if narrower else "copied"

    def _scale(self, source: str, chosen: Mapping[str, Tensor]) -> float:
        """Undo what depends on the width of what is read or made.

        ESPnet multiplies embeddings by the root of the width; a sum over fewer sampled
        frequencies of a position is smaller by their number.
        """
        side = source.partition(".")[0]
        stream = f"{side}.stream"
        if source.startswith(EMBEDDED) and stream in chosen:
            return math.sqrt(self.axes.sizes[stream] / len(chosen[stream]))
        if source.endswith(".linear_pos.weight") and POSITION in chosen:
            return self.axes.sizes[POSITION] / len(chosen[POSITION])
        return 1.0

    def _refuse_wider(self, ours: Axes) -> None:
        problems = {}
        for axis, size in ours.sizes.items():
            theirs = self._source(axis + ".").removesuffix(".")
            full = self.axes.sizes.get(theirs, size)
            if size > full and axis not in (VOCABULARY, POSITION):
                setting = _setting(axis)
                text = f"is {size}, wider than the teacher's {full}; {full} is the most"
                problems[setting] = Problem(setting, text)
        for side in ("encoder", "decoder"):
            self._check_heads(side, ours, problems)
        if problems:
            raise ConfigError(problems.values(), "the student beside its teacher")

    def _check_heads(self, side: str, ours: Axes, problems: dict[str, Problem]) -> None:
        heads = [shape.heads.get(side) for shape in self.shapes]
        stream = f"{side}.stream"
        if None in heads or stream not in ours.sizes or stream not in self.axes.sizes:
            return
        theirs, own = (
            a.sizes[stream] // h for a, h in zip((self.axes, ours), heads, strict=True)
        )
        path = f"{side}_conf.attention_heads"
        if heads[1] > heads[0]:
            text = (
                f"is {heads[1]}, more than the teacher's {heads[0]}; {heads[0]} is the most"
            )
            problems.setdefault(path, Problem(path, text))
        elif own > theirs:
            fitting = [
                h for h in range(1, heads[0] + 1) if _fits(ours.sizes[stream], h, theirs)
            ]
            way_out = (
                f"attention_heads: {fitting[0]}" if fitting else "a smaller output_size"
            )
            text = f"of {own} dimensions, wider than the teacher's {theirs}; try {way_out}"
            problems.setdefault(path, Problem(path, f"makes heads {text}"))


def summary(origins: Sequence[Origin]) -> str:
    """A Markdown table: what came from where, a row for each layer or part."""
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


def _setting(axis: str) -> str:
    side = axis.partition(".")[0]
    for end, setting in SETTINGS.items():
        if axis == end or axis.rpartition(".")[2] == end or side == end:
            return setting if "." in setting else f"{side}_conf.{setting}"
    return "encoder_conf.output_size"


def _fits(width: int, heads: int, widest: int) -> bool:
    return width % heads == 0 and width // heads <= widest


def _greatest(scores: Tensor, count: int) -> Tensor:
    """Indices of the greatest, ascending; ties go to the first."""
    order = scores.argsort(descending=True, stable=True)[:count]
    return order.sort().values


def _frequencies(size: int, full: int) -> Tensor:
    """The teacher's sinusoids nearest in frequency to the student's, sine then cosine."""
    pairs = (torch.arange(size // 2) * full / size).round().long().clamp(max=full // 2 - 1)
    return torch.stack([2 * pairs, 2 * pairs + 1], 1).flatten()


def _cropped(found: Tensor, value: Tensor) -> Tensor:
    """The middle of longer kernels."""
    for place in range(2, found.dim()):
        spare = found.shape[place] - value.shape[place]
        if spare > 0 and spare % 2 == 0:
            found = found.narrow(place, spare // 2, value.shape[place])
    return found
