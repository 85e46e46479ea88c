"""Terms of a batch of which a teacher says nothing about some utterances."""

from dataclasses import replace

import torch
from torch import Tensor

from espnet_kd.losses import DistillationLoss
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.request import Request
from espnet_kd.model.rows import Outputs, utterances_of
from espnet_kd.model.table import posterior_rows


def taught_value(
    loss: DistillationLoss,
    student: ModelOutputs,
    teacher: TeacherTargets | None,
    *,
    sure: bool = False,
) -> Tensor:
    """A term's value of the utterances that it is taught.

    An utterance that is not taught adds nothing: a loss that is a sum over utterances
    divided by their number is still divided by that of the batch, so that what the others
    count does not depend on their company.

    Args:
        loss: The term's loss.
        student: The student's outputs.
        teacher: The teacher's targets; None if the loss reads none.
        sure: Whether utterances count by the teacher's confidence.
    """
    taught = _taught(loss.needs().of_teacher, teacher, sure=sure)
    if teacher is None or taught is None or bool(taught.all()):
        value: Tensor = loss(student, teacher)
        return value
    rows = taught.nonzero()[:, 0]
    if not len(rows):
        return resting(loss, student)
    value = loss(utterances_of(student, rows), utterances_of(teacher, rows))
    return value * (len(rows) / len(taught)) if _by_utterance(loss) else value


def resting(loss: DistillationLoss, student: ModelOutputs) -> Tensor:
    """The value of a loss that compares nothing: 0, with its own parameters attached."""
    zero = torch.zeros((), device=student.encoder_out_lens.device)
    return sum((p.float().sum() * 0 for p in loss.parameters()), zero)


def heard_by_both(
    student: ModelOutputs, teacher: TeacherTargets
) -> tuple[ModelOutputs, TeacherTargets]:
    """Both sides with no frame and no label of what is not taught, for statistics."""
    names = [row.name for row in posterior_rows() if row.name in teacher.taught]
    if not names:
        return student, teacher
    taught = torch.stack([teacher.taught[name] for name in names]).all(0)
    return _emptied(student, taught), _emptied(teacher, taught)


def part_taught(teacher: TeacherTargets) -> Tensor:
    """The part of the utterances that everything asked of the teacher is said about."""
    return torch.stack(list(teacher.taught.values())).all(0).float().mean()


def _emptied(outputs: Outputs, taught: Tensor) -> Outputs:
    lens = outputs.ys_in_lens
    return replace(
        outputs,
        encoder_out_lens=outputs.encoder_out_lens * taught,
        ys_in_lens=None if lens is None else lens * taught,
    )


def _taught(
    request: Request, teacher: TeacherTargets | None, *, sure: bool
) -> Tensor | None:
    """Utterances about which all is said that a loss reads, (B,); None for all."""
    if teacher is None or not teacher.taught:
        return None
    names = {*request, *request.listed("taps")}
    if sure:
        names |= {row.name for row in posterior_rows()}
    masks = [mask for name, mask in teacher.taught.items() if name in names]
    return torch.stack(masks).all(0) if masks else None


def _by_utterance(loss: DistillationLoss) -> bool:
    """Whether a value is a sum over utterances divided by their number."""
    options = getattr(loss, "options", {})
    return loss.per_utterance and options.get("reduction", "batch") == "batch"
