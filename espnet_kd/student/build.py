"""Build a student of a teacher, and choose the student's parameters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.host.building import Room, building
from espnet_kd.host.compat import build_model
from espnet_kd.host.data import stream
from espnet_kd.host.experiment import Experiment
from espnet_kd.student.axes import LAYER, Axes
from espnet_kd.student.importance import KINDS_WITH_DATA, importance_of
from espnet_kd.student.initialise import Initialiser, Origin
from espnet_kd.student.layers import layer_map
from espnet_kd.student.token_rows import TokenRows
from espnet_kd.student.wider import Shape

SIDES = ("encoder", "decoder")

# What ESPnet puts before the name of an encoder that hears blocks: the layers are the same.
OVER_BLOCKS = "contextual_block_"


@dataclass(frozen=True)
class Choice:
    """How a student is chosen from its teacher.

    Attributes:
        layers: ``encoder`` and ``decoder`` to the choice of layers, see ``layer_map``.
        importance: Importance of a unit, one of ``espnet_kd.student.importance.KINDS``.
        data: Data that the importance is measured on, ``PATH,NAME,TYPE`` each.
        batches: Number of utterances of the data.
        seed: Seed of the student's random parameters and of the importance ``random``.
    """

    layers: Mapping[str, str]
    importance: str = "norm"
    data: tuple[str, ...] = ()
    batches: int = 50
    seed: int = 0


def build_student(
    task: type[Any], experiment: Experiment, settings: Mapping[str, Any], choice: Choice
) -> tuple[dict[str, Tensor], list[Origin]]:
    """Build a student's parameters from its teacher's.

    Args:
        task: ESPnet task class of both.
        experiment: The teacher.
        settings: The student's settings.
        choice: Which layers and units of the teacher are taken.

    Returns:
        The student's parameters, and the origin of each.

    Raises:
        KDError: If the student cannot be had from this teacher.
    """
    check_parts(settings, experiment.settings)
    torch.manual_seed(choice.seed)
    head = (
        "the student's configuration, with what it shares with "
        f"{experiment.files.config}, describes no model that ESPnet can build"
    )
    with building(head, Room.of_machine()):
        student = build_model(task, settings)
    teacher = experiment.model(task).requires_grad_(True)
    states = (student.state_dict(), teacher.state_dict())
    layers = _layers(*states, choice.layers)
    importance = _importance(task, experiment.settings, teacher, choice)
    shapes = (_shape(settings), _shape(experiment.settings))
    tokens = _token_rows(settings, experiment.settings)
    return Initialiser(states[1], importance, layers, *shapes, tokens)(states[0])


def _token_rows(student: Mapping[str, Any], teacher: Mapping[str, Any]) -> TokenRows:
    """The rows of tokens; by number where both have one list, or one of them none."""
    own, given = (settings.get("token_list") for settings in (student, teacher))
    if isinstance(own, list | tuple) and isinstance(given, list | tuple) and own != given:
        return TokenRows(own, given, of_ctc="src_token_list" not in teacher)
    return TokenRows()


def can_start(
    student: nn.Module,
    settings: Mapping[str, Any],
    teacher: nn.Module,
    teacher_settings: Mapping[str, Any],
) -> bool:
    """Whether a student could have its first parameters from a teacher."""
    states = (student.state_dict(), teacher.state_dict())
    shapes = (_shape(settings), _shape(teacher_settings))
    try:
        check_parts(settings, teacher_settings)
        layers = _layers(*states, dict.fromkeys(SIDES, "uniform"))
        if not layers["encoder"]:
            return False  # layers of a kind that is not known here
        make = Initialiser(states[1], {}, layers, *shapes)
        make.refuse_wider(Axes(states[0]))
    except KDError:
        return False
    return True


def _layers(
    student_state: Mapping[str, Tensor],
    teacher_state: Mapping[str, Tensor],
    choice: Mapping[str, str],
) -> dict[str, list[int]]:
    """The teacher's layer of each of the student's, on each side."""
    layers = {}
    for side in SIDES:
        counts = (_count(student_state, side), _count(teacher_state, side))
        layers[side] = layer_map(choice[side], *counts, side)
    return layers


def check_parts(student: Mapping[str, Any], teacher: Mapping[str, Any]) -> None:
    """Require encoders and decoders of the same kind.

    A student over blocks has the layers of a teacher that hears utterances whole.

    Args:
        student: The student's settings.
        teacher: The teacher's settings.

    Raises:
        KDError: If they differ.
    """
    for part in SIDES:
        kinds = (_kind(student, part), _kind(teacher, part))
        if kinds[0] != kinds[1] and str(kinds[0]).removeprefix(OVER_BLOCKS) != kinds[1]:
            raise KDError(
                f"the student's {part} is '{kinds[0]}' and the teacher's '{kinds[1]}': "
                "their layers hold different things. Give the student "
                f"'{part}: {kinds[1]}', or start it at random"
            )


def _kind(settings: Mapping[str, Any], part: str) -> str | None:
    """What kind an encoder or decoder is of: of blocks, their kinds."""
    blocks = [str(block.get("block_type")) for block in _blocks(settings, part)]
    return " and ".join(dict.fromkeys(blocks)) if blocks else settings.get(part)


def _blocks(settings: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    """The blocks that an encoder of the asr_transducer task is made of."""
    return (settings.get(f"{part}_conf") or {}).get("body_conf") or []


def _importance(
    task: type[Any], settings: dict[str, Any], teacher: nn.Module, choice: Choice
) -> dict[str, Tensor]:
    batches: Iterable[dict[str, Any]] = ()
    if choice.importance in KINDS_WITH_DATA:
        if not any(",text," in path for path in choice.data):
            raise KDError(
                f"--importance {choice.importance} is measured on data: give them by "
                "--data_path_and_name_and_type PATH,speech,TYPE and PATH,text,text"
            )
        found = stream(task, settings, choice.data, batch_size=1)
        batches = (batch for _, batch in islice(found, choice.batches))
    axes = Axes(teacher.state_dict())
    return importance_of(choice.importance, teacher, axes, batches)


def _count(state: Mapping[str, Tensor], side: str) -> int:
    """The number of a model's layers on one side."""
    found = (LAYER.match(name) for name in state)
    return len({match[2] for match in found if match and match[1].startswith(side)})


def _shape(settings: Mapping[str, Any]) -> Shape:
    confs = {side: settings.get(f"{side}_conf") or {} for side in SIDES}
    # 4 is ESPnet's own default.
    heads = {side: int(conf.get("attention_heads", 4)) for side, conf in confs.items()}
    main = confs["encoder"].get("main_conf") or {}
    if blocks := _blocks(settings, "encoder"):
        heads["encoder"] = int(blocks[0].get("heads", 4))
    return Shape(heads, is_causal=bool(main.get("dynamic_chunk_training")))
