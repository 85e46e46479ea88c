"""Word error rates of teacher, control and distilled student, as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from espnet_kd.report.measure import gap_recovered, size_cells
from espnet_kd.report.roles import has_of_teacher, in_order, title_of
from espnet_kd.report.section import Section

# Points of WER between control and teacher; a share of less says nothing.
LEAST_GAP = 1.0


@dataclass(frozen=True)
class Run:
    """One trained model, decoded one way on one set.

    Attributes:
        role: See ``espnet_kd.report.roles``.
        seed: Seed of the training.
        decode: Name of the decoding configuration.
        test_set: Name of the set.
        parameters: Number of the model's parameters.
        wer: Word error rate, in percent.
        cer: Character error rate, in percent.
    """

    role: str
    seed: int
    decode: str
    test_set: str
    parameters: int
    wer: float
    cer: float


def groups(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """List every (test set, decoding), in order of appearance."""
    return list(dict.fromkeys((run.test_set, run.decode) for run in runs))


def within(runs: Sequence[Run], group: tuple[str, str]) -> list[Run]:
    """Pick the runs of one (test set, decoding)."""
    return [run for run in runs if (run.test_set, run.decode) == group]


def of_role(runs: Sequence[Run], role: str) -> list[Run]:
    """Pick the runs of one role."""
    return [run for run in runs if run.role == role]


def score_sections(
    runs: Sequence[Run], figures: Mapping[tuple[str, str], str] | None = None
) -> list[Section]:
    """Make a table for each test set and decoding.

    Args:
        runs: The runs of all sets and decodings.
        figures: (test set, decoding) to its SVG.
    """
    return [_section(runs, group, (figures or {}).get(group, "")) for group in groups(runs)]


def _section(runs: Sequence[Run], group: tuple[str, str], figure: str) -> Section:
    shown = within(runs, group)
    seeds = sorted({run.seed for run in shown})
    names = [f"seed {seed}" for seed in seeds]
    head = ["model", "parameters", "ratio", "WER %", *names, "CER %", "gap"]
    rows = [_row(shown, role, seeds) for role in in_order(run.role for run in shown)]
    return Section(", ".join(group), head, rows, strong=3, figure=figure)


def _row(runs: Sequence[Run], role: str, seeds: Sequence[int]) -> list[str]:
    own = of_role(runs, role)
    largest = max(run.parameters for run in runs)
    by_seed = {run.seed: f"{run.wer:.2f}" for run in own}
    return [
        title_of(role),
        *size_cells(own[0].parameters, largest),
        f"{mean(run.wer for run in own):.2f}",
        *(by_seed.get(seed, "") for seed in seeds),
        f"{mean(run.cer for run in own):.2f}",
        _gap(runs, role) if has_of_teacher(role) else "",
    ]


def _gap(runs: Sequence[Run], role: str) -> str:
    found = [of_role(runs, name) for name in ("teacher", "control", role)]
    if not all(found):
        return ""
    teacher, control, student = (mean(run.wer for run in own) for own in found)
    if control - teacher < LEAST_GAP:
        return "no gap"
    return f"{100 * gap_recovered(teacher, control, student):.0f} %"
