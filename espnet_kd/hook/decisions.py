"""What was decided about a training, a line each, for its log."""

from collections.abc import Iterator

from torch import nn

from espnet_kd.config.schema import KDConfig, LossTermConfig, ScheduleConfig
from espnet_kd.hook.attachment import Attachment


def decisions(config: KDConfig, attachment: Attachment) -> Iterator[str]:
    """Say which teacher teaches what, how, and what it adds to the student.

    Args:
        config: What was asked for.
        attachment: What came of it, connected.
    """
    student = attachment.model
    name = f"{type(student).__name__}, {_size(student)} parameters"
    yield f"Distillation of {name}, by {config.source}:"
    lines = attachment.teacher.describe() if attachment.teacher is not None else ["none"]
    yield from (f"  {line}" for line in lines)
    yield f"  the student's own loss counts {config.task_weight:g}"
    for term in config.losses:
        yield f"  {_term(term, config.schedule)}"
    if _moves(config):
        yield (
            "  'loss' moves with schedules and balancing from epoch to epoch: select and "
            "stop by 'acc' or 'loss_task', which compare"
        )
    for name, learned in attachment.objective.projections().items():
        yield f"  {name}: adds a projection of {_size(learned)} parameters, saved nowhere"
    if config.prune is not None:
        yield f"  prune: {config.prune}"
    if config.quantize != "none":
        yield f"  quantize: {config.quantize}"


def _moves(config: KDConfig) -> bool:
    """Whether the weights that are in force change while the student trains."""
    still = ScheduleConfig()
    schedules = [t.schedule or config.schedule for t in config.losses if t.weight]
    return config.gradients.balance or any(s != still for s in schedules)


def _term(term: LossTermConfig, common: ScheduleConfig) -> str:
    options = ", ".join(f"{key}: {value}" for key, value in term.options.items())
    name = "" if term.name == term.type else f" as '{term.name}'"
    weight = f"weight {term.weight:g}" if term.weight else "observed only"
    confidence = f", confidence {term.confidence:g}" if term.confidence else ""
    given = f" ({options})" if options else ""
    return f"{term.type}{name}: {weight}{given}{confidence}{_schedule(term, common)}"


def _schedule(term: LossTermConfig, common: ScheduleConfig) -> str:
    schedule = term.schedule or common
    parts = []
    if schedule.warmup_steps:
        parts.append(f"rises over {schedule.warmup_steps} updates")
    if schedule.decay != "none":
        fall = f"falls to {schedule.final:g} over {schedule.decay_steps} ({schedule.decay})"
        parts.append(fall)
    return f"; {', then '.join(parts)}" if parts else ""


def _size(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"
