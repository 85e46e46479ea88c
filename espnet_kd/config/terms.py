"""Read ``losses``: the terms, each by the constructor of its loss, which is its schema."""

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, Protocol

from espnet_kd.config.check import Check
from espnet_kd.config.options import check_value
from espnet_kd.config.schema import PATIENCE, LossTermConfig, ScheduleConfig, Until
from espnet_kd.config.sections import read_schedule
from espnet_kd.errors import ArgumentsError, KDError
from espnet_kd.registry import NAME, Registry


class Reads(Protocol):
    """What a loss says that it reads, as far as a configuration is concerned."""

    @property
    def teacher(self) -> bool:
        """Whether it reads a teacher."""

    @property
    def two_views(self) -> bool:
        """Whether it needs the batch twice in one pass, augmented differently."""

    @property
    def two_modes(self) -> bool:
        """Whether it needs the batch twice in one pass, in blocks and in full context."""


class Loss(Protocol):
    """What a configuration knows of a loss."""

    @property
    def per_utterance(self) -> bool:
        """Whether its value is a sum over utterances, which may be weighed."""

    def needs(self) -> Reads:
        """What it reads."""


class TermReader:
    """Reads the terms, and builds each loss once to try its options.

    Args:
        check: Where problems go.
        registry: The losses by name.

    Attributes:
        built: The losses that could be built.
    """

    def __init__(self, check: Check, registry: Registry[Any]) -> None:
        self.check = check
        self.registry = registry
        self.built: list[Loss] = []

    @property
    def reads_teacher(self) -> bool:
        """Whether a loss reads a teacher; so one may that could not be built."""
        return not self.built or any(loss.needs().teacher for loss in self.built)

    def read(self, raw: object) -> tuple[LossTermConfig, ...]:
        """Read the list of terms; what is no term at all is left out."""
        items = self.check.sequence("losses", raw)
        if not items and not self.check.has("losses"):
            text = f"name at least one loss; known: {', '.join(self.registry.names())}"
            self.check.add("losses", text)
        terms = [
            self._term(self.check.at(f"losses[{i}]"), item) for i, item in enumerate(items)
        ]
        _check_names(self.check, terms)
        return tuple(term for term in terms if term is not None)

    def _term(self, check: Check, raw: object) -> LossTermConfig | None:
        if not isinstance(raw, Mapping) or "type" not in raw:
            check.add("", f"needs 'type', one of: {', '.join(self.registry.names())}")
            return None
        options = dict(raw)
        kind, weight = str(options.pop("type")), options.pop("weight", None)
        name = str(options.pop("name", kind))
        confidence = check.not_negative("confidence", options.pop("confidence", 0))
        schedule = _schedule(check, options.pop("schedule", None))
        until, patience = _until(check, options, weight)
        if weight is None:
            check.add("weight", "is missing; a weight has no default")
        else:
            weight = check.not_negative("weight", weight)
        if not NAME.fullmatch(name):
            check.add("name", f"{name!r} must match [a-z][a-z0-9_]*")
        loss = self._build(check, kind, options)
        if confidence and loss is not None:
            _check_confidence(check, kind, loss)
        if until and loss is not None and _doubles(loss):
            text = f"reads the term's value in validations, where '{kind}' has none;"
            check.add("until", f"{text} remove it")
        if weight == 0 and loss is not None and _doubles(loss):
            text = f"is 0, and '{kind}' needs every batch twice: it cannot be watched only"
            check.add("weight", f"{text}; give it a weight, or remove the term")
        said = (confidence, schedule, until, patience)
        return LossTermConfig(kind, weight or 0.0, name, options, *said)

    def _build(self, check: Check, kind: str, options: Mapping[str, Any]) -> Loss | None:
        """Bind the options to the constructor, and try it."""
        try:
            loss = self.registry.get(kind)
        except KDError as error:
            check.add("type", str(error))
            return None
        if not _binds(check, kind, loss, options):
            return None
        try:
            built: Loss = loss(**options)
            built.needs()
        except KDError as error:
            check.add("", str(error))
            return None
        except ArgumentsError as error:
            check.problems += [problem.under(check.path) for problem in error.problems]
            return None
        except (TypeError, ValueError) as error:  # of a loss that checks in its own way
            check.add("", f"'{kind}' cannot be built: {error}")
            return None
        self.built.append(built)
        return built


def _doubles(loss: Loss) -> bool:
    """Whether it needs the batch twice in one pass."""
    return loss.needs().two_views or loss.needs().two_modes


def _schedule(check: Check, raw: object) -> ScheduleConfig | None:
    return None if raw is None else read_schedule(check, raw)


def _until(check: Check, options: dict[str, Any], weight: object) -> tuple[str, int]:
    """When a term ends, taken out of its options."""
    until, patience = options.pop("until", None), options.pop("patience", None)
    if until is not None:
        check_value(check, "until", until, Until)
        if weight == 0:
            text = "ends a term that trains, and this one's 'weight' is 0; remove it"
            check.add("until", text)
    elif patience is not None:
        check.add("patience", "belongs to 'until: no_gain'; add that, or remove it")
    if patience is not None:
        patience = check.at_least("patience", patience, 1, "validations")
    return str(until or ""), PATIENCE if patience is None else patience


def _binds(
    check: Check, kind: str, loss: Callable[..., object], options: Mapping[str, Any]
) -> bool:
    """Whether the constructor knows every option and misses none."""
    parameters = inspect.signature(loss).parameters.values()
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
    unnamed = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
    named = [p for p in parameters if p.kind not in unnamed]
    known = takes_any or check.keys(options, [p.name for p in named])
    missing = [
        p.name for p in named if p.default is Parameter.empty and p.name not in options
    ]
    for name in missing:
        check.add(name, f"is missing; '{kind}' cannot do without it")
    return known and not missing


def _check_confidence(check: Check, kind: str, loss: Loss) -> None:
    """Weights by confidence want utterances, and posteriors to be confident about."""
    if not loss.per_utterance or not loss.needs().teacher:
        text = f"'{kind}' compares utterances or views to one another; remove it"
        check.add("confidence", text)


def _check_names(check: Check, terms: list[LossTermConfig | None]) -> None:
    seen: dict[str, int] = {}
    for index, term in enumerate(terms):
        if term is not None and term.name in seen:
            text = (
                f"'{term.name}' is also losses[{seen[term.name]}]; give one of "
                "them a 'name' of its own, for its stats"
            )
            check.add(f"losses[{index}].name", text)
        elif term is not None:
            seen[term.name] = index
