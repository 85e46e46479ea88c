"""Read the sections of a raw configuration that are numbers and choices alone."""

from collections.abc import Mapping
from dataclasses import fields

from espnet_kd.config.schema import GradientConfig, PruneConfig, ScheduleConfig
from espnet_kd.config.values import ValueReader

DECAYS = ("none", "linear", "cosine")
STRUCTURES = ("weights", "units")
IMPORTANCES = ("magnitude", "taylor")
SCOPES = ("global", "layer")
PRUNE_KEYS = tuple(field.name for field in fields(PruneConfig))


class SectionReader(ValueReader):
    """Reads ``schedule``, ``gradients`` and ``prune``."""

    def _schedule(self, path: str, raw: object) -> ScheduleConfig:
        keys = ("warmup_steps", "decay", "decay_steps", "final")
        if not isinstance(raw, Mapping):
            self._add(path, f"must be a mapping with {', '.join(keys)}, got {raw!r}")
            return ScheduleConfig()
        self._unknown_keys(path, raw, keys)
        decay = self._choice(f"{path}.decay", raw.get("decay", "none"), DECAYS)
        warmup = self._steps(path, raw, "warmup_steps")
        fall = self._steps(path, raw, "decay_steps")
        if (decay in DECAYS[1:]) != (fall > 0):
            text = f"'decay: {decay}' and 'decay_steps: {fall}' do not go together"
            self._add(f"{path}.decay_steps", text)
        final = self._number(f"{path}.final", raw.get("final", 0.0))
        return ScheduleConfig(warmup, decay, fall, final)

    def _gradients(self, raw: object) -> GradientConfig:
        if not isinstance(raw, Mapping):
            self._add("gradients", f"must be a mapping with every, balance, got {raw!r}")
            return GradientConfig()
        self._unknown_keys("gradients", raw, ("every", "balance"))
        every = self._steps("gradients", raw, "every")
        balance = self._flag("gradients.balance", raw.get("balance", False))
        if balance and not every:
            self._add("gradients.every", "is missing; balancing measures, e.g. every: 100")
        return GradientConfig(every, balance)

    def _prune(self, raw: object) -> PruneConfig | None:
        if raw is None:
            return None
        if not isinstance(raw, Mapping):
            self._add("prune", f"must be a mapping with {', '.join(PRUNE_KEYS)}")
            return None
        self._unknown_keys("prune", raw, PRUNE_KEYS)
        numbers = {key: raw[key] for key in ("sparsity", "threshold") if key in raw}
        if len(numbers) != 1:
            self._add("prune", "needs 'sparsity' or 'threshold', e.g. sparsity: 0.5")
        for key, value in numbers.items():
            self._number(f"prune.{key}", value)
        if not self._is_known("prune.sparsity") and numbers.get("sparsity", 0) >= 1:
            self._add("prune.sparsity", "leaves nothing; it must be less than 1")
        choices = {"structure": STRUCTURES, "importance": IMPORTANCES, "scope": SCOPES}
        chosen = {
            key: self._choice(f"prune.{key}", raw.get(key, known[0]), known)
            for key, known in choices.items()
        }
        if "threshold" in raw and set(chosen.values()) & {"units", "taylor"}:
            text = "is of magnitudes of single weights; give a sparsity instead"
            self._add("prune.threshold", text)
        if "scope" in raw and chosen["structure"] == "units":
            text = "is of single weights; units go from every layer alike. Remove it"
            self._add("prune.scope", text)
        steps = {key: self._steps("prune", raw, key) for key in ("start", "end")}
        steps["every"] = self._steps("prune", {"every": 100} | dict(raw), "every")
        if steps["end"] <= steps["start"] or not steps["every"]:
            self._add("prune.end", "must come after 'start', in updates; 'every' is not 0")
        return PruneConfig(**numbers, **chosen, **steps) if not self.problems else None
