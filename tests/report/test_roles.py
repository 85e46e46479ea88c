"""The parts that models play: named, ordered, coloured, refused."""

from espnet_kd.report.roles import (
    COLOURS,
    colours_of,
    has_of_teacher,
    in_order,
    is_role,
    title_of,
)


def test_roles_are_told_apart_by_colour_and_refused_if_unknown():
    roles = ["distilled:b", "control", "distilled", "distilled:a", "teacher", "parameters"]
    colours = colours_of(roles)
    students = ["control", "parameters", "distilled:b", "distilled:a", "distilled"]
    assert list(colours) == ["teacher", *students]
    assert len(set(colours.values())) == 6
    assert colours_of(f"distilled:{n}" for n in range(20)).keys() > {"distilled:19"}
    assert all(map(is_role, roles))
    assert not any(map(is_role, ("student", "control:a", "distilled:", "")))


def test_titles_and_kinds():
    assert title_of("control") == "student, alone"
    assert title_of("distilled:begun") == "student, distilled (begun)"
    assert title_of("parameters") == "student, teacher's parameters"
    assert not any(map(has_of_teacher, ("teacher", "control")))
    assert all(map(has_of_teacher, ("parameters", "distilled", "distilled:x")))


def test_a_role_comes_once_and_the_named_students_before_the_recipes_own():
    roles = ["distilled", "distilled:b", "teacher", "distilled:b", "distilled:a"]
    assert in_order(roles) == ["teacher", "distilled:b", "distilled:a", "distilled"]
    assert colours_of(["control", "teacher"]) == {
        r: COLOURS[r] for r in ("teacher", "control")
    }
