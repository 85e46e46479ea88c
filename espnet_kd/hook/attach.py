"""attach and detach: make any ESPnet model learn from a teacher, and let it go again."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from espnet_kd.config.parse import parse_config
from espnet_kd.config.schema import KDConfig
from espnet_kd.errors import KDError
from espnet_kd.hook.attachment import ATTRIBUTE, Attachment, PartOf
from espnet_kd.hook.decisions import decisions, doubts
from espnet_kd.hook.time_warp import SharedWarp, time_warp_of
from espnet_kd.hook.two_modes import TwoModes
from espnet_kd.hook.two_views import TwoViews
from espnet_kd.losses import LOSSES
from espnet_kd.model.hidden import layer_count
from espnet_kd.objective.objective import Objective
from espnet_kd.student.fake_quantize import Rounding
from espnet_kd.student.masks import Masks
from espnet_kd.teachers.base import Teacher
from espnet_kd.teachers.build import build_teacher
from espnet_kd.teachers.live import LiveTeacher

LOG = logging.getLogger(__name__)


def attach(
    model: nn.Module,
    kd_conf: Mapping[str, Any] | KDConfig,
    teacher: nn.Module | Teacher | None = None,
    *,
    example: Mapping[str, Tensor] | None = None,
    task: type | None = None,
) -> Attachment:
    """Make a model learn from a teacher in every forward pass.

    The model keeps its class, its parameters and its ``state_dict``; its ``forward``
    still gives ``loss, stats, weight`` (or the dict form), with the distillation terms
    in the loss and ``loss_kd``, ``loss_kd_<name>``, ``loss_task`` in the stats. Any
    other output passes through untouched. Call it before the optimizer is built: hidden
    losses between different widths bring a projection, as a submodule of the model
    that no ``state_dict`` shows.

    Args:
        model: Any ESPnet model, the student.
        kd_conf: The configuration, as a mapping (see README) or validated.
        teacher: A trained model, frozen in place; None loads ``teachers`` of the
            configuration.
        example: A batch to try both models on, needed only for hidden losses on a
            model that takes features (no front end), or that is asked by its own forward
            pass (language models, synthesis, enhancement, speakers, ...).
        task: ESPnet task class that can build the teacher; the ASR task by default.

    Returns:
        The attachment, also found by ``attachment_of(model)``.

    Raises:
        ConfigError: With every problem of the configuration.
        KDError: If the model is attached already, or cannot give what a loss needs.
    """
    if attachment_of(model) is not None:
        raise KDError("this model is distilled already; call detach(model) first")
    config = kd_conf
    if not isinstance(config, KDConfig):
        config = parse_config(kd_conf, LOSSES, teacher_given=teacher is not None)
    objective = Objective(config)
    if teacher is not None and not objective.needs.teacher:
        raise KDError("none of the losses reads a teacher; leave it out")
    if teacher is None and objective.needs.teacher:
        teacher = build_teacher(config, model, task)
    elif isinstance(teacher, nn.Module):
        teacher = LiveTeacher(teacher)
    elif isinstance(teacher, list | tuple):
        raise KDError(
            "'teacher' is one model; name several under 'teachers' of the kd_conf"
        )
    if teacher is not None:
        objective.pair_layers(layer_count(model), lambda name: teacher.layers(name))
    attachment = Attachment(model, objective, teacher)
    attachment.check()
    attachment.build(example)
    attachment.connect(_parts(config, attachment))
    for line in decisions(config, attachment):
        LOG.info(line)
    for line in doubts(attachment):
        LOG.warning(line)
    return attachment


def _parts(config: KDConfig, attachment: Attachment) -> list[PartOf]:
    """What else takes part in the training, in the order in which it acts.

    Raises:
        KDError: If two of them double the batches.
    """
    parts: list[PartOf] = []
    if config.quantize == "int8":
        parts.append(Rounding)
    if config.prune is not None:
        parts.append(partial(Masks, config=config.prune))
    needs = attachment.objective.needs
    if needs.two_views and needs.two_modes:
        raise KDError(
            "cr_ctc and mode_consistency put each batch twice into one pass, each in its "
            "own way; remove one of them"
        )
    if needs.two_views:
        parts.append(TwoViews)
    if needs.two_modes:
        taps = attachment.student_request.listed("taps")
        parts.append(partial(TwoModes, taps=taps))
    warps = attachment.family is None and time_warp_of(attachment.model) is not None
    if attachment.teacher is not None and warps:
        parts.append(SharedWarp)
    return parts


def detach(model: nn.Module) -> None:
    """Undo ``attach``: hooks, projections, roundings and the attachment are gone."""
    attachment = attachment_of(model)
    if attachment is not None:
        attachment.disconnect()


def attachment_of(model: nn.Module) -> Attachment | None:
    """The attachment of a model, or None."""
    attachment = model.__dict__.get(ATTRIBUTE)
    return attachment if isinstance(attachment, Attachment) else None
