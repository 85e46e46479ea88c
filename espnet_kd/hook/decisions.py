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
    student, learned = attachment.model, attachment.objective.projections()
    size = _size(student) - _size(learned)
    kind = type(student).__name__
    yield f"Distillation of {kind}, {size:,} parameters, by {config.source}:"
    if attachment.teacher is not None:
        yield from (f"  {line}" for line in attachment.teacher.describe())
    yield f"  the student's own loss counts {config.task_weight:g}"
    yield from (f"  {_term(term, config.schedule)}" for term in config.losses)
    for name, part in learned.items():
        yield f"  {name}: adds {_size(part):,} parameters of its own, saved with no model"
    yield from (f"  {line}" for line in _settings(config))
    teacher: object = attachment.teacher
    parts = [part for part in attachment.parts if part is not teacher]
    yield from (f"  {line}" for part in parts for line in part.describe())


def _settings(config: KDConfig) -> Iterator[str]:
    """What is set beside teachers and terms."""
    gradients, prune = config.gradients, config.prune
    if gradients.balance:
        yield (
            "weights are balanced: each says how hard its term pulls beside the task's, "
            f"measured every {gradients.every} updates"
        )
    elif gradients.every:
        yield f"the terms' gradients are measured every {gradients.every} updates"
    yield from _validations(config)
    if prune is not None:
        goal = f"below {prune.threshold:g}" if prune.threshold else f"{prune.sparsity:.0%}"
        yield (
            f"prune: {goal} of the {prune.structure} go by {prune.importance} "
            f"({prune.scope}) from update {prune.start} to {prune.end}, every {prune.every}"
        )
    if config.quantize != "none":
        yield f"quantize: linear layers compute as in {config.quantize} while they train"
    if not config.diagnostics:
        yield "diagnostics: the log has no kd_* statistics of posteriors"


def _validations(config: KDConfig) -> Iterator[str]:
    """What 'loss' is in a validation, where that is not the sum that trains."""
    still = ScheduleConfig()
    trained = [term for term in config.losses if term.weight]
    balanced = config.gradients.balance
    if balanced and trained:
        yield "validations: 'loss' is the task's own, for balanced weights never rest"
    elif any((term.schedule or config.schedule) != still for term in trained):
        yield "validations: 'loss' counts each term as at the end of its schedule"
    if trained and not balanced and any(teacher.ema for teacher in config.teachers):
        yield (
            "validations: 'loss' holds the distance to an average that moves with the "
            "student; select and stop by 'acc' or 'loss_task', which compare"
        )


def _term(term: LossTermConfig, common: ScheduleConfig) -> str:
    options = ", ".join(f"{key}: {value}" for key, value in term.options.items())
    name = "" if term.name == term.type else f" as '{term.name}'"
    weight = f"weight {term.weight:g}" if term.weight else "observed only"
    confidence = f", confidence {term.confidence:g}" if term.confidence else ""
    given = f" ({options})" if options else ""
    schedule = _schedule(term, common) if term.weight else ""
    return f"{term.type}{name}: {weight}{given}{confidence}{schedule}"


def _schedule(term: LossTermConfig, common: ScheduleConfig) -> str:
    schedule = term.schedule or common
    parts = []
    if schedule.warmup_steps:
        parts.append(f"rises over {schedule.warmup_steps} updates")
    if schedule.decay != "none":
        fall = f"falls to {schedule.final:g} over {schedule.decay_steps} ({schedule.decay})"
        parts.append(fall)
    return f"; {', then '.join(parts)}" if parts else ""


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
