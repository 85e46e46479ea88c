"""Show results: a Markdown table and a plot of word error rate against size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from espnet_kd.atomic import whole_file
from espnet_kd.report.measure import gap_recovered

COLOURS = {"teacher": "#333333", "control": "#c0504d", "distilled": "#1f77b4"}
TITLES = {
    "teacher": "teacher",
    "control": "student, alone",
    "distilled": "student, distilled",
}


@dataclass(frozen=True)
class Run:
    """One trained model, decoded one way on one set.

    Attributes:
        role: ``teacher``, ``control`` or ``distilled``.
        seed: Of the training.
        decode: Name of the decoding configuration.
        test_set: Name of the set.
        parameters: Of the model.
        wer: In percent.
        cer: In percent.
    """

    role: str
    seed: int
    decode: str
    test_set: str
    parameters: int
    wer: float
    cer: float


def groups(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Each (test set, decoding) there is, in order of appearance."""
    return list(dict.fromkeys((run.test_set, run.decode) for run in runs))


def table(runs: Sequence[Run]) -> str:
    """Markdown tables, one for each test set and decoding."""
    return "\n".join(_table(runs, *group) for group in groups(runs))


def _table(runs: Sequence[Run], test_set: str, decode: str) -> str:
    mine = [r for r in runs if (r.test_set, r.decode) == (test_set, decode)]
    seeds = sorted({r.seed for r in mine})
    head = [f"seed {seed}" for seed in seeds]
    lines = [
        f"#### {test_set}, {decode}\n",
        f"| model | parameters | ratio | WER % | {' | '.join(head)} | CER % | gap |",
        "|---" * (6 + len(seeds)) + "|",
    ]
    lines += [_row(mine, role, seeds) for role in TITLES if _of(mine, role)]
    return "\n".join(lines) + "\n"


def _row(runs: Sequence[Run], role: str, seeds: Sequence[int]) -> str:
    own = _of(runs, role)
    size = own[0].parameters
    largest = max(run.parameters for run in runs)
    by_seed = {run.seed: f"{run.wer:.2f}" for run in own}
    cells = [
        TITLES[role],
        f"{size / 1e6:.3f} M",
        f"1/{largest / size:.1f}",
        f"**{mean(run.wer for run in own):.2f}**",
        *(by_seed.get(seed, "") for seed in seeds),
        f"{mean(run.cer for run in own):.2f}",
        _gap(runs) if role == "distilled" else "",
    ]
    return f"| {' | '.join(cells)} |"


def _gap(runs: Sequence[Run]) -> str:
    means = {role: _of(runs, role) for role in TITLES}
    if not all(means.values()):
        return ""
    wers = {role: mean(r.wer for r in own) for role, own in means.items()}
    share = gap_recovered(wers["teacher"], wers["control"], wers["distilled"])
    return "no gap" if math.isnan(share) else f"{100 * share:.0f} %"


def _of(runs: Sequence[Run], role: str) -> list[Run]:
    return [run for run in runs if run.role == role]


def plot(runs: Sequence[Run], path: Path) -> None:
    """Draw WER against parameters, one panel for each test set and decoding."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = groups(runs)
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.6 * len(panels), 3.8), squeeze=False
    )
    for axis, (test_set, decode) in zip(axes[0], panels, strict=True):
        mine = [r for r in runs if (r.test_set, r.decode) == (test_set, decode)]
        _panel(axis, mine)
        axis.set_title(f"{test_set}, {decode}")
    axes[0][0].set_ylabel("WER (%)")
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
    with whole_file(path, "wb") as file:
        figure.savefig(file, format="png", dpi=150)
    plt.close(figure)


def _panel(axis, runs: Sequence[Run]) -> None:
    for role, colour in COLOURS.items():
        own = _of(runs, role)
        if not own:
            continue
        sizes = [run.parameters / 1e6 for run in own]
        wers = [run.wer for run in own]
        axis.scatter(sizes, wers, color=colour, alpha=0.45, s=28)
        middle = mean(wers)
        axis.scatter(sizes[:1], [middle], color=colour, s=90, label=TITLES[role])
        # Control above its point, the others below: at one size they come close.
        place = (8, 3 if role == "control" else -10)
        axis.annotate(
            f"{middle:.1f}", (sizes[0], middle), place, textcoords="offset points"
        )
    axis.set_xscale("log")
    axis.margins(x=0.35, y=0.2)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("parameters (millions, log scale)")
    ticks = sorted({run.parameters / 1e6 for run in runs})
    axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.spines[["top", "right"]].set_visible(False)
