"""Part of a term's weight that is in force, by the updates made so far."""

import math

from espnet_kd.config.schema import ScheduleConfig


def describe_schedule(schedule: ScheduleConfig) -> str:
    """Say how a weight develops, for the log; nothing of one that stays."""
    parts = []
    if schedule.warmup_steps:
        parts.append(f"rises over {schedule.warmup_steps} updates")
    if schedule.decay != "none":
        fall = f"falls to {schedule.final:g} over {schedule.decay_steps} ({schedule.decay})"
        parts.append(fall)
    return ", then ".join(parts)


def schedule_scale(schedule: ScheduleConfig, step: int) -> float:
    r"""Part of a weight that is in force after ``step`` updates, between 0 and 1.

    With n updates made, a warm-up of W and a decay over D of them to the part f:

    .. math::
        s(n) = \begin{cases} (n + 1) / W & n + 1 < W \\
            1 + (f - 1)\, g(\min(1, (n + 1 - W) / D)) & \text{else} \end{cases}

    where g(x) = x for ``linear``, (1 - cos(pi x)) / 2 for ``cosine``, and 0 for ``none``.

    Args:
        schedule: Its steps and its form.
        step: Updates made so far, from 0.

    Returns:
        1 at the end of the warm-up, ``final`` from the end of the decay on.
    """
    rise = min(1.0, (step + 1) / max(schedule.warmup_steps, 1))
    if schedule.decay == "none" or rise < 1.0:
        return rise
    done = min(1.0, (step + 1 - schedule.warmup_steps) / schedule.decay_steps)
    fallen = done if schedule.decay == "linear" else (1 - math.cos(math.pi * done)) / 2
    return 1.0 + (schedule.final - 1.0) * fallen
