"""Curves of trainings, read from ESPnet's logs."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from espnet_kd.report.section import Section

LOG = "train.log"
EPOCH = re.compile(r"(\d+)epoch results: \[train\] (.*)")
VALUE = re.compile(r"([a-z]\w*)=(-?[\d.]+(?:e[+-]?\d+)?|nan|inf)\b")
# What is shown of a training: the task's own figures, and everything of distillation.
SHOWN = (
    "loss_task",
    "loss_ctc",
    "loss_att",
    "loss_transducer",
    "acc",
    "cer_ctc",
    "cer_transducer",
)
KD_LOSS, DIAGNOSTIC = "loss_kd", "kd_"

# Side ('train', 'valid') -> name -> its values over epochs; None where one was not told.
Curves = dict[str, dict[str, list[float | None]]]


def read_curves(log: Path) -> Curves:
    """Read the values of every epoch in a training log; of a repeated epoch the last.

    Args:
        log: File that ESPnet's trainer wrote; a missing one counts as empty.

    Returns:
        For ``train`` and ``valid``, a list as long as there are epochs for each name.
    """
    epochs: dict[int, dict[str, dict[str, float]]] = {}
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    for found in EPOCH.finditer(text):
        train, _, valid = found[2].partition("[valid]")
        sides = {"train": train, "valid": valid.partition("[att_plot]")[0]}
        epochs[int(found[1])] = {side: _values(part) for side, part in sides.items()}
    return {side: _columns(epochs, side) for side in ("train", "valid")}


def shown_names(trainings: Mapping[str, Curves], prefix: str = "") -> list[str]:
    """List the values of the trainings' validation to show, in order of appearance.

    Args:
        trainings: Name of a model to its curves.
        prefix: Names that begin with it are shown; without one, the task's own values
            and every KD loss.
    """
    told = dict.fromkeys(n for curves in trainings.values() for n in curves["valid"])
    if prefix:
        return [name for name in told if name.startswith(prefix)]
    return [name for name in told if name in SHOWN or name.startswith(KD_LOSS)]


def training_section(trainings: Mapping[str, Curves], figure: str = "") -> Section:
    """Tell the validation set's values after the last epoch, a row a training.

    Args:
        trainings: Name of a model to its curves.
        figure: SVG of the curves.
    """
    title = "Training, validation set, last epoch"
    return _section(title, trainings, shown_names(trainings), figure)


def alignment_section(trainings: Mapping[str, Curves], figure: str = "") -> Section:
    """Tell what ``diagnose`` found after the last epoch, a row a distilled training."""
    names = shown_names(trainings, DIAGNOSTIC)
    distilled = {
        m: curves for m, curves in trainings.items() if {*names} & {*curves["valid"]}
    }
    return _section("Alignment of student and teacher", distilled, names, figure)


def _section(
    title: str, trainings: Mapping[str, Curves], names: Sequence[str], figure: str
) -> Section:
    rows = [
        [model, str(_epochs(curves)), *(_last(curves["valid"].get(n)) for n in names)]
        for model, curves in trainings.items()
        if _epochs(curves)
    ]
    return Section(title, ["model", "epochs", *names], rows, figure=figure)


def _epochs(curves: Curves) -> int:
    return max((len(values) for values in curves["valid"].values()), default=0)


def _last(values: Sequence[float | None] | None) -> str:
    told = [value for value in values or () if value is not None]
    return f"{told[-1]:.3f}" if told else ""


def _values(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in VALUE.findall(text)}


def _columns(
    epochs: Mapping[int, Mapping[str, Mapping[str, float]]], side: str
) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for told in epochs.values() for name in told[side])
    span = range(1, max(epochs, default=0) + 1)
    return {
        name: [epochs.get(epoch, {side: {}})[side].get(name) for epoch in span]
        for name in names
    }
