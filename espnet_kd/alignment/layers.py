"""Which layer of a deeper model stands beside each layer of another."""


def uniform_layers(student: int, teacher: int) -> list[int]:
    """Spread the student's layers over the teacher's, the first and last among them.

    Args:
        student: Number of the student's layers.
        teacher: Number of the teacher's layers, at least 1.

    Returns:
        The teacher's layer, from 0, of each of the student's, in order.
    """
    if student <= 1:
        return [0] * student
    return [round(i * (teacher - 1) / (student - 1)) for i in range(student)]
