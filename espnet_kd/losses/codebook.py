"""Distillation of a hidden representation as indices into codebooks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from espnet_kd.alignment.frames import compared_lens, frames_of_spans
from espnet_kd.errors import KDError
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.feature import Projection
from espnet_kd.losses.tapped import TapLoss, find_hidden
from espnet_kd.masking import Reduction, keep_rows, length_mask, reduce_positions, widened
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets


def codebook_ce(
    student_logits: Tensor,
    teacher_codes: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Mean cross-entropy of the teacher's index in each of N codebooks.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_{t < \mathrm{lengths}_b} \frac{1}{N} \sum_n
            \frac{1}{|R_{bt}|} \sum_{r \in R_{bt}} -\log q_{bt}^n(c_{br}^n)

    where the student's frame t stands for the teacher's frames :math:`R_{bt}` [1]_; of
    several at once, icefall predicts each by heads of its own instead.
    ``reduction: token`` divides by the number of real frames instead of :math:`B`.

    Args:
        student_logits: (B, T, N, K) before the softmax, of K centroids.
        teacher_codes: Indices, (B, T, R, N) integer; -1 where a frame stands for fewer
            than R of the teacher's.
        lengths: Real frames, (B,), 0 to T.
        reduction: ``batch`` (ESPnet's scale) or ``token``.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance (``batch``) or per frame (``token``), float32 or
        wider; not 0 where the student is right but in doubt. Without a real frame it is 0,
        still attached to the graph.

    Raises:
        ValueError: If shapes or lengths do not fit.

    .. [1] Guo et al. Predicting Multi-Codebook Vector Quantization Indexes for Knowledge
       Distillation. 2022, section 3. https://arxiv.org/abs/2211.00508
    """
    _check_shapes(student_logits, teacher_codes, lengths)
    mask = length_mask(lengths, student_logits.shape[1])  # (B, T)
    logits = widened(keep_rows(student_logits, mask))  # (M, N, K)
    codes = keep_rows(teacher_codes, mask)  # (M, R, N)
    found = [_cross_entropy(logits, own) for own in codes.unbind(1)]  # R times (M,)
    count = (codes[..., 0] >= 0).sum(1).clamp(min=1)
    return reduce_positions(torch.stack(found).sum(0) / count, mask, reduction, weights)


def _cross_entropy(logits: Tensor, codes: Tensor) -> Tensor:
    """Mean over (M, N) codes, of (M, N, K) logits; 0 where there is none."""
    given = (logits.flatten(0, 1), codes.flatten())
    values = F.cross_entropy(*given, ignore_index=-1, reduction="none")
    return values.view(codes.shape).mean(-1)


def _check_shapes(student: Tensor, teacher: Tensor, lengths: Tensor) -> None:
    both_four = student.dim() == teacher.dim() == 4
    if not both_four or (*student.shape[:3],) != (*teacher.shape[:2], teacher.shape[3]):
        raise ValueError(
            f"student_logits {tuple(student.shape)} must be (B, T, N, K) and "
            f"teacher_codes {tuple(teacher.shape)} be (B, T, R, N)"
        )
    if lengths.shape != student.shape[:1] or bool((lengths > student.shape[1]).any()):
        raise ValueError(f"lengths {lengths.tolist()} do not fit {tuple(student.shape)}")


@LOSSES.register("codebook_ce")
class CodebookCE(TapLoss, measure=codebook_ce):
    """``codebook_ce`` as a term: ``student`` taps a layer, ``teacher`` names a coded one.

    A linear head for each codebook stands on the student's layer. The heads train with
    the student and are saved with no model, as projections are.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.heads: Projection | None = None

    def needs(self) -> Needs:
        """A tap of the student, and the teacher's layer as indices."""
        return Needs(student_taps=(self.student_tap,), codebooks=(self.teacher_tap,))

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Make the heads, whose number the teacher's codebooks say."""
        source = find_hidden(student, self.student_tap, "student").values
        if self.teacher_tap not in teacher.codes:
            text = f"the teacher's '{self.teacher_tap}' gave no codes in a trial pass"
            raise KDError(f"{text}; name a layer that runs in every pass")
        codes = teacher.codes[self.teacher_tap]
        width = codes.values.shape[-1] * codes.centroids
        self.heads = Projection(source.shape[-1], width, device=source.device)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See the function of the same name; 0, attached, if a layer was dropped."""
        source = student.hidden.get(self.student_tap)
        target = teacher.codes.get(self.teacher_tap)
        if source is None or target is None:
            return self.nothing(student.encoder_out_lens)
        assert self.heads is not None, "a loss is built before it compares"
        values = source.values[:, : int(source.lengths.max())]
        logits = self.heads(values.to(self.heads.weight.dtype))
        return self.bound(codebook_ce)(
            logits.unflatten(-1, (target.values.shape[-1], target.centroids)),
            frames_of_spans(
                target.values, student_lens=source.lengths, teacher_lens=target.lengths
            ),
            compared_lens(source.lengths, target.lengths),
            weights=teacher.weights,
        )
