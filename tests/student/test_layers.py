"""Which layers of the teacher a student's are made of."""

import pytest

from espnet_kd.errors import KDError
from espnet_kd.student.layers import layer_map


@pytest.mark.parametrize(
    ("how", "student", "teacher", "expected"),
    [
        ("uniform", 6, 12, [0, 2, 4, 7, 9, 11]),
        ("uniform", 3, 3, [0, 1, 2]),
        ("uniform", 2, 6, [0, 5]),
        ("uniform", 1, 6, [0]),
        ("first", 3, 6, [0, 1, 2]),
        ("last", 3, 6, [3, 4, 5]),
        ("0,0,5", 3, 6, [0, 0, 5]),
    ],
)
def test_maps(how, student, teacher, expected):
    assert layer_map(how, student, teacher, "encoder") == expected


@pytest.mark.parametrize(
    ("how", "student", "teacher", "text"),
    [
        ("uniform", 4, 2, r"has 4 layers and the teacher's 2.*--encoder_layers 0,0,1,1"),
        ("middle", 2, 6, "'middle': uniform, first, last, or indices"),
        ("0,6", 2, 6, "names layer 6, and the teacher's encoder has 6: 0 to 5"),
        ("0,1,2", 2, 6, "names 3 layers.*has 2; the nearest that works: 0,5"),
    ],
)
def test_maps_that_cannot_be(how, student, teacher, text):
    with pytest.raises(KDError, match=text):
        layer_map(how, student, teacher, "encoder")
