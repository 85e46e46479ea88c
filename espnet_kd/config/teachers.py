"""Read ``teachers``: who teaches, and what may be said of each kind of teacher."""

from collections.abc import Mapping

from espnet_kd.config.check import Check, unspaced
from espnet_kd.config.options import check_value
from espnet_kd.config.schema import TeacherConfig, View

# What a teacher may be, and what may be said of each kind.
KEYS = {
    "exp": ("exp", "file", "view", "weight", "hears", "codebooks", "token_map"),
    "lm": ("lm", "file", "weight"),
    "ema": ("ema", "view", "hears"),
}
BY_WER = "wer"


def read_teachers(check: Check, raw: object) -> tuple[TeacherConfig, ...]:
    """Read the list of teachers; those that something is wrong with are left out."""
    items = enumerate(check.sequence("teachers", raw))
    read = [_read_teacher(check.at(f"teachers[{i}]"), item) for i, item in items]
    found = tuple(teacher for teacher in read if teacher is not None)
    if len(found) > 1 and any(teacher.ema is not None for teacher in found):
        check.add("teachers", "'ema' stands alone; it cannot be one of several")
    return found


def check_presence(
    check: Check, raw: object, *, given: bool, needed: bool, cached: bool
) -> None:
    """Require teachers to be named where somebody has to teach, and nowhere else.

    Args:
        check: Where problems go.
        raw: The list of teachers as the user wrote it.
        given: Whether a teacher was handed over in Python.
        needed: Whether a loss reads a teacher.
        cached: Whether there are cached targets, which know who wrote them.
    """
    if given and raw:
        check.add("teachers", "a teacher was handed over as well; remove one")
    elif raw and not needed:
        check.add("teachers", "none of the losses reads a teacher; remove it")
    elif not raw and needed and not given and not cached and not check.has("teachers"):
        check.add("teachers", "name at least one teacher, '- exp: DIR'")


def check_alone(
    check: Check, teachers: tuple[TeacherConfig, ...], *, combined: bool
) -> None:
    """Refuse what is said of several teachers where there are not several.

    Args:
        check: Where problems go.
        teachers: Those that are named.
        combined: Whether it is said how they become one.
    """
    if len(teachers) > 1:
        return
    if combined:
        text = "says how several teachers become one, and there are not several; remove it"
        check.add("combine", text)
    if teachers and teachers[0].weight != 1.0:
        text = "counts among several teachers, and this one is alone; how much is learned"
        text += " from it is the 'weight' of each loss. Remove it"
        check.at("teachers[0]").add("weight", text)


def check_beside_cache(check: Check, teachers: tuple[TeacherConfig, ...]) -> None:
    """Refuse what cached targets would pass over in silence."""
    for index, teacher in enumerate(teachers):
        below = check.at(f"teachers[{index}]")
        if teacher.ema is not None:
            text = "is the student's own average, which no cache holds; remove it, or"
            below.add("ema", f"{text} learn from it by 'targets: live'")
        elif teacher.view == "same":
            text = "is 'same', but cached targets are of clean features, whatever the"
            below.add("view", f"{text} student hears; remove it, or use 'targets: live'")
        elif teacher.hears:
            text = "is what a live teacher gets, and cached targets are of what"
            text += " cache_teacher was given as speech; remove it"
            below.add("hears", f"{text}, or use 'targets: live'")
        elif teacher.codebooks:
            text = "are of a live teacher, and cached targets hold indices already; remove"
            below.add("codebooks", f"{text} them, or use 'targets: live'")


def _read_teacher(check: Check, raw: object) -> TeacherConfig | None:
    given = raw if isinstance(raw, Mapping) else {}
    kinds = [kind for kind in KEYS if given.get(kind) is not None]
    if len(kinds) != 1 or not given[kinds[0]]:
        _say_what_is_needed(check, given)
        return None
    check.keys(given, KEYS[kinds[0]])
    view = given.get("view", "clean")
    check_value(check, "view", view, View)
    ema, file = given.get("ema"), given.get("file")
    return TeacherConfig(
        exp=str(given.get("exp", "")),
        file=None if file is None else str(file),
        view="same" if view == "same" else "clean",
        ema=None if ema is None else check.between("ema", ema, 0, 1),
        weight=_read_weight(check, given),
        lm=str(given.get("lm", "")),
        hears=_read_stream(check, given),
        codebooks=_read_files(check, "codebooks", given.get("codebooks", ())),
        token_map=_read_file(check, "token_map", given.get("token_map")),
    )


def _read_stream(check: Check, given: Mapping[str, object]) -> str:
    """The name of what a teacher hears."""
    name = given.get("hears")
    if name is None or name == "speech":
        return ""
    if not isinstance(name, str) or not name.isidentifier():
        check.add("hears", f"must be the name of a stream of the data; got {name!r}")
        return ""
    if given.get("view") == "same":
        check.add("hears", "is another stream, and 'view: same' the student's; remove one")
    return name


def _read_file(check: Check, name: str, given: object) -> str:
    """The name of a file, if there is one."""
    if given is None or (isinstance(given, str) and given):
        return given or ""
    check.add(name, f"must be a file, got {given!r}")
    return ""


def _read_files(check: Check, name: str, given: object) -> tuple[str, ...]:
    """The name of a file, or a list of such names."""
    listed = [given] if isinstance(given, str) else given
    if isinstance(listed, list | tuple) and all(isinstance(f, str) and f for f in listed):
        return tuple(listed)
    check.add(name, f"must be a file or a list of files, got {given!r}")
    return ()


def _say_what_is_needed(check: Check, given: Mapping[str, object]) -> None:
    unread = [key for key in given if unspaced(key, KEYS)]
    if unread:
        check.keys(dict.fromkeys(unread), KEYS)
        return
    text = "needs 'exp': an experiment directory, a packed zip or a model tag"
    text += "; or 'lm': the same of a language model"
    check.add("", f"{text}; or 'ema': a decay, for the student's own average")


def _read_weight(check: Check, given: Mapping[str, object]) -> float | str:
    weight = given.get("weight", 1.0)
    if weight == BY_WER and "exp" in given:
        return BY_WER
    if isinstance(weight, str):
        text = f"must be a number, or '{BY_WER}' with 'exp'; got {weight!r}"
        check.add("weight", text)
        return 1.0
    number = check.not_negative("weight", weight)
    if not number and not check.has("weight"):
        check.add("weight", "is 0: leave the teacher out")
    return number
