"""Write RESULTS.md, a plot, and one page for the browser with all results of a recipe.

All three show the same numbers: the error rates of scored decodings, the models' costs if
espnet_kd.bin.measure was run, and the curves of the trainings' logs.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from espnet_kd.bin.command import add_task, command_parser, run_command
from espnet_kd.errors import KDError, reason_of
from espnet_kd.host.compat import task_class
from espnet_kd.host.files import whole_file
from espnet_kd.report.comparison import agreement_section, interval_section
from espnet_kd.report.cost import cost_section
from espnet_kd.report.curves import (
    DIAGNOSTIC,
    LOG,
    Curves,
    alignment_section,
    read_curves,
    shown_names,
    training_section,
)
from espnet_kd.report.delays import StreamedRun, delay_section, read_streamed
from espnet_kd.report.environment import environment
from espnet_kd.report.figures import cost_figure, curves_figure, plot, size_figure
from espnet_kd.report.measure import parameters_of
from espnet_kd.report.page import page
from espnet_kd.report.results import FOREIGN, counts_of, read_results
from espnet_kd.report.roles import TITLES, in_order, is_role
from espnet_kd.report.scores import Run, groups, score_sections, within
from espnet_kd.report.section import Section, markdown
from espnet_kd.report.utterances import read_trn, worst_section

EXAMPLE = """
python -m espnet_kd.bin.report --output_dir exp/report --corpus an4 \\
    --run teacher,1,beam,test,exp/asr_teacher,exp/asr_teacher/decode_beam/test \\
    --run control,1,beam,test,exp/asr_student,exp/asr_student/decode_beam/test
"""
SPEED = "real-time factor of the search"
FIELDS = "ROLE,SEED,DECODE,TEST_SET,MODEL_DIR,DECODE_DIR"
NOTES = {
    "mini": "The corpus is SYNTHETIC speech (espeak-ng voices, sentences of a small "
    "grammar). These numbers show that the pipeline works and that distillation moves "
    "them; they say nothing about real speech."
}


@dataclass(frozen=True)
class Decoding:
    """A scored decoding of a model, as ``--run`` names it.

    Attributes:
        role: See ``espnet_kd.report.roles``.
        seed: Seed of the model's training.
        decode: Name of the decoding configuration.
        test_set: Name of the set.
        model_dir: Experiment directory.
        decode_dir: Directory with ``score.json``.
    """

    role: str
    seed: int
    decode: str
    test_set: str
    model_dir: Path
    decode_dir: Path

    @property
    def model(self) -> str:
        """The model's name, which is its role and its seed."""
        return f"{self.role} {self.seed}"


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("report", __doc__, EXAMPLE)
    add = parser.add_argument
    text = f"Scored decoding to show, {FIELDS}; may be given several times."
    add("--run", action="append", required=True, type=parse_run, help=text)
    text = "JSON file that espnet_kd.bin.measure wrote about the models."
    add("--cost", type=Path, default=None, help=text)
    add("--corpus", default="", help="Name of the corpus, for the title.")
    text = "Command line that made the results, to be shown among the environment."
    add("--command", default="", help=text)
    add_task(parser, "models")
    text = "Directory for RESULTS.md, report.html and wer_by_size.png."
    add("--output_dir", type=Path, required=True, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the report; print the tables of error rates."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Write the report; give the tables of error rates.

    Raises:
        KDError: If scores or costs are missing, or are of a model that no run names.
    """
    note = NOTES.get(args.corpus, "")
    runs = collect(args.run, args.task)
    sections = list(compose(args, runs))
    title = f"Knowledge distillation, {args.corpus or 'results'}"
    lines = environment(args.command)
    with whole_file(args.output_dir / "report.html") as file:
        file.write(page(title, sections, lines, note))
    with whole_file(args.output_dir / "RESULTS.md") as file:
        file.write(document(sections, lines, note))
    plot(runs, args.output_dir / "wer_by_size.png")
    scored = sections[: len(groups(runs))]
    return "\n".join([*map(markdown, scored), note])


def compose(args: argparse.Namespace, runs: list[Run]) -> list[Section]:
    """Give every section of the report, the most wanted first."""
    figures = {group: size_figure(within(runs, group)) for group in groups(runs)}
    found = score_sections(runs, figures)
    found += _delays(args.run, runs)
    if args.cost is not None:
        found.append(_cost(args, runs))
    first = [d for d in args.run if (d.test_set, d.decode) == groups(runs)[0]]
    found += _words(_of_first_seed(first))
    return found + _trainings(first)


def parse_run(text: str) -> Decoding:
    """Read one ``--run``.

    Raises:
        argparse.ArgumentTypeError: If a field is missing or the role is unknown.
    """
    parts = text.split(",")
    if len(parts) != len(FIELDS.split(",")) or not is_role(parts[0]):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not {FIELDS} with a role of {', '.join(TITLES)} or distilled:NAME"
        )
    role, seed, decode, test_set, model_dir, decode_dir = parts
    paths = (Path(model_dir), Path(decode_dir))
    return Decoding(role, int(seed), decode, test_set, *paths)


def collect(decodings: list[Decoding], task: str) -> list[Run]:
    """Read every decoding's scores and count every model's parameters once.

    Args:
        decodings: The scored decodings.
        task: ESPnet task of the models.

    Raises:
        KDError: If a decoding is not scored.
    """
    sizes: dict[Path, int] = {}
    runs = []
    for item in decodings:
        folder = item.model_dir
        if folder not in sizes:
            sizes[folder] = parameters_of(folder / "config.yaml", task_class(task))
        scores = read_results(item.decode_dir / "score.json", "scoring")
        counts = [counts_of(scores, unit, item.decode_dir) for unit in ("wer", "cer")]
        rates = [float(unit["error_rate"]) for unit in counts]
        place = (item.decode, item.test_set)
        runs.append(Run(item.role, item.seed, *place, sizes[folder], *rates))
    return runs


def document(sections: list[Section], lines: list[str], note: str) -> str:
    """Give the text of RESULTS.md, which has every number of the page.

    Args:
        sections: The report's sections.
        lines: What the results depend on.
        note: A warning below everything; may be empty.
    """
    head = "\n".join(["## Environments", *(f"- {line}" for line in lines), ""])
    body = "\n".join(map(markdown, sections))
    return f"{head}\n{body}\n{note}\n\n![WER by size](wer_by_size.png)\n"


def _cost(args: argparse.Namespace, runs: list[Run]) -> Section:
    results = read_results(args.cost, "cost")
    wers = {
        str(d.model_dir): (d, run.wer)
        for d, run in zip(args.run, runs, strict=True)
        if (d.test_set, d.decode) == groups(runs)[0]
    }
    models = results.get("models")
    if not models or not isinstance(models, dict):
        raise KDError(f"{args.cost} was not written by espnet_kd.bin.measure")
    if unknown := models.keys() - wers.keys():
        raise KDError(f"{args.cost} is of '{min(unknown)}', which no --run names")
    names = {exp: wers[exp][0].model for exp in models}
    try:
        points = {
            names[exp]: (wers[exp][0].role, float(found["search"]["rtf"]), wers[exp][1])
            for exp, found in models.items()
        }
        return cost_section(results, names, cost_figure(points, SPEED))
    except FOREIGN as error:
        text = f"{args.cost} was not written by espnet_kd.bin.measure, or changed since"
        raise KDError(f"{text} ({reason_of(error)})") from None


def _delays(decodings: list[Decoding], runs: list[Run]) -> list[Section]:
    """Delays of the decodings that streamed, by set and search."""
    streamed: dict[tuple[str, str], list[StreamedRun]] = {}
    for item, run in zip(decodings, runs, strict=True):
        if found := read_streamed(item.decode_dir, run):
            streamed.setdefault((item.test_set, item.decode), []).append(found)
    return [delay_section(f"{', '.join(g)}: delay", own) for g, own in streamed.items()]


def _of_first_seed(decodings: list[Decoding]) -> list[Decoding]:
    """The first decoding of each role, in the roles' order."""
    roles = in_order(decoding.role for decoding in decodings)
    return [next(d for d in decodings if d.role == role) for role in roles]


def _words(decodings: list[Decoding]) -> list[Section]:
    folders = [decoding.decode_dir / "score_wer" for decoding in decodings]
    if not all((folder / "hyp.trn").is_file() for folder in folders):
        return []
    reference = read_trn(folders[0] / "ref.trn")
    pairs = zip(decodings, folders, strict=True)
    systems = {d.model: read_trn(folder / "hyp.trn") for d, folder in pairs}
    for folder, found in zip(folders, systems.values(), strict=True):
        if found.keys() != reference.keys():
            text = f"{folder}/hyp.trn and {folders[0]}/ref.trn are of other utterances"
            raise KDError(f"{text}; run the scoring stage again")
    return [
        agreement_section(reference, systems),
        interval_section(reference, systems),
        worst_section(reference, systems),
    ]


def _trainings(decodings: list[Decoding]) -> list[Section]:
    read = {d.model: read_curves(d.model_dir / LOG) for d in decodings}
    trainings = {model: curves for model, curves in read.items() if curves["valid"]}
    if not trainings:
        return []
    sections = [training_section(trainings, _drawn(trainings, shown_names(trainings)))]
    if names := shown_names(trainings, DIAGNOSTIC):
        sections.append(alignment_section(trainings, _drawn(trainings, names)))
    return sections


def _drawn(trainings: dict[str, Curves], names: list[str]) -> str:
    return curves_figure(trainings, names) if names else ""


if __name__ == "__main__":
    main()
