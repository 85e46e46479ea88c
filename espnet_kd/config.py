"""The ``kd_conf``: dataclasses and their validation. Nothing is built here.

Every problem is found before anything is loaded, and all are reported together.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from espnet_kd.errors import (
    ArgumentsError,
    ConfigError,
    KDError,
    Problem,
    join_path,
    suggest,
)
from espnet_kd.registry import NAME, Registry, import_plugins

TOP_KEYS = (
    "teachers",
    "targets",
    "task_weight",
    "losses",
    "schedule",
    "plugins",
)
VIEWS = ("clean", "same")


@dataclass(frozen=True)
class TeacherConfig:
    """Where a teacher is and what it hears.

    Attributes:
        exp: ESPnet experiment directory, packed zip, or model tag.
        file: Checkpoint inside ``exp``; None takes the one that training selected.
        view: ``clean`` features, or the ``same`` as the student (after SpecAugment).
    """

    exp: str
    file: str | None = None
    view: str = "clean"


@dataclass(frozen=True)
class LossTermConfig:
    """One loss term.

    Attributes:
        type: Registered name of the loss.
        weight: Multiplies the term; 0 observes it without training by it.
        name: Its name in the stats (``loss_kd_<name>``); the type unless given.
        options: Keyword arguments of the loss.
    """

    type: str
    weight: float
    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class ScheduleConfig:
    """How the terms' common weight develops.

    Attributes:
        warmup_steps: Updates over which it rises linearly from 0 to 1.
    """

    warmup_steps: int = 0


@dataclass(frozen=True)
class KDConfig:
    """A validated ``kd_conf``.

    Attributes:
        teachers: The teachers; empty when one is handed over in Python.
        losses: The terms, in order.
        task_weight: Multiplies the student's own loss.
        schedule: See ``ScheduleConfig``.
    """

    teachers: tuple[TeacherConfig, ...]
    losses: tuple[LossTermConfig, ...]
    task_weight: float = 1.0
    schedule: ScheduleConfig = ScheduleConfig()


def parse_config(
    raw: object,
    losses: Registry,
    *,
    teacher_given: bool = False,
    source: str = "kd_conf",
) -> KDConfig:
    """Validate a ``kd_conf`` mapping as read from YAML.

    Args:
        raw: The mapping.
        losses: Registry in which ``type`` is looked up, after plug-ins were imported.
        teacher_given: Whether a teacher is handed over, so that none need be named.
        source: What to call the configuration in messages.

    Raises:
        ConfigError: With every problem found, each with its path and remedy.
    """
    return _Parser(losses, teacher_given).parse(raw, source)


class _Parser:
    """Walks a raw ``kd_conf`` and remembers what is wrong with it."""

    def __init__(self, losses: Registry, teacher_given: bool) -> None:
        self.registry = losses
        self.teacher_given = teacher_given
        self.problems: list[Problem] = []

    def parse(self, raw: object, source: str) -> KDConfig:
        if not isinstance(raw, Mapping):
            self._add("", f"must be a mapping with {', '.join(TOP_KEYS)}; got {raw!r}")
            raise ConfigError(self.problems, source)
        self._unknown_keys("", raw, TOP_KEYS)
        plugins = self._list(raw, "plugins")
        self.problems += import_plugins(map(str, plugins))
        config = KDConfig(
            teachers=self._teachers(raw),
            losses=self._losses(raw),
            task_weight=self._number("task_weight", raw.get("task_weight", 1.0)),
            schedule=self._schedule(raw.get("schedule", {})),
        )
        self._targets(raw.get("targets", "live"))
        if self.problems:
            raise ConfigError(self.problems, source)
        return config

    def _teachers(self, raw: Mapping) -> tuple[TeacherConfig, ...]:
        teachers = self._list(raw, "teachers")
        if self.teacher_given and teachers:
            self._add("teachers", "a teacher was handed over as well; remove one")
        elif len(teachers) != 1 and not (self.teacher_given or self._is_known("teachers")):
            text = f"name exactly one teacher, '- exp: DIR'; got {len(teachers)}"
            self._add("teachers", text)
        items = (self._teacher(f"teachers[{i}]", t) for i, t in enumerate(teachers))
        return tuple(filter(None, items))

    def _teacher(self, path: str, raw: object) -> TeacherConfig | None:
        if not isinstance(raw, Mapping) or not raw.get("exp"):
            text = "needs 'exp': an experiment directory, a packed zip or a model tag"
            self._add(path, text)
            return None
        self._unknown_keys(path, raw, ("exp", "file", "view"))
        view = raw.get("view", "clean")
        if view not in VIEWS:
            self._add(f"{path}.view", f"got {view!r}; {suggest(str(view), VIEWS)}")
        file = raw.get("file")
        return TeacherConfig(str(raw["exp"]), None if file is None else str(file), view)

    def _losses(self, raw: Mapping) -> tuple[LossTermConfig, ...]:
        items = self._list(raw, "losses")
        if not items and not self._is_known("losses"):
            text = f"name at least one loss; known: {', '.join(self.registry.names())}"
            self._add("losses", text)
        terms = [self._loss(f"losses[{i}]", term) for i, term in enumerate(items)]
        self._double_names(terms)
        return tuple(term for term in terms if term is not None)

    def _loss(self, path: str, raw: object) -> LossTermConfig | None:
        if not isinstance(raw, Mapping) or "type" not in raw:
            names = ", ".join(self.registry.names())
            self._add(path, f"needs 'type', one of: {names}")
            return None
        options = dict(raw)
        kind, weight = str(options.pop("type")), options.pop("weight", None)
        name = str(options.pop("name", kind))
        if weight is None:
            self._add(f"{path}.weight", "is missing; a weight has no default")
        else:
            self._number(f"{path}.weight", weight)
        if not NAME.fullmatch(name):
            self._add(f"{path}.name", f"{name!r} must match [a-z][a-z0-9_]*")
        self._options(path, kind, options)
        return LossTermConfig(kind, weight, name, options)

    def _options(self, path: str, kind: str, options: Mapping) -> None:
        """Bind the options to the constructor, which is their schema, and try it."""
        try:
            loss = self.registry.get(kind)
        except KDError as error:
            self._add(f"{path}.type", str(error))
            return
        parameters = inspect.signature(loss).parameters
        known = self._unknown_keys(path, options, tuple(parameters))
        missing = [
            name
            for name, parameter in parameters.items()
            if parameter.default is parameter.empty and name not in options
        ]
        for name in missing:
            self._add(f"{path}.{name}", f"is missing; '{kind}' cannot do without it")
        if known and not missing:
            self._try(path, loss, options)

    def _try(self, path: str, loss: type, options: Mapping) -> None:
        try:
            loss(**options)
        except ArgumentsError as error:
            self.problems += [problem.under(path) for problem in error.problems]

    def _double_names(self, terms: list[LossTermConfig | None]) -> None:
        seen: dict[str, int] = {}
        for index, term in enumerate(terms):
            if term is not None and term.name in seen:
                text = (
                    f"'{term.name}' is also losses[{seen[term.name]}]; give one of "
                    "them a 'name' of its own, for its stats"
                )
                self._add(f"losses[{index}].name", text)
            elif term is not None:
                seen[term.name] = index

    def _schedule(self, raw: object) -> ScheduleConfig:
        if not isinstance(raw, Mapping):
            self._add("schedule", f"must be a mapping with warmup_steps, got {raw!r}")
            return ScheduleConfig()
        self._unknown_keys("schedule", raw, ("warmup_steps",))
        steps = raw.get("warmup_steps", 0)
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            text = f"must be a whole number of updates of at least 0, got {steps!r}"
            self._add("schedule.warmup_steps", text)
            return ScheduleConfig()
        return ScheduleConfig(steps)

    def _targets(self, targets: object) -> None:
        if targets != "live":
            text = f"only 'live' targets exist in this version, got {targets!r}"
            self._add("targets", text)

    def _number(self, path: str, value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # 'not >=' rather than '<', so that nan is refused as well
        if not is_number or not 0 <= value < float("inf"):
            self._add(path, f"must be a finite number of at least 0, got {value!r}")
            return 0.0
        return float(value)

    def _list(self, raw: Mapping, key: str) -> list:
        value = raw.get(key) or []
        if isinstance(value, str) or not isinstance(value, list | tuple):
            self._add(key, f"must be a list, got {value!r}")
            return []
        return list(value)

    def _is_known(self, path: str) -> bool:
        """Whether a problem at this path was found already."""
        return any(problem.path == path for problem in self.problems)

    def _unknown_keys(self, path: str, raw: Mapping, known: tuple[str, ...]) -> bool:
        unknown = [key for key in raw if key not in known]
        for key in unknown:
            self._add(join_path(path, str(key)), f"unknown key; {suggest(key, known)}")
        return not unknown

    def _add(self, path: str, text: str) -> None:
        self.problems.append(Problem(path, text))
