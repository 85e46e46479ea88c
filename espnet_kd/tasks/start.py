"""Whether a student starts at random though its teacher could give it parameters."""

import argparse

from torch import nn

from espnet_kd.config.schema import KDConfig
from espnet_kd.hook.attachment import Attachment
from espnet_kd.host.experiment import open_experiment
from espnet_kd.student.build import can_start
from espnet_kd.teachers.build import acoustic_teachers
from espnet_kd.teachers.live import LiveTeacher


def starts_in_vain(
    args: argparse.Namespace, model: nn.Module, attachment: Attachment, config: KDConfig
) -> bool:
    """Whether it does.

    Args:
        args: Of the training.
        model: The student.
        attachment: Its attachment.
        config: The validated ``kd_conf``.
    """
    named = next((teacher for teacher in config.teachers if teacher.exp), None)
    if named is None or attachment.teacher is None or getattr(args, "init_param", None):
        return False
    teacher = next(iter(acoustic_teachers(attachment.teacher)), None)
    if not isinstance(teacher, LiveTeacher):
        return False
    with open_experiment(named.exp, named.file) as experiment:
        return can_start(model, vars(args), teacher.model, experiment.settings)
