"""Which of an experiment's checkpoints training selected."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet_kd.documents import read_yaml
from espnet_kd.errors import ExperimentError, KDError

# What ESPnet2 selects by where a config does not say.
USUAL = ("valid.acc", "valid.loss")
# The names of what was selected, best first, where STEM is a criterion.
AVERAGED = r"STEM\.ave_\d+best\.pth"
ONLY = r"epoch\d+_step\d+_STEM\.ckpt"
KINDS = (r"STEM\.ave\.pth", AVERAGED, r"STEM\.best\.pth", ONLY)


def selected_weights(exp: Path) -> Path:
    """The checkpoint that training selected: averaged, or else the best one.

    ESPnet2 names them ``valid.acc.ave.pth`` and ``valid.acc.best.pth``. A training by
    Lightning, ESPnet3's or ``lightning_train``, leaves an average of the best before it
    at each validation, ``valid.loss.ave_1best.pth`` and on; the one of most models is
    meant. One that validated once has left a single ``epoch0_step9_valid.loss.ckpt``.

    Raises:
        ExperimentError: If there is none, with the names of those that are there.
    """
    files = [*exp.glob("*.pth"), *exp.glob("*.ckpt")]
    names = sorted(path.name for path in files if path.exists())
    stems = [re.escape(stem) for stem in selection_criteria(exp / "config.yaml")]
    for kind in KINDS:
        for stem in stems:
            pattern = kind.replace("STEM", stem)
            found = [name for name in names if re.fullmatch(pattern, name)]
            # The name of one of several such does not say which is the best.
            if len(found) == 1 or (found and kind == AVERAGED):
                return exp / max(found, key=_models_averaged)
    there = ", ".join(names) or "no .pth and no .ckpt file"
    raise ExperimentError(
        f"{exp}: none of the checkpoints that training would select is there; "
        f"name one by 'file'. It has: {there}"
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
