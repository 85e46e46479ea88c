"""Which parameter of the teacher a parameter of the student starts as."""

from collections.abc import Container, Mapping, Sequence

from espnet_kd.student.axes import LAYER

# One part under two names: of offline and of contextual-block conformers, and of an
# embedding with and without its positions.
TWO_NAMES = (
    (".norm_mha.", ".norm1."),
    (".norm_ff.", ".norm2."),
    ("encoder.embed.out.0.", "encoder.embed.out."),
)


def source_of(
    name: str, layers: Mapping[str, Sequence[int]], teacher_names: Container[str]
) -> str:
    """Name the teacher's parameter, by layer and by whatever else it is called.

    Args:
        name: The student's parameter.
        layers: ``encoder`` and ``decoder`` to the teacher's layer of each of the
            student's layers.
        teacher_names: The teacher's parameters.

    Returns:
        A name, of which the teacher need have no parameter.
    """
    source = _in_its_layer(name, layers)
    if source in teacher_names:
        return source
    for pair in TWO_NAMES:
        for one, other in (pair, pair[::-1]):
            renamed = source.replace(one, other)
            if one in source and renamed in teacher_names:
                return renamed
    return source


def _in_its_layer(name: str, layers: Mapping[str, Sequence[int]]) -> str:
    match = LAYER.match(name)
    if match is None:
        return name
    of_side, index = layers[match[1].partition(".")[0]], int(match[2])
    layer = of_side[index] if index < len(of_side) else index
    return f"{match[1]}.{layer}.{name[match.end() :]}"
