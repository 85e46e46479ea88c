"""Read single values of a raw configuration, and remember what is wrong with them."""

from collections.abc import Mapping

from espnet_kd.errors import Problem, join_path, suggest


class ValueReader:
    """What every part of a configuration is read by; a bad value is noted, not raised.

    Attributes:
        problems: What was found so far.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def _choice(self, path: str, value: object, choices: tuple[str, ...]) -> str:
        if value not in choices:
            self._add(path, f"got {value!r}; {suggest(str(value), choices)}")
        return str(value)

    def _number(self, path: str, value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # 'not >=' rather than '<', so that nan is refused as well
        if not is_number or not 0 <= value < float("inf"):
            self._add(path, f"must be a finite number of at least 0, got {value!r}")
            return 0.0
        return float(value)

    def _steps(self, path: str, raw: Mapping, key: str) -> int:
        steps = raw.get(key, 0)
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            text = f"must be a whole number of updates of at least 0, got {steps!r}"
            self._add(f"{path}.{key}", text)
            return 0
        return steps

    def _flag(self, path: str, value: object) -> bool:
        if not isinstance(value, bool):
            self._add(path, f"must be true or false, got {value!r}")
        return value is True

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
