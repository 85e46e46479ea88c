"""Distillation of a transducer label by label, wherever in time each model emits it."""

import torch
from torch import Tensor

from espnet_kd.alignment.transducer_lattice import collapsed_lattice
from espnet_kd.alignment.transducer_paths import best_path, emissions
from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.divergence import kl_rows
from espnet_kd.losses.transducer import TransducerLoss
from espnet_kd.masking import Reduction, length_mask, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, Path, TeacherTargets, given


def transducer_token_kl(
    student_logits: Tensor,
    path: Path,
    frame_lens: Tensor,
    ys_pad: Tensor,
    ys_lens: Tensor,
    *,
    blank_id: int = 0,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of the joint outputs where each model emits each label.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_u
            \mathrm{KL}(p_{b,\tau_p(u),u} \,\|\, q_{b,\tau_q(u),u})

    with :math:`\tau_p(u)` and :math:`\tau_q(u)` the frames at which teacher and student
    emit label u + 1, each on its own best alignment of the transcript. An offline teacher
    and a streaming student emit at other frames [1]_; along one path, the teacher's or the
    student's [2]_, one of them is asked where it has nothing to say. Nothing but labels
    has to correspond: other frame rates will do. The student's path is a constant.

    Args:
        student_logits: Joint output, (B, T, U+1, V), before the softmax, any float dtype.
        path: The teacher's best alignment, and its joint output there. Receives no
            gradient.
        frame_lens: Student's real frames, (B,).
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        blank_id: Index of blank.
        reduction: ``batch`` (divide by B) or ``token`` (by the labels).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance or label, float32 or wider, 0 for equal models.
        Without a label it is 0, still attached to the graph.

    Raises:
        ValueError: If shapes do not fit.

    .. [1] Kurata, Saon. Knowledge Distillation from Offline to Streaming RNN Transducer
       for End-to-end Speech Recognition. 2020, section 1.
    .. [2] Yang, Li, Woodland. Knowledge Distillation for Neural Transducers from Large
       Self-Supervised Pre-trained Models. 2021, section 3.
       https://arxiv.org/abs/2110.03334
    """
    batch, width, nodes, classes = student_logits.shape
    if path.logits.shape[::2] != (batch, classes):
        raise ValueError(
            f"student_logits {tuple(student_logits.shape)} and teacher_path "
            f"{tuple(path.logits.shape)} must share their first and last axis"
        )
    own = _own_path(student_logits, frame_lens, ys_pad, ys_lens, blank_id)
    heard = (frame_lens > 0) & (path.lengths > 0)
    keep = length_mask(torch.where(heard, ys_lens, 0), nodes - 1)  # (B, U)
    row, label = keep.nonzero(as_tuple=True)
    frame = own[0][row, emissions(*own[1:], nodes - 1)[keep]]
    node = (row * width + frame) * nodes + label
    student = student_logits.flatten(0, 2).index_select(0, node)
    teacher = path.logits[row, emissions(path.labels, path.lengths, nodes - 1)[keep]]
    return reduce_positions(kl_rows(student, teacher, 1.0), keep, reduction, weights)


@torch.no_grad()
def _own_path(
    logits: Tensor, frame_lens: Tensor, ys_pad: Tensor, ys_lens: Tensor, blank_id: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Frames and labels of the nodes on the best alignment, and their numbers."""
    classes = collapsed_lattice(logits, frame_lens, ys_pad, ys_lens, blank_id)
    return best_path(classes, frame_lens, ys_lens)


@LOSSES.register("transducer_token_kl")
class TransducerTokenKL(TransducerLoss, measure=transducer_token_kl):
    """``transducer_token_kl`` as a term."""

    reads = "path"

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``transducer_token_kl``."""
        return self.bound(transducer_token_kl)(
            given(student.joint_logits, "joint_logits"),
            given(teacher.path, "path"),
            student.encoder_out_lens,
            given(student.ys_pad, "ys_pad"),
            given(student.ys_lens, "ys_lens"),
            blank_id=student.blank_id,
            weights=teacher.weights,
        )
