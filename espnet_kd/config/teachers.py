"""Read ``teachers``: who teaches, and what may be said of each kind of teacher."""

from collections.abc import Mapping

from espnet_kd.config.check import Check, unspaced
from espnet_kd.config.options import check_value
from espnet_kd.config.schema import Precision, TeacherConfig, View, WhenMissing
from espnet_kd.config.sections import read_schedule
from espnet_kd.registry import NAME

# What a teacher may be, and what may be said of each kind.
HEARS = ("view", "hears", "when_missing", "every", "precision")
KEYS = {
    "exp": ("exp", "file", "weight", "schedule", "name", "codebooks", "token_map", *HEARS),
    "lm": ("lm", "file", "weight", "schedule"),
    "ema": ("ema", "weight", "schedule", "name", *HEARS),
}
BY_WER = "wer"


def read_teachers(check: Check, raw: object) -> tuple[TeacherConfig, ...]:
    """Read the list of teachers; those that something is wrong with are left out."""
    items = enumerate(check.sequence("teachers", raw))
    read = [_read_teacher(check.at(f"teachers[{i}]"), item) for i, item in items]
    found = tuple(teacher for teacher in read if teacher is not None)
    _check_several(check, found)
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
    if teachers and teachers[0].name:
        text = "tells taps which of several teachers is meant, and this one is alone;"
        check.at("teachers[0]").add("name", f"{text} remove it")
    if teachers and teachers[0].schedule is not None:
        text = "says how the share of one of several teachers develops, and this one is"
        text += " alone; give the losses a 'schedule', and remove it"
        check.at("teachers[0]").add("schedule", text)
    if teachers and teachers[0].weight != 1.0:
        text = "counts among several teachers, and this one is alone; how much is learned"
        text += " from it is the 'weight' of each loss. Remove it"
        check.at("teachers[0]").add("weight", text)


def check_beside_cache(check: Check, teachers: tuple[TeacherConfig, ...]) -> None:
    """Refuse what cached targets would pass over in silence."""
    is_named = any(teacher.exp for teacher in teachers)
    for index, teacher in enumerate(teachers):
        below = check.at(f"teachers[{index}]")
        if teacher.ema is not None and is_named:
            continue  # it is live, beside those whose targets are read
        if teacher.ema is not None:
            text = "is the student's own average, which no cache holds; remove it, or"
            below.add("ema", f"{text} learn from it by 'targets: live'")
        elif teacher.view == "same":
            text = "is 'same', but cached targets are of clean features, whatever the"
            below.add("view", f"{text} student hears; remove it, or use 'targets: live'")
        elif teacher.skips:
            text = "is 'skip', and a cache has targets of every utterance; remove it, or"
            below.add("when_missing", f"{text} use 'targets: live'")
        elif teacher.every > 1:
            text = f"is {teacher.every}, and cached targets cost next to nothing; remove"
            below.add("every", f"{text} it, or use 'targets: live'")
        elif teacher.precision != "float32":
            text = f"is '{teacher.precision}', and the teacher of cached targets does not"
            below.add("precision", f"{text} compute; remove it, or use 'targets: live'")
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
        name=_read_name(check, given),
        when_missing=_read_when_missing(check, given),
        every=check.at_least("every", given.get("every", 1), 1),
        precision=_read_precision(check, given),
        schedule=read_schedule(check, given["schedule"]) if "schedule" in given else None,
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


def _read_when_missing(check: Check, given: Mapping[str, object]) -> WhenMissing:
    when = given.get("when_missing", "error")
    check_value(check, "when_missing", when, WhenMissing)
    if "when_missing" in given and given.get("hears") in (None, "speech"):
        text = "is of a teacher that hears another stream than the student; add 'hears' or"
        check.add("when_missing", f"{text} remove it")
    return "skip" if when == "skip" else "error"


def _read_precision(check: Check, given: Mapping[str, object]) -> Precision:
    precision = given.get("precision", "float32")
    check_value(check, "precision", precision, Precision)
    return "bfloat16" if precision == "bfloat16" else "float32"


def _read_name(check: Check, given: Mapping[str, object]) -> str:
    """What taps call a teacher."""
    name = given.get("name")
    if name is None:
        return ""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == "attn":
        check.add("name", f"{name!r} must match [a-z][a-z0-9_]*, and not be 'attn'")
        return ""
    return name


def _check_several(check: Check, teachers: tuple[TeacherConfig, ...]) -> None:
    """Names that differ, and weights of which the first teacher has one."""
    if len(teachers) > 1 and (rare := [t for t in teachers if t.every > 1]):
        text = f"is {rare[0].every}, and several teachers answer as one in every batch;"
        check.at(f"teachers[{teachers.index(rare[0])}]").add("every", f"{text} remove it")
    names = [teacher.name for teacher in teachers if teacher.name]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        check.add("teachers", f"two are named '{twice[0]}'; give each a name of its own")
    if sum(teacher.ema is not None for teacher in teachers) > 1:
        check.add("teachers", "the student has one average, and 'ema' is there twice")
    weighed = [teacher for teacher in teachers if teacher.weight]
    lasting = [t for t in weighed if t.schedule is None or t.schedule.last]
    if len(teachers) > 1 and weighed and not lasting:
        text = "every share falls to 0 by its 'schedule', so that nobody teaches in the end"
        check.add("teachers", f"{text}; let one stay")
    heard = [teacher for teacher in teachers if not teacher.lm]
    if len(teachers) > 1 and heard and heard[0].weight == 0:
        text = "the first one's 'weight' is 0, and lattices, hypotheses and what taps"
        check.add("teachers", f"{text} without a name are the first one's; reorder them")


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
    if not number and not given.get("name") and not check.has("weight"):
        text = "is 0: leave the teacher out, or give it a 'name' by which hidden losses"
        check.add("weight", f"{text} tap it")
    return number
