"""Which layer of the teacher each layer of the student starts as."""

from espnet_kd.alignment.layers import uniform_layers
from espnet_kd.errors import KDError

KINDS = ("uniform", "first", "last")


def layer_map(how: str, student: int, teacher: int, side: str) -> list[int]:
    """Find the teacher's layers, from 0, that the student's layers start as, in order.

    Args:
        how: ``uniform`` (spread over the teacher's, its first and last among them),
            ``first``, ``last``, or indices with commas.
        student: Number of the student's layers.
        teacher: Number of the teacher's layers.
        side: ``encoder`` or ``decoder``, for messages.

    Raises:
        KDError: If the teacher has fewer layers, or an index is not one of its layers.
    """
    if how in KINDS and student > teacher:
        twice = ",".join(str(index * teacher // student) for index in range(student))
        raise KDError(
            f"the student's {side} has {student} layers and the teacher's {teacher}; give "
            f"it {teacher} at most, or name the teacher's layers, some of them twice: "
            f"--{side}_layers {twice}"
        )
    if how == "uniform":
        return uniform_layers(student, teacher)
    if how in KINDS:
        start = teacher - student if how == "last" else 0
        return list(range(start, start + student))
    return _listed(how, student, teacher, side)


def _listed(how: str, student: int, teacher: int, side: str) -> list[int]:
    try:
        chosen = [int(index) for index in how.split(",")]
    except ValueError:
        known = ", ".join(KINDS)
        text = f"--{side}_layers '{how}': {known}, or indices with commas"
        raise KDError(text) from None
    if wrong := [index for index in chosen if not 0 <= index < teacher]:
        raise KDError(
            f"--{side}_layers names layer {wrong[0]}, and the teacher's {side} has "
            f"{teacher}: 0 to {teacher - 1}"
        )
    if len(chosen) != student:
        raise KDError(
            f"--{side}_layers names {len(chosen)} layers, and the student's {side} has "
            f"{student}; the nearest that works: {_suggestion(student, teacher)}"
        )
    return chosen


def _suggestion(student: int, teacher: int) -> str:
    return ",".join(map(str, uniform_layers(student, teacher)))
