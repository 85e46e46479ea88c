"""Losses between hidden representations, any tap of the student to any of the teacher."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet_kd.alignment.frames import at_student_frames, compared_lens
from espnet_kd.config.check import Check
from espnet_kd.config.options import NotNegative
from espnet_kd.errors import KDError
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.measured import MeasuredLoss, PairMeasure
from espnet_kd.masking import (
    Reduction,
    kept_pair,
    reduce_positions,
)
from espnet_kd.model.hidden import check_rows
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets
from espnet_kd.model.taps import parse_tap

# Below this length a vector has no direction worth comparing.
TINY = 1e-6


def hidden_mse(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Mean squared difference of hidden representations.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_{t < \mathrm{lengths}_b}
            \frac{1}{D} \lVert h^S_{bt} - h^T_{bt} \rVert_2^2

    Args:
        student_hidden: (B, T, D), already of the teacher's width; widened to float32.
        teacher_hidden: Same shape. Receives no gradient.
        lengths: Real positions, (B,).
        reduction: ``batch`` (divide by B) or ``token`` (by the real positions).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar, float32 or wider, not negative; 0 and attached without a position.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Romero et al. FitNets. 2015, section 2.2. https://arxiv.org/abs/1412.6550
    """
    student, teacher, mask = kept(student_hidden, teacher_hidden, lengths)  # (N, D)
    values = (student - teacher).square().mean(-1)
    return reduce_positions(values, mask, reduction, weights)


def hidden_cosine(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Cosine distance of hidden representations, blind to their scale.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_{t < \mathrm{lengths}_b}
            1 - \cos(h^S_{bt}, h^T_{bt})

    Arguments, result and errors as in ``hidden_mse``; between 0 and 2 a position.

    Source: Chang, Yang, Lee. DistilHuBERT. 2021, section 2.2 (as -log sigmoid there).
    https://arxiv.org/abs/2110.01900
    """
    student, teacher, mask = kept(student_hidden, teacher_hidden, lengths)  # (N, D)
    return reduce_positions(cosine_rows(student, teacher), mask, reduction, weights)


def hidden_l1_cosine(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    lengths: Tensor,
    *,
    cosine_weight: NotNegative = 1.0,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Mean absolute difference plus cosine distance of hidden representations.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_{t < \mathrm{lengths}_b}
            \frac{1}{D} \lVert h^S_{bt} - h^T_{bt} \rVert_1
            + \lambda \left(1 - \cos(h^S_{bt}, h^T_{bt})\right)

    DistilHuBERT [1]_ writes :math:`-\log\sigma(\cos)`, which is 0.31 for equal vectors;
    this form is 0 there and falls in the same direction. Arguments, result and errors
    as in ``hidden_mse``; ``cosine_weight`` is :math:`\lambda` >= 0.

    .. [1] Chang, Yang, Lee. DistilHuBERT. 2021, section 2.2, equation 1.
       https://arxiv.org/abs/2110.01900
    """
    student, teacher, mask = kept(student_hidden, teacher_hidden, lengths)  # (N, D)
    values = (student - teacher).abs().mean(-1)
    values = values + cosine_weight * cosine_rows(student, teacher)
    return reduce_positions(values, mask, reduction, weights)


def cosine_rows(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos of each row, (N,): |s/|s| - t/|t||^2 / 2, exactly 0 for equal vectors."""
    apart = F.normalize(student, dim=-1, eps=TINY) - F.normalize(teacher, dim=-1, eps=TINY)
    return apart.square().sum(-1) / 2


def kept(
    student: Tensor, teacher: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Both sides' real positions, (N, D) each in one dtype, and their (B, T) mask."""
    return kept_pair(student, teacher, lengths, "hidden")


class Projection(nn.Linear):
    """A learned map from the student's width to the teacher's, never saved with a model.

    It trains with the student (optimizer, gradient clipping, DDP) but is no part of it:
    the student's ``state_dict`` does not mention it, and loading one does not miss it.
    """

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        pass

    def _load_from_state_dict(self, *args: Any) -> None:
        pass


def is_tap(check: Check, name: str, value: object) -> None:
    """Require what ``parse_tap`` can read."""
    try:
        parse_tap(str(value))
    except KDError as error:
        check.add(name, str(error))


@dataclass(frozen=True, kw_only=True)
class TapOptions:
    """Which representations are compared.

    Attributes:
        student: Tap of the student.
        teacher: Tap of the teacher.
    """

    student: Annotated[str, is_tap]
    teacher: Annotated[str, is_tap]


class TapLoss(MeasuredLoss, own=TapOptions):
    """Common ground of the losses between taps: finding them, bridging frame rates."""

    own: TapOptions

    @property
    def student_tap(self) -> str:
        """The student's tap, as it is recorded."""
        return self.own.student

    @property
    def teacher_tap(self) -> str:
        """The teacher's tap, as it is recorded."""
        return self.own.teacher

    def needs(self) -> Needs:
        """One tap of either model."""
        return Needs(student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Require both taps to give sequences of vectors."""
        for outputs, tap, side in self.sides(student, teacher):
            find_hidden(outputs, tap, side)

    def sides(
        self, student: ModelOutputs, teacher: TeacherTargets
    ) -> tuple[tuple[ModelOutputs, str, str], ...]:
        """Either side's outputs, its tap, and what to call it in messages."""
        return (
            (student, self.student_tap, "student"),
            (teacher, self.teacher_tap, "teacher"),
        )

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """Compare the taps; 0, attached, if the student dropped that layer."""
        pair = self.pair(student, teacher)
        if pair is None:
            return self.nothing(student.encoder_out_lens)
        return self.compare(*pair, teacher.weights)

    def pair(
        self, student: ModelOutputs, teacher: TeacherTargets
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Both taps, (B, T, D) and (B, T, D'), and their lengths; None without one."""
        target = teacher.hidden.get(self.teacher_tap)
        source = student.hidden.get(self.student_tap)
        if source is None or target is None:
            return None
        values = source.values[:, : int(source.lengths.max())]
        lengths = compared_lens(source.lengths, target.lengths)
        return values, bridged(target, source.lengths), lengths

    def compare(
        self, student: Tensor, teacher: Tensor, lengths: Tensor, weights: Tensor | None
    ) -> Tensor:
        """The measure itself, on (B, T, D) and (B, T, D') of one frame rate."""
        raise NotImplementedError

    def nothing(self, like: Tensor) -> Tensor:
        """The value when nothing can be compared in this pass."""
        zero = torch.zeros((), device=like.device)
        for parameter in self.parameters():
            zero = zero + parameter.float().sum() * 0
        return zero


def bridged(target: Hidden, lengths: Tensor) -> Tensor:
    """A teacher's sequence at the student's positions, (B, T, D)."""
    return at_student_frames(
        target.values, student_lens=lengths, teacher_lens=target.lengths, how="mean"
    )


def find_hidden(outputs: ModelOutputs, tap: str, side: str) -> Hidden:
    """A tap's (B, L, D) values in a trial pass.

    Raises:
        KDError: If it gave nothing, or something of another shape.
    """
    if tap not in outputs.hidden:
        raise KDError(f"the {side}'s tap '{tap}' gave nothing in a trial pass")
    hidden = outputs.hidden[tap]
    if hidden.values.dim() != 3:
        raise KDError(
            f"the {side}'s tap '{tap}' gives shape {tuple(hidden.values.shape)}; a "
            "hidden loss needs (batch, length, width): tap a layer's output"
        )
    check_rows(hidden.values, outputs, tap, side)
    return hidden


class HiddenLoss(TapLoss):
    """Common ground of the losses between vectors of one width: the projection to it."""

    function: ClassVar[PairMeasure]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.projection: Projection | None = None

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Make a projection if the two widths differ."""
        source, target = (find_hidden(*s).values for s in self.sides(student, teacher))
        if source.shape[-1] != target.shape[-1]:
            self.projection = Projection(
                source.shape[-1], target.shape[-1], device=source.device
            )

    def compare(
        self, student: Tensor, teacher: Tensor, lengths: Tensor, weights: Tensor | None
    ) -> Tensor:
        """See the function of the same name; the student is projected first."""
        if self.projection is not None:
            student = self.projection(student.to(self.projection.weight.dtype))
        return self.bound(self.function)(student, teacher, lengths, weights=weights)


@LOSSES.register("hidden_mse")
class HiddenMSE(HiddenLoss, measure=hidden_mse):
    """``hidden_mse`` as a term: ``student`` and ``teacher`` name taps."""


@LOSSES.register("hidden_cosine")
class HiddenCosine(HiddenLoss, measure=hidden_cosine):
    """``hidden_cosine`` as a term: ``student`` and ``teacher`` name taps."""


@LOSSES.register("hidden_l1_cosine")
class HiddenL1Cosine(HiddenLoss, measure=hidden_l1_cosine):
    """``hidden_l1_cosine`` as a term: ``student`` and ``teacher`` name taps."""
