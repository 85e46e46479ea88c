"""Check a raw ``kd_conf`` and turn it into its dataclasses.

Every problem is found before anything is loaded, and all are reported together.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from espnet_kd.config.check import Check
from espnet_kd.config.options import check_options, options_of
from espnet_kd.config.schema import KDConfig
from espnet_kd.config.sections import read_gradients, read_prune, read_schedule
from espnet_kd.config.teachers import (
    check_alone,
    check_beside_cache,
    check_presence,
    read_teachers,
)
from espnet_kd.config.terms import TermReader
from espnet_kd.errors import ConfigError
from espnet_kd.registry import Registry, import_plugins

KEYS = (*(f.name for f in fields(KDConfig) if f.name != "source"), "plugins")
# Settings that are one value each.
PLAIN = ("task_weight", "combine", "diagnostics", "quantize")
LIVE = "live"


def parse_config(
    raw: object,
    losses: Registry[Any],
    *,
    teacher_given: bool = False,
    source: str | None = None,
) -> KDConfig:
    """Validate a ``kd_conf`` mapping as read from YAML.

    Args:
        raw: The mapping.
        losses: Registry in which ``type`` is looked up, after plug-ins were imported.
        teacher_given: Whether a teacher is handed over, so that none need be named.
        source: What to call the configuration in messages; None for the ``source`` that
            a ``NamedConf`` remembers, or ``kd_conf``.

    Raises:
        ConfigError: With every problem found, each with its path and remedy.
    """
    check = Check()
    source = source or str(getattr(raw, "source", "kd_conf"))
    given = check.mapping("", raw, KEYS)
    config = None if given is None else _read(check, given, losses, teacher_given, source)
    if config is None or check.problems:
        raise ConfigError(check.problems, source)
    return config


def _read(
    check: Check,
    raw: Mapping[str, Any],
    losses: Registry[Any],
    teacher_given: bool,
    source: str,
) -> KDConfig:
    check.problems += import_plugins(
        map(str, check.sequence("plugins", raw.get("plugins")))
    )
    check_options(check, options_of(KDConfig), raw)
    plain = {name: raw[name] for name in PLAIN if name in raw}
    terms = TermReader(check, losses)
    config = KDConfig(
        losses=terms.read(raw.get("losses")),
        teachers=read_teachers(check, raw.get("teachers")),
        schedule=read_schedule(check, raw.get("schedule", {})),
        gradients=read_gradients(check, raw.get("gradients", {})),
        targets=_read_targets(check, raw.get("targets", LIVE)),
        prune=read_prune(check, raw.get("prune")),
        source=source,
        **plain,
    )
    check_presence(
        check,
        raw.get("teachers"),
        given=teacher_given,
        needed=terms.reads_teacher,
        cached=bool(config.targets) or check.has("targets"),
    )
    if config.targets and teacher_given:
        check.add("targets", "a teacher was handed over as well; remove one")
    elif config.targets and not terms.reads_teacher:
        check.add("targets", "none of the losses reads a teacher; remove it")
    # Of caches that no teacher is named for, only opening tells how many wrote them.
    if not check.problems and (config.teachers or not config.targets):
        check_alone(check, config.teachers, combined=config.combine != KDConfig.combine)
    _check_together(check, config)
    return config


def _check_together(check: Check, config: KDConfig) -> None:
    """Refuse what one setting would make of no effect in another."""
    if config.targets:
        check_beside_cache(check, config.teachers)
    if config.gradients.every and any(teacher.every > 1 for teacher in config.teachers):
        text = "measures in updates of its own, in which a teacher with 'every' may not be"
        check.add("gradients.every", f"{text} asked; remove one of the two")
    if config.gradients.balance and not config.task_weight and not check.problems:
        text = "weighs the terms by the gradient of the task's loss, and 'task_weight: 0'"
        check.add("gradients.balance", f"{text} leaves it none; remove one of the two")
    lasting = [t.weight * (t.schedule or config.schedule).last for t in config.losses]
    ends = config.losses and all(t.until for t in config.losses if t.weight)
    if not config.task_weight and ends and not check.problems:
        text = "is 0, and every term may end by its 'until': nothing would be learned"
        check.add("task_weight", f"{text} then; give it or a term a weight that stays")
    if not config.task_weight and not any(lasting) and not check.problems:
        text = "is 0, and so is every term at the end of its schedule: nothing would be"
        check.add("task_weight", f"{text} learned; give it or a term a weight that stays")


def _read_targets(check: Check, targets: object) -> tuple[str, ...]:
    if targets == LIVE:
        return ()
    listed = [targets] if isinstance(targets, str) else targets
    if not isinstance(listed, list | tuple) or not all(
        isinstance(path, str) and path for path in listed
    ):
        text = f"must be 'live', a cache directory or a list of them, got {targets!r}"
        check.add("targets", text)
        return ()
    return tuple(listed)
