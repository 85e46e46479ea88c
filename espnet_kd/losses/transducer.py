"""Distillation through a transducer's lattice, node by node."""

import torch
from torch import Tensor

from espnet_kd.alignment.frames import SLACK
from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask
from espnet_kd.errors import AlignmentError, ArgumentCheck
from espnet_kd.losses.base import LOSSES, DistillationLoss, Needs
from espnet_kd.losses.divergence import kl_rows
from espnet_kd.masking import REDUCTIONS, length_mask, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, Path, TeacherTargets


def transducer_collapsed_kl(
    student_logits: Tensor,
    teacher_classes: Tensor,
    frame_lens: Tensor,
    ys_pad: Tensor,
    ys_lens: Tensor,
    *,
    blank_id: int = 0,
    reduction: str = "token",
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
    reduction: str = "token",
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
    reduction: str = "batch",
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
    ours, theirs = student.encoder_out_lens, teacher.encoder_out_lens
    apart = (ours - theirs).abs() > SLACK
    if apart.any():
        index = int(apart.nonzero()[0])
        raise AlignmentError(
            f"utterance {index} of the batch has {int(theirs[index])} teacher frames and "
            f"{int(ours[index])} student frames: two lattices compare node by node only "
            "at one frame rate. Give the student the teacher's subsampling, or use "
            "transducer_fullsum, ctc_* on an auxiliary CTC, or hidden_* losses."
        )
    return torch.minimum(ours, theirs)


def common_lattice(
    student: ModelOutputs, teacher: TeacherTargets, theirs: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The student's lattice, the teacher's, and the frames that both have."""
    lens = common_frames(student, teacher)
    width = int(lens.max())
    # A slice of everything would lose what makes a lattice flat for nothing.
    ours, theirs = (
        z if z.shape[1] == width else z[:, :width] for z in (student.joint_logits, theirs)
    )
    return ours, theirs, lens


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


class TransducerLoss(DistillationLoss):
    """Common ground of the lattice losses: what they read of the teacher."""

    reads = "classes"

    def __init__(self, *, reduction: str = "token") -> None:
        super().__init__()
        check = ArgumentCheck()
        check.one_of("reduction", reduction, REDUCTIONS)
        check.done()
        self.reduction = reduction

    def needs(self) -> Needs:
        """Both lattices, and the transcript."""
        return Needs(joint=(self.reads,), labels=True)


@LOSSES.register("transducer_collapsed_kl")
class TransducerCollapsedKL(TransducerLoss):
    """``transducer_collapsed_kl`` as a term."""

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``transducer_collapsed_kl``."""
        ours, theirs, lens = common_lattice(student, teacher, teacher.joint_classes)
        return transducer_collapsed_kl(
            ours,
            theirs,
            lens,
            student.ys_pad,
            student.ys_lens,
            blank_id=student.blank_id,
            reduction=self.reduction,
            weights=teacher.weights,
        )


@LOSSES.register("transducer_lattice_kl")
class TransducerLatticeKL(TransducerLoss):
    """``transducer_lattice_kl`` as a term."""

    reads = "logits"

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``transducer_lattice_kl``."""
        ours, theirs, lens = common_lattice(student, teacher, teacher.joint_logits)
        options = {"reduction": self.reduction, "weights": teacher.weights}
        return transducer_lattice_kl(ours, theirs, lens, student.ys_lens, **options)


@LOSSES.register("transducer_path_kl")
class TransducerPathKL(TransducerLoss):
    """``transducer_path_kl`` as a term."""

    reads = "path"

    def __init__(self, *, reduction: str = "batch") -> None:
        super().__init__(reduction=reduction)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``transducer_path_kl``; a frame too many of the teacher is its last."""
        common_frames(student, teacher)
        path = teacher.path
        last = (student.encoder_out_lens - 1).clamp(min=0)[:, None]
        frames = torch.minimum(path.frames, last)
        path = Path(frames, path.labels, path.lengths, path.logits)
        return transducer_path_kl(
            student.joint_logits, path, reduction=self.reduction, weights=teacher.weights
        )
