#!/usr/bin/env python3
"""Write RESULTS.md: what every model of a task's recipe measured, and the gap recovered.

    task_results.py --task lm --output_dir exp/results \
        --run teacher,1,test,exp/lm_teacher_s1,exp/lm_teacher_s1/evaluated/test ...

A run's directory holds scores.json, as local/evaluate.py of the recipe writes it:
    {"metrics": {NAME: {"value": X, "better": "higher" or "lower"}, ...}, "utterances": N}
A metric may also have "without": the figure of what goes into the models, for a row.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.files import whole_file
from espnet_kd.report.environment import environment
from espnet_kd.report.measure import gap_recovered, parameters_of, size_cells
from espnet_kd.report.results import read_results
from espnet_kd.report.roles import has_of_teacher, in_order, is_role, title_of
from espnet_kd.report.section import Section, markdown

FIELDS = "ROLE,SEED,TEST_SET,MODEL_DIR,DIR"
# Sign by which a metric counts as an error.
SIGNS = {"lower": 1.0, "higher": -1.0}


@dataclass(frozen=True)
class Measured:
    """One model on one test set.

    Attributes:
        role: See ``espnet_kd.report.roles``.
        seed: Seed of the training.
        test_set: Name of the set.
        parameters: Number of the model's parameters.
        values: What each metric gave.
        signs: 1 for a metric that falls as models improve, -1 for one that rises.
        without: What the metrics say of what goes into the model, where they say it.
    """

    role: str
    seed: int
    test_set: str
    parameters: int
    values: dict[str, float]
    signs: dict[str, float]
    without: dict[str, float] = field(default_factory=dict)


def main(cmd: list[str] | None = None) -> None:
    """Write RESULTS.md; print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="append", required=True, help=FIELDS)
    parser.add_argument("--task", required=True)
    parser.add_argument("--command", default="", help="what made the results")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args(cmd)
    with named_errors("task_results"):
        runs = [read_run(text, args.task) for text in args.run]
        tables = "\n".join(markdown(section) for section in sections(runs))
        lines = "\n".join(f"- {line}" for line in environment(args.command))
        with whole_file(args.output_dir / "RESULTS.md") as file:
            file.write(f"## Environments\n{lines}\n\n{tables}")
    print(tables)


def read_run(text: str, task: str) -> Measured:
    """Read the scores that a ``--run`` names.

    Raises:
        KDError: If a field is missing, or the scores are no numbers.
    """
    parts = text.split(",")
    if len(parts) != len(FIELDS.split(",")) or not is_role(parts[0]):
        raise KDError(f"--run '{text}' is not {FIELDS} with a known role")
    role, seed, test_set, model_dir, folder = parts
    path = Path(folder) / "scores.json"
    metrics = read_results(path, "evaluation").get("metrics")
    size = parameters_of(Path(model_dir) / "config.yaml", task_class(task))
    found = checked(metrics, path)
    return Measured(role, int(seed), test_set, size, *found, without_models(metrics))


def checked(metrics: object, path: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Values and signs of metrics.

    Raises:
        KDError: If one of them has neither a number nor a direction.
    """
    try:
        assert isinstance(metrics, dict)
        assert metrics
        values = {name: float(found["value"]) for name, found in metrics.items()}
        signs = {name: SIGNS[found["better"]] for name, found in metrics.items()}
        figures = (*values.values(), *without_models(metrics).values())
        assert all(map(math.isfinite, figures))
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError):
        raise KDError(
            f"{path} has no metric with a finite value and what is better; run the "
            "evaluation stage again"
        ) from None
    return values, signs


def without_models(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What metrics say of what goes into the models, of those that say it."""
    told = {name: found.get("without") for name, found in metrics.items()}
    return {name: float(value) for name, value in told.items() if value is not None}


def sections(runs: list[Measured]) -> list[Section]:
    """A table for each test set and metric."""
    pairs = dict.fromkeys((run.test_set, name) for run in runs for name in run.values)
    return [section_of(runs, test_set, name) for test_set, name in pairs]


def section_of(runs: list[Measured], test_set: str, metric: str) -> Section:
    """One metric of all models on one set: its mean over seeds, each seed, the gap."""
    shown = [run for run in runs if run.test_set == test_set and metric in run.values]
    seeds = sorted({run.seed for run in shown})
    head = ["model", "parameters", "ratio", metric, *(f"seed {s}" for s in seeds), "gap"]
    roles = in_order(run.role for run in shown)
    rows = [row_of(shown, role, metric, seeds) for role in roles]
    without = [run.without[metric] for run in shown if metric in run.without]
    if without:
        blank = [""] * (len(seeds) + 1)
        rows.insert(0, ["without a model", "", "", f"{mean(without):.3f}", *blank])
    return Section(f"{test_set}, {metric}", head, rows, strong=3)


def row_of(runs: list[Measured], role: str, metric: str, seeds: list[int]) -> list[str]:
    """The cells of a model's row."""
    own = [run for run in runs if run.role == role]
    largest = max(run.parameters for run in runs)
    by_seed = {run.seed: f"{run.values[metric]:.3f}" for run in own}
    return [
        title_of(role),
        *size_cells(own[0].parameters, largest),
        f"{mean_of(runs, role, metric):.3f}",
        *(by_seed.get(seed, "") for seed in seeds),
        gap_of(runs, role, metric) if has_of_teacher(role) else "",
    ]


def mean_of(runs: list[Measured], role: str, metric: str) -> float:
    """A metric's mean over a role's seeds; nan without any."""
    values = [run.values[metric] for run in runs if run.role == role]
    return mean(values) if values else math.nan


def gap_of(runs: list[Measured], role: str, metric: str) -> str:
    """The share of the control's distance to the teacher that a student closed."""
    sign = runs[0].signs[metric]
    errors = (sign * mean_of(runs, name, metric) for name in ("teacher", "control", role))
    share = gap_recovered(*errors)
    return "no gap" if math.isnan(share) else f"{100 * share:.0f} %"


if __name__ == "__main__":
    main()
