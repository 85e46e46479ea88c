"""Figures of a report, as SVG that stands in a page or PNG that stands alone."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from espnet_kd.host.files import whole_file
from espnet_kd.report.curves import Curves
from espnet_kd.report.pareto import pareto_front
from espnet_kd.report.roles import colours_of, title_of
from espnet_kd.report.scores import Run, groups, of_role, within

PANEL = (4.4, 3.4)
# Height of a label, as a part of the highest rate that is drawn.
LINE = 0.08
METADATA = ("Creator", "Date", "Format", "Type")


def plot(runs: Sequence[Run], path: Path) -> None:
    """Draw WER against parameters as PNG, a panel for each test set and decoding.

    Args:
        runs: The runs of all sets and decodings.
        path: The file to write.
    """
    panels = groups(runs)
    figure, axes = _panels(len(panels))
    for axis, group in zip(axes, panels, strict=True):
        _by_size(axis, within(runs, group))
        axis.set_title(", ".join(group))
    axes[0].legend(frameon=False)
    with whole_file(path, "wb") as file:
        figure.savefig(file, format="png", dpi=150)


def size_figure(runs: Sequence[Run]) -> str:
    """Draw WER against parameters of one test set and decoding, with the Pareto front."""
    figure, (axis,) = _panels(1)
    _by_size(axis, runs)
    points = [(run.parameters / 1e6, run.wer) for run in runs]
    _front(axis, points)
    axis.legend(frameon=False)
    return _svg(figure)


def cost_figure(points: Mapping[str, tuple[str, float, float]], label: str) -> str:
    """Draw WER against what it costs, with the Pareto front.

    Args:
        points: Name of a model to its role, cost and WER.
        label: What the cost is, with its unit.
    """
    figure, (axis,) = _panels(1)
    colours = colours_of(role for role, _, _ in points.values())
    for name, (role, cost, wer) in points.items():
        axis.scatter([cost], [wer], color=colours[role], s=70, label=name)
    _front(axis, [(cost, wer) for _, cost, wer in points.values()])
    axis.margins(y=0.25)
    # Models of nearly one cost have no span that a margin could be a part of.
    costs = [cost for _, cost, _ in points.values()]
    axis.set_xlim(1.2 * min(0.0, *costs), 1.2 * max(0.0, *costs))
    axis.set_ylim(bottom=0)
    axis.set_xlabel(label)
    axis.set_ylabel("WER (%)")
    axis.legend(frameon=False)
    return _svg(figure)


def curves_figure(trainings: Mapping[str, Curves], names: Sequence[str]) -> str:
    """Draw a figure for each name, a line for each training; that of train is dotted.

    Args:
        trainings: Name of a model, its role and seed, to its curves.
        names: The values drawn.
    """
    return "".join(_curves(trainings, name) for name in names)


def _curves(trainings: Mapping[str, Curves], name: str) -> str:
    figure, (axis,) = _panels(1)
    labelled, colours = set(), colours_of(model.split()[0] for model in trainings)
    for model, curves in trainings.items():
        role = model.split()[0]
        for side, style in (("train", ":"), ("valid", "-")):
            values = [math.nan if v is None else v for v in curves[side].get(name, ())]
            if values:
                label = None if role in labelled or side == "train" else title_of(role)
                labelled |= {role} if label else set()
                look = {"color": colours[role], "alpha": 0.75, "lw": 1.2, "label": label}
                axis.plot(range(1, len(values) + 1), values, style, **look)
    axis.set_title(name)
    axis.set_xlabel("epoch (dotted: training)")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=8)
    return _svg(figure)


def _by_size(axis: Any, runs: Sequence[Run]) -> None:
    middles: dict[float, list[float]] = {}
    for role, colour in colours_of(run.role for run in runs).items():
        own = of_role(runs, role)
        sizes = [run.parameters / 1e6 for run in own]
        wers = [run.wer for run in own]
        axis.scatter(sizes, wers, color=colour, alpha=0.45, s=28)
        middle = mean(wers)
        axis.scatter(sizes[:1], [middle], color=colour, s=90, label=title_of(role))
        middles.setdefault(sizes[0], []).append(middle)
    apart = LINE * max(run.wer for run in runs)
    for size, found in middles.items():
        for wer, height in zip(sorted(found), spread(found, apart), strict=True):
            look = {"textcoords": "offset points", "va": "center"}
            axis.annotate(f"{wer:.1f}", (size, height), (8, 0), **look)
    axis.set_xscale("log")
    axis.margins(x=0.35, y=0.2)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("parameters (millions, log scale)")
    axis.set_ylabel("WER (%)")
    ticks = sorted({run.parameters / 1e6 for run in runs})
    axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axis.set_xticks([], minor=True)


def spread(values: Sequence[float], apart: float) -> list[float]:
    """Find heights for the labels of values, from the lowest up, none on another.

    Args:
        values: The labelled values, in any order.
        apart: Least distance of two labels.
    """
    heights: list[float] = []
    for value in sorted(values):
        heights.append(max(value, heights[-1] + apart) if heights else value)
    return heights


def _front(axis: Any, points: Sequence[tuple[float, float]]) -> None:
    front = pareto_front(points)
    if len(front) < 2:
        return
    xs, ys = zip(*front, strict=True)
    axis.step(xs, ys, where="post", color="#999999", lw=1, zorder=0, label="Pareto front")


def _panels(count: int) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PANEL[0] * count, PANEL[1]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, count, squeeze=False).flat)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    import matplotlib

    out = io.StringIO()
    # Text as text: readable, searchable, small. No date: the same results, the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "espnet_kd"}):
        figure.savefig(out, format="svg", metadata=dict.fromkeys(METADATA))
    text = out.getvalue()
    return text[text.index("<svg") :]
