"""Check a raw ``kd_conf`` and turn it into its dataclasses.

Every problem is found before anything is loaded, and all are reported together.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from espnet_kd.config.schema import KDConfig, LossTermConfig, TeacherConfig
from espnet_kd.config.sections import SectionReader
from espnet_kd.errors import ArgumentsError, ConfigError, KDError
from espnet_kd.registry import NAME, Registry, import_plugins

TOP_KEYS = (
    "teachers",
    "combine",
    "targets",
    "task_weight",
    "losses",
    "schedule",
    "gradients",
    "diagnostics",
    "quantize",
    "prune",
    "plugins",
)
# What a teacher may be, and what may be said of each kind.
TEACHER_KEYS = {
    "exp": ("exp", "file", "view", "weight"),
    "lm": ("lm", "file", "weight"),
    "ema": ("ema", "view"),
}
BY_WER = "wer"
VIEWS = ("clean", "same")
COMBINATIONS = ("mean", "log_mean", "confidence", "draw")
ROUNDINGS = ("none", "int8")


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


class _Parser(SectionReader):
    """Walks a raw ``kd_conf`` and remembers what is wrong with it."""

    def __init__(self, losses: Registry, teacher_given: bool) -> None:
        super().__init__()
        self.registry = losses
        self.teacher_given = teacher_given
        # Whether each loss that could be built reads a teacher.
        self.reads_teacher: list[bool] = []

    def parse(self, raw: object, source: str) -> KDConfig:
        if not isinstance(raw, Mapping):
            self._add("", f"must be a mapping with {', '.join(TOP_KEYS)}; got {raw!r}")
            raise ConfigError(self.problems, source)
        self._unknown_keys("", raw, TOP_KEYS)
        plugins = self._list(raw, "plugins")
        self.problems += import_plugins(map(str, plugins))
        losses = self._losses(raw)
        config = KDConfig(
            teachers=self._teachers(raw),
            losses=losses,
            task_weight=self._number("task_weight", raw.get("task_weight", 1.0)),
            schedule=self._schedule("schedule", raw.get("schedule", {})),
            gradients=self._gradients(raw.get("gradients", {})),
            diagnostics=self._flag("diagnostics", raw.get("diagnostics", True)),
            targets=self._targets(raw.get("targets", "live")),
            combine=self._choice("combine", raw.get("combine", "mean"), COMBINATIONS),
            quantize=self._choice("quantize", raw.get("quantize", "none"), ROUNDINGS),
            prune=self._prune(raw.get("prune")),
        )
        if self.problems:
            raise ConfigError(self.problems, source)
        return config

    def _teachers(self, raw: Mapping) -> tuple[TeacherConfig, ...]:
        teachers = self._list(raw, "teachers")
        needless = bool(self.reads_teacher) and not any(self.reads_teacher)
        if self.teacher_given and teachers:
            self._add("teachers", "a teacher was handed over as well; remove one")
        elif needless and teachers:
            self._add("teachers", "none of the losses reads a teacher; remove it")
        elif self.teacher_given or needless or self._is_known("teachers"):
            pass
        elif not teachers and raw.get("targets", "live") != "live":
            pass  # the cache knows who wrote it
        elif not teachers:
            self._add("teachers", "name at least one teacher, '- exp: DIR'")
        items = (self._teacher(f"teachers[{i}]", t) for i, t in enumerate(teachers))
        found = tuple(filter(None, items))
        if len(found) > 1 and any(teacher.ema is not None for teacher in found):
            self._add("teachers", "'ema' stands alone; it cannot be one of several")
        return found

    def _teacher(self, path: str, raw: object) -> TeacherConfig | None:
        given = raw if isinstance(raw, Mapping) else {}
        kinds = [kind for kind in TEACHER_KEYS if given.get(kind) is not None]
        if len(kinds) != 1 or not given[kinds[0]]:
            text = "needs 'exp': an experiment directory, a packed zip or a model tag"
            text += "; or 'lm': the same of a language model"
            self._add(path, f"{text}; or 'ema': a decay, for the student's own average")
            return None
        self._unknown_keys(path, given, TEACHER_KEYS[kinds[0]])
        view = self._choice(f"{path}.view", given.get("view", "clean"), VIEWS)
        ema = given.get("ema")
        if ema is not None and not 0 < self._number(f"{path}.ema", ema) < 1:
            self._add(f"{path}.ema", f"must be between 0 and 1 (0.999), got {ema!r}")
        file = given.get("file")
        return TeacherConfig(
            exp=str(given.get("exp", "")),
            file=None if file is None else str(file),
            view=view,
            ema=ema,
            weight=self._teacher_weight(f"{path}.weight", given),
            lm=str(given.get("lm", "")),
        )

    def _teacher_weight(self, path: str, given: Mapping) -> float | str:
        weight = given.get("weight", 1.0)
        if weight == BY_WER and "exp" in given:
            return weight
        if isinstance(weight, str):
            self._add(path, f"must be a number, or '{BY_WER}' with 'exp'; got {weight!r}")
            return 1.0
        weight = self._number(path, weight)
        if not weight and not self._is_known(path):
            self._add(path, "is 0: leave the teacher out")
        return weight

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
        confidence = self._number(f"{path}.confidence", options.pop("confidence", 0))
        schedule = options.pop("schedule", None)
        if schedule is not None:
            schedule = self._schedule(f"{path}.schedule", schedule)
        if weight is None:
            self._add(f"{path}.weight", "is missing; a weight has no default")
        else:
            self._number(f"{path}.weight", weight)
        if not NAME.fullmatch(name):
            self._add(f"{path}.name", f"{name!r} must match [a-z][a-z0-9_]*")
        loss = self._options(path, kind, options)
        if confidence and loss is not None:
            self._confidence(path, kind, loss)
        return LossTermConfig(kind, weight, name, options, confidence, schedule)

    def _confidence(self, path: str, kind: str, loss: Any) -> None:
        """Weights by confidence want utterances, and posteriors to be confident about."""
        needs = loss.needs()
        if not loss.per_utterance or not needs.teacher:
            text = f"'{kind}' compares utterances or views to one another; remove it"
            self._add(f"{path}.confidence", text)

    def _options(self, path: str, kind: str, options: Mapping) -> Any:
        """Bind the options to the constructor, which is their schema, and try it."""
        try:
            loss = self.registry.get(kind)
        except KDError as error:
            self._add(f"{path}.type", str(error))
            return None
        parameters = inspect.signature(loss).parameters
        known = self._unknown_keys(path, options, tuple(parameters))
        missing = [
            name
            for name, parameter in parameters.items()
            if parameter.default is parameter.empty and name not in options
        ]
        for name in missing:
            self._add(f"{path}.{name}", f"is missing; '{kind}' cannot do without it")
        return self._try(path, loss, options) if known and not missing else None

    def _try(self, path: str, loss: type, options: Mapping) -> Any:
        try:
            built = loss(**options)
        except ArgumentsError as error:
            self.problems += [problem.under(path) for problem in error.problems]
            return None
        self.reads_teacher.append(built.needs().teacher)
        return built

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

    def _targets(self, targets: object) -> tuple[str, ...]:
        if targets == "live":
            return ()
        listed = [targets] if isinstance(targets, str) else targets
        if not isinstance(listed, list | tuple) or not all(
            isinstance(path, str) and path for path in listed
        ):
            text = f"must be 'live', a cache directory or a list of them, got {targets!r}"
            self._add("targets", text)
            return ()
        if self.teacher_given:
            self._add("targets", "a teacher was handed over as well; remove one")
        return tuple(listed)
