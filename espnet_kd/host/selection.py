"""Which of an experiment's checkpoints training selected."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet_kd.documents import read_yaml
from espnet_kd.errors import ExperimentError, KDError

# What ESPnet2 selects by where a config does not say.
USUAL = ("valid.acc", "valid.loss")


def selected_weights(exp: Path) -> Path:
    """The checkpoint that training selected: averaged, or else the best one.

    ESPnet2 names them ``valid.acc.ave.pth`` and ``valid.acc.best.pth``. A training by
    Lightning, ESPnet3's or ``lightning_train``, leaves an average of the best so far after
    each validation, ``valid.loss.ave_1best.pth`` and on; the one of most models is meant.

    Raises:
        ExperimentError: If there is none, with the names of those that are there.
    """
    names = sorted(path.name for path in exp.glob("*.pth") if path.exists())
    stems = [re.escape(stem) for stem in selection_criteria(exp / "config.yaml")]
    for kind in ("ave", r"ave_\d+best", "best"):
        for stem in stems:
            pattern = rf"{stem}\.{kind}\.pth"
            if found := [name for name in names if re.fullmatch(pattern, name)]:
                return exp / max(found, key=_models_averaged)
    raise ExperimentError(
        f"{exp}: none of the checkpoints that training would select is there; "
        f"name one by 'file'. It has: {', '.join(names) or 'no .pth file'}"
    )


def selection_criteria(config: Path) -> list[str]:
    """The stems of the selected checkpoints' names, in the order of their criteria.

    ESPnet2 writes a criterion as ``[valid, loss, min]``, Lightning's trainings as
    ``[valid/loss, 3, min]``. What is no criterion is passed over.
    """
    try:
        settings = read_yaml(config, str(config))
    except KDError:  # which reading the settings says
        settings = None
    found = list(dict.fromkeys(_stems(settings)))
    return found or list(USUAL)


def _stems(settings: Any) -> Iterator[str]:
    if not isinstance(settings, dict):
        return
    lightning = settings.get("lightning_conf")
    for holder in (lightning, settings):
        criteria = holder.get("best_model_criterion") if isinstance(holder, dict) else None
        for criterion in criteria if isinstance(criteria, list) else ():
            match criterion:
                case [str(monitor), *_] if "/" in monitor:
                    yield monitor.replace("/", ".")
                case [str(phase), str(key), *_]:
                    yield f"{phase}.{key}"


def _models_averaged(name: str) -> int:
    """3 of ``valid.loss.ave_3best.pth``."""
    number = re.search(r"\.ave_(\d+)best\.pth$", name)
    return int(number.group(1)) if number else 0
