#!/usr/bin/env python3
r"""Compare every loss by its word error rate, each at the best of its weights.

    loss_table.py --run "./run.sh scarce --an4_dir DIR" --control_tag scarce \
        --student_layer encoder.encoders.1 --teacher_layer encoder.encoders.2

Teacher and controls are there, scored on both sets: ``run.sh`` made them, with all seeds
and ``--test_sets "dev test"``. Of each row, students are trained from the first seed at
every weight; the weight of the lowest mean word error rate over the searches on the
development set stays, of equal ones the smallest; students of the other seeds are trained
at it. A run that was killed goes on when it is started again.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from table_rows import Row, rows
from table_runs import (
    Place,
    Training,
    rates,
    seconds_a_step,
    tell,
    train,
    word_error_rate,
    write_caches,
)

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError, suggest
from espnet_kd.host.files import whole_file
from espnet_kd.report.section import Section, markdown


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--run", required=True, help="The recipe is run by this command.")
    add("--control_tag", default="untagged", help="The students alone have this tag.")
    add("--student_layer", required=True, help="This encoder layer's attention learns.")
    add("--teacher_layer", required=True, help="This one of the teacher teaches it.")
    add("--rows", nargs="*", default=[], help="Only these rows are made; default: all.")
    add("--weights", nargs="+", type=float, default=[0.1, 0.3, 1.0],
        help="These ratios of a term's gradient to the task's are tried.")  # fmt: skip
    add("--seeds", nargs="+", type=int, default=[1, 2, 3], help="Students have these.")
    add("--dev_set", default="dev", help="Weights are chosen on this set.")
    add("--test_set", default="test", help="The table shows this set.")
    add("--decodings", nargs="+", default=["decode_beam", "decode_ctc_greedy"],
        help="Searches, by the names of their configurations.")  # fmt: skip
    add("--expdir", type=Path, default=Path("exp"), help="Models are here.")
    add("--tag", default="table", help="Names of the table's students begin with it.")
    add("--jobs", type=int, default=2, help="So many trainings run at once.")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Train what is missing, and write table.md, table.json and table.png."""
    args = get_parser().parse_args(cmd)
    with named_errors("loss_table"):
        place = Place(
            run=args.run,
            expdir=args.expdir,
            tag=args.tag,
            control_tag=args.control_tag,
            sets=(args.dev_set, args.test_set),
            decodings=tuple(args.decodings),
        )
        wanted = chosen_rows(rows(args.student_layer, args.teacher_layer), args.rows)
        chosen = compare(wanted, args.weights, args.seeds, place, args.jobs)
        lines = [control_line(args.seeds, place)]
        lines += [line_of(trainings, lines[0]) for trainings in chosen]
        write(lines, args.expdir / args.tag, place)


def chosen_rows(known: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows of these names, all without any.

    Raises:
        KDError: If there is none of a name.
    """
    by_name = {row.name: row for row in known}
    for name in names:
        if name not in by_name:
            raise KDError(f"--rows: there is no row '{name}'; {suggest(name, by_name)}")
    return [by_name[name] for name in names or by_name]


def compare(
    wanted: Sequence[Row],
    weights: Sequence[float],
    seeds: Sequence[int],
    place: Place,
    jobs: int,
) -> list[list[Training]]:
    """Each row's trainings of all seeds, at its best weight; everything is trained.

    Raises:
        KDError: If one failed, after all others were tried.
    """
    first, *others = seeds
    write_caches(wanted, place)
    tried = [
        [Training(row, w, first, place) for w in (weights if row.losses else (0.0,))]
        for row in wanted
    ]
    _all(train([training for row in tried for training in row], jobs, tell))
    best = [best_of(trainings) for trainings in tried]
    more = [Training(b.row, b.weight, seed, place) for seed in others for b in best]
    _all(train(more, jobs, tell))
    return [[b, *(t for t in more if t.row is b.row)] for b in best]


def best_of(trainings: Sequence[Training]) -> Training:
    """The one of the lowest mean error rate on the development set, the lightest first."""
    by_weight = sorted(trainings, key=lambda training: training.weight)
    return min(
        by_weight, key=lambda t: word_error_rate(t.directory, t.place, t.place.sets[0])
    )


def _all(failed: Sequence[Training]) -> None:
    if failed:
        names = ", ".join(f"{training.tag} (seed {training.seed})" for training in failed)
        raise KDError(
            f"{len(failed)} of the trainings failed: {names}; their logs are in "
            f"{failed[0].log().parent}. Mend what they name, and run the same again"
        )


def control_line(seeds: Sequence[int], place: Place) -> dict[str, Any]:
    """The students alone, which every row is compared with."""
    return _line("alone", None, [place.control(seed) for seed in seeds], place)


def line_of(trainings: Sequence[Training], control: dict[str, Any]) -> dict[str, Any]:
    """A row's figures: error rates by search and seed, gain, cost of an update."""
    first = trainings[0]
    weight = first.weight if first.row.losses else None
    directories = [training.directory for training in trainings]
    line = _line(first.row.name, weight, directories, first.place)
    line["gain"] = control["mean"] - line["mean"]
    line["cost"] = line["seconds"] / control["seconds"]
    return line


def _line(
    name: str, weight: float | None, directories: Sequence[Path], place: Place
) -> dict[str, Any]:
    dev, test = place.sets
    found = [rates(directory, place, test) for directory in directories]
    by_search = {
        search: [counts[search]["error_rate"] for counts in found]
        for search in place.decodings
    }
    deleted = [mean(c["deletions"] for c in counts.values()) for counts in found]
    return {
        "name": name,
        "weight": weight,
        "test": by_search,
        "dev": mean(word_error_rate(directory, place, dev) for directory in directories),
        "mean": mean(mean(values) for values in by_search.values()),
        "deletions": mean(deleted),
        "seconds": mean(seconds_a_step(directory) for directory in directories),
        "gain": 0.0,
        "cost": 1.0,
    }


def write(lines: Sequence[dict[str, Any]], stem: Path, place: Place) -> None:
    """Write the table as JSON and Markdown, and the figure of gain against cost."""
    ordered = sorted(lines, key=lambda line: -line["gain"])
    with whole_file(stem.with_suffix(".json")) as file:
        json.dump(ordered, file, indent=2)
    with whole_file(stem.with_suffix(".md")) as file:
        file.write(table(ordered, place))
    draw(ordered, stem.with_suffix(".png"))
    tell(f"written: {stem}.md, {stem}.json and {stem}.png")


def table(lines: Sequence[dict[str, Any]], place: Place) -> str:
    """The table as Markdown."""
    searches = [name for search in place.decodings for name in (search, "seeds")]
    head = ["row", "weight", *searches, "gain", "deletions", place.sets[0], "cost"]
    body = []
    for line in lines:
        weight = "" if line["weight"] is None else f"{line['weight']:g}"
        cells = [line["name"], weight]
        for values in line["test"].values():
            cells += [f"{mean(values):.1f}", ", ".join(f"{v:.1f}" for v in values)]
        cells += [f"{line['gain']:+.1f}", f"{line['deletions']:.0f}"]
        body.append([*cells, f"{line['dev']:.1f}", f"{line['cost']:.2f}"])
    return markdown(Section(f"{place.sets[1]}, WER in percent", head, body))


def draw(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw gain against cost, a point a row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    axis = figure.subplots()
    axis.axhline(0, color="#c0504d", lw=1)
    axis.scatter([line["cost"] for line in lines], [line["gain"] for line in lines], s=25)
    for line in lines:
        axis.annotate(line["name"], (line["cost"], line["gain"]), (4, 3),
                      textcoords="offset points", fontsize=7)  # fmt: skip
    axis.set_xlabel("time of an update, the student alone being 1")
    axis.set_ylabel("points of WER gained, mean of the searches")
    with whole_file(path, "wb") as file:
        figure.savefig(file, format="png", dpi=150)


if __name__ == "__main__":
    main()
