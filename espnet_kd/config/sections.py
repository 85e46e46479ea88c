"""Read ``schedule``, ``gradients`` and ``prune``: settings, and how they go together."""

from collections.abc import Mapping

from espnet_kd.config.check import Check
from espnet_kd.config.options import read_section
from espnet_kd.config.schema import GradientConfig, PruneConfig, ScheduleConfig


def read_schedule(check: Check, raw: object) -> ScheduleConfig:
    """Read a ``schedule``, of all terms or of one."""
    schedule = read_section(check, "schedule", raw, ScheduleConfig)
    if schedule is None:
        return ScheduleConfig()
    decay, steps = schedule.decay, schedule.decay_steps
    if decay == "none" and isinstance(raw, Mapping) and "final" in raw:
        text = "is what a weight falls to, and 'decay' is 'none'; remove it or set a decay"
        check.add("schedule.final", text)
    if (decay != "none") != (steps > 0):
        text = f"'decay: {decay}' and 'decay_steps: {steps}' do not go together"
        check.add("schedule.decay_steps", text)
    return schedule


def read_gradients(check: Check, raw: object) -> GradientConfig:
    """Read ``gradients``."""
    gradients = read_section(check, "gradients", raw, GradientConfig)
    if gradients is None:
        return GradientConfig()
    if gradients.balance and not gradients.every:
        check.add("gradients.every", "is missing; balancing measures, e.g. every: 100")
    return gradients


def read_prune(check: Check, raw: object) -> PruneConfig | None:
    """Read ``prune``; None if nothing is to be taken away."""
    prune = None if raw is None else read_section(check, "prune", raw, PruneConfig)
    given = raw if isinstance(raw, Mapping) else {}
    if prune is not None:
        _check_prune(check.at("prune"), prune, given)
    return prune


def _check_prune(check: Check, prune: PruneConfig, given: Mapping[str, object]) -> None:
    if ("sparsity" in given) == ("threshold" in given):
        check.add("", "needs 'sparsity' or 'threshold', e.g. sparsity: 0.5")
    elif "threshold" in given and (
        prune.structure == "units" or prune.importance == "taylor"
    ):
        text = "is of magnitudes of single weights; give a sparsity instead"
        check.add("threshold", text)
    if "scope" in given and prune.structure == "units":
        text = "is of single weights; units go from every layer alike. Remove it"
        check.add("scope", text)
    if "end" not in given or prune.end <= prune.start:
        check.add("end", "must come after 'start', in updates")
