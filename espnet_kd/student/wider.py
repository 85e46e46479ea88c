"""Whether a student is wider than its teacher, which could not give it parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from espnet_kd.errors import ConfigError, Problem
from espnet_kd.student.axes import POSITION, VOCABULARIES, Axes

# What a user changes to change the width of an axis, by the axis' end.
SETTINGS = {
    "encoder.stream": "encoder_conf.output_size",
    "decoder.stream": "encoder_conf.output_size",
    "feed_forward": "linear_units",
    "feed_forward_macaron": "encoder_conf.linear_units",
    "cgmlp": "encoder_conf.cgmlp_linear_units",
    "joint": "joint_net_conf.joint_space_size",
    "predictor": "decoder_conf.hidden_size",
    "heads": "attention_heads",
}

# The same of the asr_transducer task, whose encoder's layers are blocks.
OF_BLOCKS = {
    "encoder.stream": "encoder_conf.body_conf.hidden_size",
    "feed_forward": "encoder_conf.body_conf.linear_size",
    "feed_forward_macaron": "encoder_conf.body_conf.linear_size",
    "predictor.embed": "decoder_conf.embed_size",
    "joint": "joint_network_conf.joint_space_size",
    "heads": "encoder_conf.body_conf.heads",
}
BLOCKS = "encoder.encoders.blocks."


@dataclass(frozen=True)
class Shape:
    """What a model's parameters do not show of its settings.

    Attributes:
        heads: ``encoder`` and ``decoder`` to the number of attention heads.
        is_causal: Whether the encoder's convolutions hear the past alone.
    """

    heads: Mapping[str, int]
    is_causal: bool = False


def refuse_wider(
    student: Axes,
    teacher: Axes,
    shapes: tuple[Shape, Shape],
    teacher_axis: Callable[[str], str],
) -> None:
    """Require a student no wider than its teacher.

    Args:
        student: The student's widths.
        teacher: The teacher's widths.
        shapes: What the parameters of the two do not show, the student's first.
        teacher_axis: Gives the teacher's axis of a student's.

    Raises:
        ConfigError: With every width in which it is.
    """
    is_of_blocks = any(name.startswith(BLOCKS) for name in teacher.dims)
    # The first that fits counts, and its own are more exact.
    settings = OF_BLOCKS | SETTINGS | OF_BLOCKS if is_of_blocks else SETTINGS
    problems: dict[str, Problem] = {}
    for axis, size in student.sizes.items():
        full = teacher.sizes.get(teacher_axis(axis), size)
        if size > full and axis not in (*VOCABULARIES, POSITION):
            setting = _setting(axis, settings)
            text = f"is {size}, wider than the teacher's {full}; {full} is the most"
            problems[setting] = Problem(setting, text)
    for side in ("encoder", "decoder"):
        setting = _setting(f"{side}.heads", settings)
        if text := _heads_problem(setting, *_heads(side, (student, teacher), shapes)):
            problems.setdefault(setting, Problem(setting, text))
    if problems:
        raise ConfigError(problems.values(), "the student beside its teacher")


def _heads(
    side: str, axes: tuple[Axes, Axes], shapes: tuple[Shape, Shape]
) -> tuple[int, int, int, int]:
    """Width and heads of the student, then of the teacher; 0 where it has none."""
    student, teacher = (
        (model.sizes.get(f"{side}.stream", 0), shape.heads.get(side, 0))
        for model, shape in zip(axes, shapes, strict=True)
    )
    return (*student, *teacher)


def _heads_problem(
    setting: str, width: int, heads: int, teacher_width: int, teacher_heads: int
) -> str:
    """What is wrong with the student's number of heads, if anything."""
    if not (width and heads and teacher_width and teacher_heads):
        return ""
    if heads > teacher_heads:
        most = f"more than the teacher's {teacher_heads}; {teacher_heads} is the most"
        return f"is {heads}, {most}"
    widest = teacher_width // teacher_heads
    if width // heads <= widest:
        return ""
    fitting = (n for n in range(1, teacher_heads + 1) if _fits(width, n, widest))
    first = next(fitting, None)
    name = setting.rpartition(".")[2]
    way_out = f"{name}: {first}" if first else "a smaller output_size"
    wider = f"wider than the teacher's {widest}; try {way_out}"
    return f"makes heads of {width // heads} dimensions, {wider}"


def _setting(axis: str, settings: Mapping[str, str]) -> str:
    side = axis.partition(".")[0]
    for end, setting in settings.items():
        if axis == end or axis.rpartition(".")[2] == end or side == end:
            return setting if "." in setting else f"{side}_conf.{setting}"
    return settings["encoder.stream"]


def _fits(width: int, heads: int, widest: int) -> bool:
    return width % heads == 0 and width // heads <= widest
