"""Whether a student starts at random though its teacher could give it parameters."""

import argparse

from torch import nn

from espnet_kd.hook.attachment import Attachment
from espnet_kd.student.build import can_start
from espnet_kd.teachers.build import acoustic_teachers
from espnet_kd.teachers.live import LiveTeacher


def starts_in_vain(
    args: argparse.Namespace, model: nn.Module, attachment: Attachment
) -> bool:
    """Whether it does.

    Args:
        args: Of the training.
        model: The student.
        attachment: Its attachment.
    """
    if attachment.teacher is None or getattr(args, "init_param", None):
        return False
    if attachment.family is not None:
        return False  # init_student knows the layers of those that are asked by parts
    teacher = next(iter(acoustic_teachers(attachment.teacher)), None)
    if not isinstance(teacher, LiveTeacher) or teacher.settings is None:
        return False
    return can_start(model, vars(args), teacher.model, teacher.settings)
