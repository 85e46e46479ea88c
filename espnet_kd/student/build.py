"""Build a teacher and its student, and take the parameters of the latter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.host.compat import build_model
from espnet_kd.host.data import stream
from espnet_kd.host.experiment import Experiment
from espnet_kd.student.axes import LAYER, Axes
from espnet_kd.student.importance import KINDS_HEARD, importance_of
from espnet_kd.student.initialise import Initialiser, Origin, Shape
from espnet_kd.student.layers import layer_map

SIDES = ("encoder", "decoder")


@dataclass(frozen=True)
class Choice:
    """How a student is chosen from its teacher.

    Attributes:
        layers: Of ``encoder`` and ``decoder``, see ``layer_map``.
        importance: Of units, one of ``espnet_kd.student.importance.KINDS``.
        data: What is heard for it, ``PATH,NAME,TYPE`` each.
        batches: Utterances of that.
        seed: Of what is random.
    """

    layers: Mapping[str, str]
    importance: str = "norm"
    data: tuple[str, ...] = ()
    batches: int = 50
    seed: int = 0


def build_student(
    task: type, experiment: Experiment, settings: Mapping[str, Any], choice: Choice
) -> tuple[dict[str, Tensor], list[Origin]]:
    """Parameters of a student, and where each came from.

    Args:
        task: ESPnet task class of both.
        experiment: The teacher.
        settings: The student's.
        choice: How.

    Raises:
        KDError: If the student cannot be had from this teacher.
    """
    theirs = experiment.settings
    check_parts(settings, theirs)
    torch.manual_seed(choice.seed)
    student = build_model(task, settings)
    teacher = experiment.model(task).requires_grad_(True)
    states = (teacher.state_dict(), student.state_dict())
    layers = {
        side: layer_map(choice.layers[side], *_counts(states, side), side) for side in SIDES
    }
    importance = _importance(task, theirs, teacher, choice)
    shapes = (_shape(theirs), _shape(settings))
    return Initialiser(states[0], importance, layers, shapes)(states[1])


def check_parts(student: Mapping[str, Any], teacher: Mapping[str, Any]) -> None:
    """Require encoders and decoders of the same kind.

    Raises:
        KDError: If they differ.
    """
    for part in SIDES:
        if student.get(part) != teacher.get(part):
            raise KDError(
                f"the student's {part} is '{student.get(part)}' and the teacher's "
                f"'{teacher.get(part)}': their layers hold different things. Give the "
                f"student '{part}: {teacher.get(part)}', or start it at random"
            )


def _importance(
    task: type, settings: dict, teacher: nn.Module, choice: Choice
) -> dict[str, Tensor]:
    batches: Iterable[dict] = ()
    if choice.importance in KINDS_HEARD:
        if not any(",text," in path for path in choice.data):
            raise KDError(
                f"--importance {choice.importance} hears data: give it by "
                "--data_path_and_name_and_type PATH,speech,TYPE and PATH,text,text"
            )
        heard = stream(task, settings, choice.data, batch_size=1)
        batches = (batch for _, batch in islice(heard, choice.batches))
    axes = Axes(teacher.state_dict())
    return importance_of(choice.importance, teacher, axes, batches)


def _counts(states: tuple[Mapping, Mapping], side: str) -> tuple[int, int]:
    """Layers of the student and of the teacher."""
    theirs, ours = (_count(state, side) for state in states)
    return ours, theirs


def _count(state: Mapping, side: str) -> int:
    found = (LAYER.match(name) for name in state)
    return len({match[2] for match in found if match and match[1].startswith(side)})


def _shape(settings: Mapping[str, Any]) -> Shape:
    confs = {side: settings.get(f"{side}_conf") or {} for side in SIDES}
    # 4 is ESPnet's own default.
    return Shape(
        {side: int(conf.get("attention_heads", 4)) for side, conf in confs.items()}
    )
