"""How large a model is."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from torch import nn

from espnet_kd.host.building import Room, building
from espnet_kd.host.compat import build_model
from espnet_kd.host.experiment import read_settings
from espnet_kd.host.packed import ExperimentFiles


def parameters_by_part(model: nn.Module) -> dict[str, int]:
    """Count the parameters of each top-level part, a shared one once."""
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        counts[name.split(".")[0]] += parameter.numel()
    return dict(counts)


def parameters_of(config: Path, task: type[Any]) -> int:
    """Count the parameters of the model that an experiment's config describes."""
    files = ExperimentFiles(config, config.parent / "unused")
    head = f"{config} describes no model that ESPnet can build"
    settings = read_settings(files)
    with building(head, Room.of_machine()):
        model = build_model(task, settings)
    return sum(parameters_by_part(model).values())


def size_cells(parameters: int, largest: int) -> tuple[str, str]:
    """Show a model's size in a table: in millions, and as a part of the largest one's."""
    return f"{parameters / 1e6:.3f} M", f"1/{largest / parameters:.1f}"


def gap_recovered(teacher: float, control: float, distilled: float) -> float:
    """Compute the share of the control's distance to the teacher that was closed.

    Args:
        teacher: Error rate of the teacher.
        control: Error rate of the student without distillation.
        distilled: Error rate of the distilled student.

    Returns:
        (control - distilled) / (control - teacher); 1 reaches the teacher, negative is
        worse than without distillation. nan if there is no gap to close.
    """
    gap = control - teacher
    return (control - distilled) / gap if gap > 0 else math.nan
