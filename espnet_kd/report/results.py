"""What earlier stages wrote down: read, and checked before it is shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet_kd.documents import read_json
from espnet_kd.errors import KDError

# What going through a file of another program may raise.
FOREIGN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# An error rate of more is of something else than words.
MOST = 1e6


def read_results(path: Path, stage: str) -> dict[str, Any]:
    """Read a stage's JSON.

    Args:
        path: The file.
        stage: What the stage is called, for messages.

    Raises:
        KDError: If it is missing, damaged, or holds no results.
    """
    if not path.exists():
        raise KDError(f"{path} is missing; run the {stage} stage first")
    found = read_json(path, f"{path} cannot be read; run the {stage} stage again")
    if not isinstance(found, dict):
        raise KDError(f"{path} holds no results; run the {stage} stage again")
    return found


def counts_of(scores: Mapping[str, Any], unit: str, folder: Path) -> Mapping[str, Any]:
    """Sclite's counts of a unit, with a sound ``error_rate`` in percent.

    Args:
        scores: As ``score.json`` holds them.
        unit: ``wer`` or ``cer``.
        folder: Where that file lies, for messages.

    Raises:
        KDError: If there are none.
    """
    found = scores.get(unit)
    rate = found.get("error_rate") if isinstance(found, dict) else None
    if not isinstance(rate, int | float) or not 0 <= rate <= MOST:
        raise KDError(f"{folder}/score.json has no {unit}; run the scoring stage again")
    return dict(found or {})
