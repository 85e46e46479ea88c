"""Write RESULTS.md and a plot from scored decodings of teacher, control and student."""

import argparse
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from espnet_kd import __version__
from espnet_kd.atomic import whole_file
from espnet_kd.compat import task_class, versions
from espnet_kd.errors import KDError
from espnet_kd.report.measure import parameters_of
from espnet_kd.report.render import TITLES, Run, plot, table

FIELDS = "ROLE,SEED,DECODE,TEST_SET,MODEL_DIR,DECODE_DIR"
NOTES = {
    "mini": "The corpus is SYNTHETIC speech (espeak-ng voices, sentences of a small "
    "grammar). These numbers show that the pipeline works and that distillation moves "
    "them; they say nothing about real speech."
}


@dataclass(frozen=True)
class Decoding:
    """One ``--run``."""

    role: str
    seed: int
    decode: str
    test_set: str
    model_dir: Path
    decode_dir: Path


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--run", action="append", required=True, type=parse_run, help=FIELDS
    )
    parser.add_argument("--corpus", default="")
    parser.add_argument("--task", default="asr")
    parser.add_argument("--output_dir", type=Path, required=True)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the report and print its tables."""
    args = get_parser().parse_args(cmd)
    try:
        runs = collect(args.run, args.task)
        text = f"{table(runs)}\n{NOTES.get(args.corpus, '')}\n"
        with whole_file(args.output_dir / "RESULTS.md") as file:
            file.write(f"{environment()}\n{text}\n![WER by size](wer_by_size.png)\n")
        plot(runs, args.output_dir / "wer_by_size.png")
    except KDError as error:
        sys.exit(f"report: {error}")
    print(text)


def parse_run(text: str) -> Decoding:
    """Read one ``--run``."""
    parts = text.split(",")
    if len(parts) != len(FIELDS.split(",")) or parts[0] not in TITLES:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not {FIELDS} with a role of {', '.join(TITLES)}"
        )
    role, seed, decode, test_set, model_dir, decode_dir = parts
    paths = (Path(model_dir), Path(decode_dir))
    return Decoding(role, int(seed), decode, test_set, *paths)


def collect(decodings: list[Decoding], task: str) -> list[Run]:
    """Read scores and count parameters, each model once."""
    sizes: dict[Path, int] = {}
    runs = []
    for item in decodings:
        folder = item.model_dir
        if folder not in sizes:
            sizes[folder] = parameters_of(folder / "config.yaml", task_class(task))
        scores = _scores(item.decode_dir / "score.json")
        wer, cer = (scores[unit]["error_rate"] for unit in ("wer", "cer"))
        runs.append(
            Run(
                item.role,
                item.seed,
                item.decode,
                item.test_set,
                sizes[folder],
                wer,
                cer,
            )
        )
    return runs


def _scores(path: Path) -> dict:
    if not path.is_file():
        raise KDError(f"{path} is missing; run the scoring stage first")
    return json.loads(path.read_text(encoding="utf-8"))


def environment() -> str:
    """What the results depend on, as ESPnet's recipes head theirs."""
    return (
        "## Environments\n"
        f"- espnet_kd {__version__}, {versions()}\n"
        f"- {platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores\n"
    )


if __name__ == "__main__":
    main()
