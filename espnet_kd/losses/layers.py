"""Losses between layers: which are compared, one pair or several, means of layers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from espnet_kd.alignment.frames import compared_lens
from espnet_kd.alignment.layers import uniform_layers
from espnet_kd.config.check import Check
from espnet_kd.errors import KDError
from espnet_kd.losses.base import Needs
from espnet_kd.losses.tapped import TapLoss, bridged, find_hidden, is_tap
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets
from espnet_kd.model.taps import split_owner

LAYER = "encoder.encoders"
UNIFORM = "uniform"

# Student (B, T, D), teacher (B, T, D') at the student's positions, lengths (B,).
Triple = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Pair:
    """What is compared: a tap of either model, or the mean of several."""

    student: tuple[str, ...]
    teacher: tuple[str, ...]


def are_taps(check: Check, name: str, value: object) -> None:
    """Require a tap, or a list of different ones of one model."""
    if value is None:
        return
    listed = _listed(value)
    before = len(check.problems)
    for tap in listed:
        is_tap(check, name, tap)
    if not listed:
        check.add(name, "is an empty list; name a tap, or several whose mean is compared")
    elif len(check.problems) == before and len({split_owner(t)[0] for t in listed}) > 1:
        text = "is the mean of layers of one model, and these are of several; give each"
        check.add(name, f"{text} teacher a term of its own")
    elif len(set(listed)) < len(listed):
        check.add(name, "names a tap twice; each layer counts alike in a mean")


def is_rule(check: Check, name: str, value: object) -> None:
    """Require a rule that pairs layers, of a teacher by its name or of the first."""
    owner, _, rule = str(value).rpartition(":")
    if value is not None and (rule != UNIFORM or not (owner + "x").isidentifier()):
        text = f"must be '{UNIFORM}', or 'NAME:{UNIFORM}' of several teachers"
        check.add(name, f"{text}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """Which layers are compared.

    Attributes:
        student: Tap of the student, or a list whose mean is compared.
        teacher: The same of a teacher.
        layers: Instead of both, ``uniform``: every layer of the student's encoder with
            one of the teacher's, spread evenly over it.
    """

    student: Annotated[Any, are_taps] = None
    teacher: Annotated[Any, are_taps] = None
    layers: Annotated[str | None, is_rule] = None


class LayerLoss(TapLoss, own=LayerOptions):
    """Common ground of the losses between layers; the value is the mean over its pairs.

    Attributes:
        pairs: What is compared; none before a rule has been applied.
    """

    own: LayerOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        taps = (_listed(self.own.student), _listed(self.own.teacher))
        self.pairs: tuple[Pair, ...] = () if self.own.layers else (Pair(*taps),)

    def check_together(self, check: Check) -> None:
        """A rule, or taps of both models."""
        given = {"student": self.own.student, "teacher": self.own.teacher}
        for name, taps in given.items():
            if taps is not None and self.own.layers is not None:
                text = "names a layer, and 'layers' pairs them by a rule; remove one"
                check.add(name, text)
            elif taps is None and self.own.layers is None:
                text = f"is missing; name a tap, or pair all layers by 'layers: {UNIFORM}'"
                check.add(name, text)

    def pair_layers(self, student: int, teacher: Callable[[str], int]) -> None:
        """Apply the rule, if there is one.

        Raises:
            KDError: If either model has no layers to pair.
        """
        if self.own.layers is None:
            return
        owner = self.own.layers.rpartition(":")[0]
        counts = {"student": student, f"teacher{f' {owner}' * bool(owner)}": teacher(owner)}
        for side, count in counts.items():
            if not count:
                raise KDError(
                    f"'layers: {self.own.layers}' pairs the layers '{LAYER}.N', and the "
                    f"{side} has none that are known; name 'student' and 'teacher' taps"
                )
        whose = f"{owner}:" if owner else ""
        self.pairs = tuple(
            Pair((f"{LAYER}.{place}",), (f"{whose}{LAYER}.{layer}",))
            for place, layer in enumerate(uniform_layers(*counts.values()))
        )

    def describe(self) -> list[str]:
        """Which layers a rule has paired."""
        if self.own.layers is None:
            return []
        listed = ", ".join(
            f"{p.student[0].removeprefix(f'{LAYER}.')} with "
            f"{p.teacher[0].replace(f'{LAYER}.', '')}"
            for p in self.pairs
        )
        return [f"layers of the student's {LAYER} with the teacher's: {listed}"]

    def needs(self) -> Needs:
        """The taps of all pairs."""
        return Needs(
            student_taps=_each(pair.student for pair in self.pairs),
            teacher_taps=_each(pair.teacher for pair in self.pairs),
        )

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Require all taps to give sequences of vectors, those of a mean of one shape."""
        for pair in self.pairs:
            self.widths(pair, student, teacher)

    def widths(
        self, pair: Pair, student: ModelOutputs, teacher: TeacherTargets
    ) -> tuple[int, int]:
        """The width of either side of a pair in a trial pass.

        Raises:
            KDError: If a tap gave something else than vectors, or a mean is of several
                shapes.
        """
        return (
            _width(student, pair.student, "student"),
            _width(teacher, pair.teacher, "teacher"),
        )

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """Compare the layers; 0, attached, of a layer that the student dropped."""
        return self.over_pairs(student, teacher, self.prepare)

    def prepare(self, place: int, triple: Triple) -> Tensor:
        """The student's side of a pair, as it is compared."""
        return triple[0]

    def over_pairs(
        self,
        student: ModelOutputs,
        teacher: TeacherTargets,
        prepare: Callable[[int, Triple], Tensor],
    ) -> Tensor:
        """The mean over the pairs, each student's side prepared."""
        total = self.nothing(student.encoder_out_lens)
        for place, pair in enumerate(self.pairs):
            triple = triple_of(pair, student, teacher)
            if triple is not None:
                source = prepare(place, triple)
                total = total + self.compare(source, *triple[1:], teacher.weights)
        return total / max(len(self.pairs), 1)

    def compare(
        self, student: Tensor, teacher: Tensor, lengths: Tensor, weights: Tensor | None
    ) -> Tensor:
        """The measure itself, on (B, T, D) and (B, T, D') of one frame rate."""
        raise NotImplementedError


def triple_of(pair: Pair, student: ModelOutputs, teacher: TeacherTargets) -> Triple | None:
    """Both sides of a pair and their lengths; None where there is nothing to compare."""
    source = _mean(student.hidden, pair.student)
    target = _mean(teacher.hidden, pair.teacher)
    if source is None or target is None:
        return None
    values = source.values[:, : int(source.lengths.max())]
    lengths = compared_lens(source.lengths, target.lengths)
    return values, bridged(target, source.lengths), lengths


def _mean(hidden: Mapping[str, Hidden], taps: Sequence[str]) -> Hidden | None:
    """The mean of those layers that ran."""
    found = [hidden[tap] for tap in taps if tap in hidden]
    if len(found) < 2:
        return next(iter(found), None)
    return Hidden(torch.stack([one.values for one in found]).mean(0), found[0].lengths)


def _width(outputs: ModelOutputs, taps: Sequence[str], side: str) -> int:
    shapes = {tap: tuple(find_hidden(outputs, tap, side).values.shape) for tap in taps}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"'{tap}' {shape}" for tap, shape in shapes.items())
        raise KDError(
            f"the mean of the {side}'s layers is of one shape, and these have several: "
            f"{listed}; give layers of another width or rate a term of their own"
        )
    return next(iter(shapes.values()))[-1]


def _listed(taps: object) -> tuple[str, ...]:
    if taps is None:
        return ()
    return tuple(map(str, taps)) if isinstance(taps, list | tuple) else (str(taps),)


def _each(taps: Any) -> tuple[str, ...]:
    """Every tap once."""
    return tuple(dict.fromkeys(tap for several in taps for tap in several))
