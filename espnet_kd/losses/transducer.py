"""Distillation through a transducer's lattice, node by node."""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from espnet_kd.alignment.frames import SLACK
from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask
from espnet_kd.errors import AlignmentError
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.divergence import kl_rows
from espnet_kd.losses.measured import MeasuredLoss
from espnet_kd.masking import Reduction, length_mask, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, Path, TeacherTargets, given


def transducer_collapsed_kl(
    student_logits: Tensor,
    teacher_classes: Tensor,
    frame_lens: Tensor,
    ys_pad: Tensor,
    ys_lens: Tensor,
    *,
    blank_id: int = 0,
    reduction: Reduction = "token",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of {next label, blank, all the rest} over the lattice.

    .. math::
        \frac{1}{N} \sum_b w_b \sum_{t, u} \sum_{c \in \{y_{u+1}, \varnothing, *\}}
            p_{btu}(c) \log \frac{p_{btu}(c)}{q_{btu}(c)}

    Three numbers a node instead of V: the teacher's side fits into memory, and the
    student's costs nothing beyond the gradient of the joint output itself.

    Args:
        student_logits: Joint output, (B, T, U+1, V), before the softmax, any float dtype.
        teacher_classes: The teacher's log-probabilities of the three classes,
            (B, T, U+1, 3), by ``collapse``. Receives no gradient.
        frame_lens: Real frames, (B,).
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        blank_id: Index of blank.
        reduction: ``token`` (N: the nodes) or ``batch`` (N: the utterances; a sum over
            T U nodes is large, weigh it by 1e-3 to 1e-2).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per node or utterance, float32 or wider, 0 for equal models.
        Without a node it is 0, still attached to the graph.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Panchapagesan et al. Efficient Knowledge Distillation for RNN-Transducer
    Models. 2020, section 3.2. https://arxiv.org/abs/2011.06110
    """
    _check_lattice(student_logits, teacher_classes, frame_lens, ys_lens, 3)
    shape = student_logits.shape
    mask = node_mask(frame_lens, ys_lens, *shape[1:3])
    labels = next_labels(ys_pad, ys_lens, shape[2])
    student = collapse(student_logits, mask, labels, blank_id)  # (N, 3)
    teacher = teacher_classes.detach()[mask].to(student.dtype)
    gap = teacher - student  # finite, for a class that is not there is -1e30 on both
    values = torch.einsum("nc,nc->n", teacher.exp_(), gap)
    return reduce_positions(values, mask, reduction, weights)


def transducer_lattice_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    frame_lens: Tensor,
    ys_lens: Tensor,
    *,
    reduction: Reduction = "token",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of the joint outputs over the whole lattice.

    .. math::
        \frac{1}{N} \sum_b w_b \sum_{t, u} \mathrm{KL}(p_{btu} \,\|\, q_{btu})

    The reference that the others approximate, at the cost of several lattices of V
    classes: for small vocabularies and short utterances.

    Args:
        student_logits: Joint output, (B, T, U+1, V), before the softmax, any float dtype.
        teacher_logits: Same shape. Receives no gradient.
        frame_lens: Real frames, (B,).
        ys_lens: Real labels, (B,).
        reduction: ``token`` (N: the nodes) or ``batch`` (N: the utterances).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per node or utterance, float32 or wider, 0 for equal models.
        Without a node it is 0, still attached to the graph.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Panchapagesan et al. 2020, section 3.1. https://arxiv.org/abs/2011.06110
    """
    _check_lattice(
        student_logits, teacher_logits, frame_lens, ys_lens, student_logits.shape[-1]
    )
    mask = node_mask(frame_lens, ys_lens, *student_logits.shape[1:3])
    values = kl_rows(student_logits[mask], teacher_logits[mask], 1.0)
    return reduce_positions(values, mask, reduction, weights)


def transducer_path_kl(
    student_logits: Tensor,
    path: Path,
    *,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of the joint outputs along the teacher's best alignment.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_{(t, u) \in \pi_b} \mathrm{KL}(p_{btu} \,\|\, q_{btu})

    T + U nodes of all V classes instead of T U.

    Args:
        student_logits: Joint output, (B, T, U+1, V), before the softmax, any float dtype.
        path: The teacher's best alignment, and its joint output there.
        reduction: ``batch`` (divide by B) or ``token`` (by the nodes).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance or node, float32 or wider, 0 for equal models.
        Without a node it is 0, still attached to the graph.

    Raises:
        ValueError: If shapes do not fit.

    Source: Yang, Li, Woodland. Knowledge Distillation for Neural Transducers from
    Large Self-Supervised Pre-trained Models. 2021, section 3.
    https://arxiv.org/abs/2110.03334
    """
    batch, frames, nodes, classes = student_logits.shape
    if path.logits.shape[::2] != (batch, classes):
        raise ValueError(
            f"student_logits {tuple(student_logits.shape)} and teacher_path "
            f"{tuple(path.logits.shape)} must share their first and last axis"
        )
    keep = length_mask(path.lengths, path.frames.shape[1])  # (B, P)
    utterance = keep.nonzero()[:, 0]
    node = (utterance * frames + path.frames[keep]) * nodes + path.labels[keep]
    student = student_logits.flatten(0, 2).index_select(0, node)
    values = kl_rows(student, path.logits[keep], 1.0)
    return reduce_positions(values, keep, reduction, weights)


def common_frames(student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
    """Frames that both lattices have, (B,).

    Raises:
        AlignmentError: If the counts of an utterance differ by more than four.
    """
    student_lens, teacher_lens = student.encoder_out_lens, teacher.encoder_out_lens
    apart = (student_lens - teacher_lens).abs() > SLACK
    if apart.any():
        index = int(apart.nonzero()[0])
        raise AlignmentError(
            f"utterance {index} of the batch has {int(teacher_lens[index])} teacher frames "
            f"and {int(student_lens[index])} student frames: two lattices compare node by "
            "node only at one frame rate. Give the student the teacher's subsampling, or "
            "use transducer_fullsum, transducer_token_kl, ctc_* on an auxiliary CTC, or "
            "hidden_* losses."
        )
    return torch.minimum(student_lens, teacher_lens)


def common_lattice(
    student: ModelOutputs, teacher: TeacherTargets, teacher_lattice: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The student's lattice, the teacher's, and the frames that both have."""
    lens = common_frames(student, teacher)
    width = int(lens.max())
    lattice = given(student.joint_logits, "joint_logits")
    return _cut(lattice, width), _cut(teacher_lattice, width), lens


def _cut(lattice: Tensor, width: int) -> Tensor:
    """The first frames; as it is if those are all, for a slice would not stay flat."""
    return lattice if lattice.shape[1] == width else lattice[:, :width]


def _check_lattice(
    student: Tensor, teacher: Tensor, frame_lens: Tensor, ys_lens: Tensor, classes: int
) -> None:
    if student.dim() != 4 or (*student.shape[:3], classes) != teacher.shape:
        raise ValueError(
            f"student_logits {tuple(student.shape)} and teacher_lattice "
            f"{tuple(teacher.shape)} must share (B, T, U+1), with {classes} classes of "
            "the teacher"
        )
    for name, lens, size in (("frame_lens", frame_lens, 0), ("ys_lens", ys_lens, 1)):
        if lens.shape != student.shape[:1]:
            raise ValueError(f"{name} must be ({len(student)},), got {tuple(lens.shape)}")
        if lens.numel() and int(lens.max()) + size > student.shape[1 + size]:
            raise ValueError(f"{name} reach {int(lens.max())}: more than the lattice has")


class TransducerLoss(MeasuredLoss):
    """Common ground of the lattice losses: what they read of the teacher."""

    reads: ClassVar[str] = "classes"

    def needs(self) -> Needs:
        """Both lattices, and the transcript."""
        return Needs(joint=(self.reads,), labels=True)


@LOSSES.register("transducer_collapsed_kl")
class TransducerCollapsedKL(TransducerLoss, measure=transducer_collapsed_kl):
    """``transducer_collapsed_kl`` as a term."""

    same_frame = True

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``transducer_collapsed_kl``."""
        classes = given(teacher.joint_classes, "joint_classes")
        student_lattice, teacher_lattice, lens = common_lattice(student, teacher, classes)
        return self.bound(transducer_collapsed_kl)(
            student_lattice,
            teacher_lattice,
            lens,
            given(student.ys_pad, "ys_pad"),
            given(student.ys_lens, "ys_lens"),
            blank_id=student.blank_id,
            weights=teacher.weights,
        )


@LOSSES.register("transducer_lattice_kl")
class TransducerLatticeKL(TransducerLoss, measure=transducer_lattice_kl):
    """``transducer_lattice_kl`` as a term."""

    same_frame = True

    reads = "logits"

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``transducer_lattice_kl``."""
        logits = given(teacher.joint_logits, "joint_logits")
        student_lattice, teacher_lattice, lens = common_lattice(student, teacher, logits)
        return self.bound(transducer_lattice_kl)(
            student_lattice,
            teacher_lattice,
            lens,
            given(student.ys_lens, "ys_lens"),
            weights=teacher.weights,
        )


@LOSSES.register("transducer_path_kl")
class TransducerPathKL(TransducerLoss, measure=transducer_path_kl):
    """``transducer_path_kl`` as a term."""

    same_frame = True

    reads = "path"

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``transducer_path_kl``; frames that only the teacher has are left out."""
        frames = common_frames(student, teacher)
        path = given(teacher.path, "path")
        # Its frames never fall: what is left out is the end.
        inside = path.frames < frames[:, None]
        inside &= length_mask(path.lengths, inside.shape[1])
        return self.bound(transducer_path_kl)(
            given(student.joint_logits, "joint_logits"),
            replace(path, lengths=inside.sum(1)),
            weights=teacher.weights,
        )
