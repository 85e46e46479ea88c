"""Losses between relations: no width to match, no projection to learn."""

from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from espnet_kd.config.options import NotNegative
from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.feature import TINY
from espnet_kd.losses.layers import LayerLoss
from espnet_kd.masking import keep_rows, length_mask, widened


def hidden_cka(student_hidden: Tensor, teacher_hidden: Tensor, lengths: Tensor) -> Tensor:
    r"""1 - linear centred kernel alignment over all frames of the batch.

    .. math::
        1 - \frac{\lVert Y^\top X \rVert_F^2}
            {\lVert X^\top X \rVert_F \lVert Y^\top Y \rVert_F}

    with X the student's and Y the teacher's frames, centred. Blind to rotation and
    scale, and defined between different widths. Few frames overrate it: it wants more
    frames a batch than either model is wide. Of several processes each compares the
    frames of its own part of a batch, which is another value than the whole batch's.

    Args:
        student_hidden: (B, T, D), widened to float32.
        teacher_hidden: (B, T, D'). Receives no gradient.
        lengths: Real positions, (B,).

    Returns:
        Scalar in [0, 1], float32 or wider, 0 for equal inputs; 0 and attached with
        fewer than two positions.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Kornblith et al. Similarity of Neural Network Representations Revisited.
    2019, section 3. https://arxiv.org/abs/1905.00414
    """
    mask = _check_sequences(student_hidden, teacher_hidden, lengths)
    if int(mask.sum()) < 2:
        return keep_rows(student_hidden, mask).sum() * 0.0
    student = _centred(keep_rows(student_hidden, mask))
    teacher = _centred(keep_rows(teacher_hidden.detach(), mask).to(student.dtype))
    student_size = (student.T @ student).square().sum()
    teacher_size = (teacher.T @ teacher).square().sum()
    common = (teacher.T @ student).square().sum()
    # The root of a square is exact, so that equal inputs give exactly 0.
    scale = (student_size * teacher_size).sqrt()
    return 1 - common / scale.clamp_min(TINY**2)


def similarity(student_hidden: Tensor, teacher_hidden: Tensor, lengths: Tensor) -> Tensor:
    r"""Similarity-preserving: which utterances of a batch are alike.

    .. math::
        \frac{1}{B^2} \left\lVert \hat G^S - \hat G^T \right\rVert_F^2, \quad
        G = Z Z^\top

    with the rows of :math:`\hat G` of length 1 and Z the mean over each utterance's
    frames. The paper flattens images; utterances differ in length.

    Of several processes each compares the utterances of its own part of a batch.

    Args:
        student_hidden: (B, T, D), widened to float32.
        teacher_hidden: (B, T, D'). Receives no gradient.
        lengths: Real positions, (B,); an utterance without any takes no part.

    Returns:
        Scalar, float32 or wider, not negative, 0 for equal inputs; 0 and attached with
        fewer than two utterances.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Tung, Mori. Similarity-Preserving Knowledge Distillation. 2019, section 3.
    https://arxiv.org/abs/1907.09682
    """
    student, teacher = _means(student_hidden, teacher_hidden, lengths)
    student, teacher = (F.normalize(z @ z.T, dim=1, eps=TINY) for z in (student, teacher))
    return (student - teacher).square().sum() / max(len(student), 1) ** 2


def rkd(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    lengths: Tensor,
    *,
    distance_weight: NotNegative = 1.0,
    angle_weight: NotNegative = 2.0,
) -> Tensor:
    r"""Relational distillation: distances and angles between utterances of a batch.

    .. math::
        \lambda_D\, \overline{h(d^S_{ij}, d^T_{ij})}
            + \lambda_A\, \overline{h(a^S_{ijk}, a^T_{ijk})}

    over pairs and triples of different utterances, each the mean of its frames;
    distances d in units of their mean, a the cosine of the angle at j, h Huber's loss.

    Of several processes each compares the utterances of its own part of a batch.

    Args:
        student_hidden: (B, T, D), widened to float32.
        teacher_hidden: (B, T, D'). Receives no gradient.
        lengths: Real positions, (B,); an utterance without any takes no part.
        distance_weight: :math:`\lambda_D` >= 0.
        angle_weight: :math:`\lambda_A` >= 0.

    Returns:
        Scalar, float32 or wider, not negative, 0 for equal inputs; 0 and attached with
        fewer than two utterances (angles need three).

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Park et al. Relational Knowledge Distillation. 2019, section 3.2.
    https://arxiv.org/abs/1904.05068
    """
    student, teacher = _means(student_hidden, teacher_hidden, lengths)
    value = student.sum() * 0.0
    if len(student) > 1:
        value = value + distance_weight * F.huber_loss(
            _distances(student), _distances(teacher)
        )
    if len(student) > 2:
        value = value + angle_weight * F.huber_loss(_angles(student), _angles(teacher))
    return value


def _distances(points: Tensor) -> Tensor:
    """Distances of all pairs, in units of their mean."""
    upper = torch.triu_indices(len(points), len(points), 1, device=points.device)
    apart = points[upper[0]] - points[upper[1]]
    lengths = apart.square().sum(-1).clamp_min(TINY**2).sqrt()
    return lengths / lengths.mean()


def _angles(points: Tensor) -> Tensor:
    """Cosines of the angles of all triples of different points, at the middle one."""
    apart = points[:, None] - points[None]  # (j, i, D)
    unit = apart / apart.square().sum(-1, keepdim=True).clamp_min(TINY**2).sqrt()
    cosines = unit @ unit.transpose(1, 2)  # (j, i, k)
    size = len(points)
    index = torch.arange(size, device=points.device)
    j, i, k = index[:, None, None], index[None, :, None], index[None, None]
    return cosines[(i != j) & (k != j) & (i < k)]


def _centred(values: Tensor) -> Tensor:
    """Frames less their mean, of length 1 in sum: squares of squares stay in range."""
    values = widened(values)
    values = values - values.mean(0)
    return values / values.square().sum().clamp_min(TINY**2).sqrt()


def _means(student: Tensor, teacher: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the frames of each utterance that has some, (B', D) and (B', D')."""
    mask = _check_sequences(student, teacher, lengths)
    some = lengths > 0
    weight = mask[some][..., None]
    means = []
    for values in (student, teacher.detach().to(student.dtype)):
        kept = torch.where(weight, widened(values[some]), 0.0)
        means.append(kept.sum(1) / lengths[some, None])
    return means[0], means[1]


def _check_sequences(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    same = student.dim() == teacher.dim() == 3 and student.shape[:2] == teacher.shape[:2]
    if not same or lengths.shape != student.shape[:1]:
        raise ValueError(
            f"student_hidden {tuple(student.shape)} and teacher_hidden "
            f"{tuple(teacher.shape)} must be (B, T, D) and (B, T, D'), lengths (B,)"
        )
    return length_mask(lengths, student.shape[1])


class RelationMeasure(Protocol):
    """A measure of (B, T, D) and (B, T, D') tensors and their lengths, (B,)."""

    def __call__(self, student: Tensor, teacher: Tensor, lengths: Tensor, /) -> Tensor:
        """Scalar of the whole batch."""


class RelationLoss(LayerLoss):
    """Common ground of the losses across a batch: an utterance alone has no value."""

    function: ClassVar[RelationMeasure]
    per_utterance = False

    def compare(
        self, student: Tensor, teacher: Tensor, lengths: Tensor, weights: Tensor | None
    ) -> Tensor:
        """See the function of the same name."""
        return self.bound(self.function)(student, teacher, lengths)


@LOSSES.register("hidden_cka")
class HiddenCKA(RelationLoss, measure=hidden_cka):
    """``hidden_cka`` as a term: ``student`` and ``teacher`` name taps."""


@LOSSES.register("similarity")
class Similarity(RelationLoss, measure=similarity):
    """``similarity`` as a term: ``student`` and ``teacher`` name taps."""


@LOSSES.register("rkd")
class RKD(RelationLoss, measure=rkd):
    """``rkd`` as a term: ``student`` and ``teacher`` name taps."""
