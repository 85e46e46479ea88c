"""What a recipe's local/evaluate.py leaves for the table of results: scores.json."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file


@dataclass(frozen=True)
class Metric:
    """One figure of a model.

    Attributes:
        value: The figure, finite.
        better: Which of two models is the better one by it.
        without: The figure of what goes into the models, finite; None where there is none.
    """

    value: float
    better: Literal["lower", "higher"]
    without: float | None = None


def evaluation_parser(about: str, data: str) -> argparse.ArgumentParser:
    """Give a parser of what stage 6 tells every recipe's local/evaluate.py.

    Args:
        about: The script's documentation.
        data: What is read of the test set, for the help.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    add = parser.add_argument
    add("--exp", type=Path, required=True, help="the model's experiment")
    add("--file", required=True, help="its checkpoint")
    add("--data_dir", type=Path, required=True, help=data)
    add("--output_dir", type=Path, required=True, help="where scores.json goes")
    return parser


def write_scores(output_dir: Path, metrics: Mapping[str, Metric], utterances: int) -> None:
    """Write scores.json, whole or not at all.

    Args:
        output_dir: Directory of the evaluation.
        metrics: Figures by the name and unit that a table shows: ``SI-SNR, dB``.
        utterances: How many were measured.

    Raises:
        KDError: If nothing was measured, or a figure is not finite.
    """
    if not utterances:
        raise KDError(f"{output_dir}: there was no utterance to measure")
    for name, metric in metrics.items():
        for value in (metric.value, metric.without):
            if value is not None and not math.isfinite(value):
                raise KDError(f"{output_dir}: {name} is {value}; look into the log there")
    found = {name: asdict(metric) for name, metric in metrics.items()}
    with whole_file(output_dir / "scores.json") as file:
        json.dump({"metrics": found, "utterances": utterances}, file, indent=1)
