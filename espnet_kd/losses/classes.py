"""Distillation through the posterior of one class an utterance: a speaker, a sound."""

from typing import ClassVar

from torch import Tensor

from espnet_kd.config.options import Positive
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.divergence import kl_positions
from espnet_kd.losses.measured import MeasuredLoss, PairMeasure
from espnet_kd.masking import check_pair, length_mask, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets, given


def class_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    temperature: Positive = 1.0,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of the posteriors over classes, one an utterance.

    .. math::
        \frac{\tau^2}{B} \sum_b w_b \mathrm{KL}(p_b \,\|\, q_b)

    Speaker models are compared by their scaled cosines to each speaker, without the
    margin that training puts on the right one.

    Args:
        student_logits: (B, 1, V) before the softmax, any float dtype.
        teacher_logits: Same shape. Receives no gradient.
        lengths: 1 for each utterance that counts, else 0, (B,).
        temperature: Softening :math:`\tau` > 0.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance, float32 or wider; 0 and attached without one.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Hinton et al. 2015, section 2 (see ``kl_rows``).
    """
    check_pair(student_logits, teacher_logits, lengths, "logits")
    mask = length_mask(lengths, student_logits.shape[1])
    values = kl_positions(student_logits, teacher_logits, mask, temperature)
    return reduce_positions(values, mask, "batch", weights)


@LOSSES.register("class_kl")
class ClassKL(MeasuredLoss, measure=class_kl):
    """``class_kl`` as a term."""

    function: ClassVar[PairMeasure]

    def needs(self) -> Needs:
        """The classes of both models, compared at a temperature."""
        return Needs(classes=(self.options["temperature"],))

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See the function of the same name."""
        return self.bound(self.function)(
            given(student.class_logits, "class_logits"),
            given(teacher.class_logits, "class_logits"),
            given(student.class_lens, "class_lens"),
            weights=teacher.weights,
        )
