"""Losses between hidden representations, any tap of the student to any of the teacher."""

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from espnet_kd.config.options import NotNegative
from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.layers import LayerLoss, Triple
from espnet_kd.losses.measured import PairMeasure
from espnet_kd.masking import (
    Reduction,
    kept_pair,
    reduce_positions,
)
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets

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


class HiddenLoss(LayerLoss):
    """Common ground of the losses between vectors of one width: the projections to it.

    Attributes:
        projections: Those of the pairs that need one, by the pair's place.
    """

    function: ClassVar[PairMeasure]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.projections = nn.ModuleDict()

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Make a projection for each pair of two widths."""
        device = student.encoder_out_lens.device
        for place, pair in enumerate(self.pairs):
            source, target = self.widths(pair, student, teacher)
            if source != target:
                self.projections[str(place)] = Projection(source, target, device=device)

    def prepare(self, place: int, triple: Triple) -> Tensor:
        """The student's vectors, projected where the pair is of two widths."""
        if str(place) not in self.projections:
            return triple[0]
        projection = self.projections[str(place)]
        assert isinstance(projection, Projection), "nothing else is put there"
        projected: Tensor = projection(triple[0].to(projection.weight.dtype))
        return projected

    def compare(
        self, student: Tensor, teacher: Tensor, lengths: Tensor, weights: Tensor | None
    ) -> Tensor:
        """See the function of the same name."""
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
