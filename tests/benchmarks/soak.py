"""Memory and open files of long trainings: live and cached targets beside a stock run.

    python tests/benchmarks/soak.py [--updates 2000] [--targets live cache] [--workers 0 2]

ESPnet's own training of tiny models on generated features, a process a training: 4 epochs
of batches of changing shapes, each target and each number of data workers in turn, and a
stock training beside them, whose growth is ESPnet's: each shape that comes for the first
time leaves a plan of its convolutions, and more of the heap. Every --every updates a line
says how much memory is resident (of the trainer, and what each of its data workers holds
alone: it is forked anew every epoch, off all that the trainer holds by then) and how many
files are open. Once the first --settled updates are over (with workers the first epoch:
those of the second are the first to be forked off what training leaves), the median of the
first quarter of what follows is compared with that of the last.

The exit status is 1 if a distilled training grew by more than --slack beyond the stock
one, or opened more than --files beyond it. The slack, 8 MiB over about 1,400 updates, is
what two runs' heaps may differ by as shapes change; a leak of 6 KB an update is found, and
one kept batch of logits would be 60 KB. The files are those under way: each tensor between
a worker and the trainer holds one, and a batch has up to 20.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import torch
import yaml
from torch.optim.optimizer import register_optimizer_step_post_hook

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import INPUT_SIZE, Row, asr_options, build_asr, write_exp, write_split
from lightning_runs import TERMS
from training import arguments, write_targets

from espnet_kd.host.compat import versions

EPOCHS = 4
TOKENS = ["<blank>", "<unk>", *(f"t{number}" for number in range(197)), "<sos/eos>"]
SPLITS = {"train": 600, "dev": 12}
# Random posteriors have no likely tokens to keep.
KEPT = ("--parts", "ctc,decoder", "--tap", "encoder", "--max_k", "16")


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--updates", type=int, default=2000)
    add("--targets", nargs="+", choices=("live", "cache"), default=["live", "cache"])
    add("--workers", type=int, nargs="+", default=[0, 2])
    add("--settled", type=int, default=200)
    add("--every", type=int, default=100)
    add("--slack", type=float, default=8.0, help="MiB")
    add("--files", type=int, default=40)
    add("--one", nargs=3, help=argparse.SUPPRESS)  # a training, in a process of its own
    return parser


def rows(name: str, count: int, noise: np.random.Generator) -> Iterator[Row]:
    """Random features of 40 to 199 frames with 2 to 12 random tokens."""
    for number in range(count):
        features = noise.standard_normal((int(noise.integers(40, 200)), INPUT_SIZE))
        words = noise.choice(TOKENS[2:-1], int(noise.integers(2, 13)))
        yield f"{name}-{number:05d}", features, " ".join(words)


def prepare(root: Path, cached: bool) -> None:
    """Data, a random teacher, its targets of all data, and a kd_conf of either kind."""
    noise = np.random.default_rng(0)
    (root / "tokens.txt").write_text("\n".join(TOKENS) + "\n")
    teacher = {"width": 12, "blocks": 3, "tokens": TOKENS, "normalize": "utterance_mvn"}
    teacher |= {"normalize_conf": {}, "token_type": "word"}
    model = build_asr(seed=1, **teacher)
    write_exp(root / "teacher", model, asr_options(**teacher))
    for split, count in SPLITS.items():
        write_split(root / split, rows(split, count, noise))
        if cached:
            write_targets(root / "teacher", root / split, root / "cache" / split, *KEPT)
    conf = {"teachers": [{"exp": str(root / "teacher")}], "losses": TERMS}
    conf |= {"gradients": {"every": 50}}
    (root / "live.yaml").write_text(yaml.safe_dump(conf))
    conf["targets"] = [str(root / "cache" / split) for split in SPLITS]
    (root / "cache.yaml").write_text(yaml.safe_dump(conf))


def usage() -> tuple[float, float, int, int]:
    """MiB of this process and of its children; files open in it and in them."""
    me = psutil.Process()
    children = me.children(recursive=True)
    alone = sum(one.memory_full_info().uss for one in children)
    files = [one.num_fds() for one in (me, *children)]
    return me.memory_info().rss / 2**20, alone / 2**20, files[0], sum(files[1:])


def train(root: Path, kind: str, workers: int, args: argparse.Namespace) -> None:
    """One training; a line of figures every so many updates."""
    from espnet_kd.tasks.variants import KDASRTask

    updates = 0

    def count(*_step: object) -> None:
        nonlocal updates
        updates += 1
        if updates % args.every == 0:
            print("SOAK", updates, *usage(), flush=True)

    register_optimizer_step_post_hook(count)
    options = {"batch_type": "numel", "batch_bins": 8_000, "num_workers": workers}
    options |= {"num_iters_per_epoch": args.updates // EPOCHS, "max_epoch": EPOCHS}
    options |= {"specaug": None, "log_interval": 50}
    command = arguments(root, root / f"{kind}{workers}", **options)
    command[command.index("--token_type") + 1] = "word"
    conf = [] if kind == "stock" else ["--kd_conf", str(root / f"{kind}.yaml")]
    KDASRTask.main(cmd=[*command, *conf])


def samples(root: Path, kind: str, workers: int, args: argparse.Namespace) -> np.ndarray:
    """A training's figures, (N, 5): updates, and what ``usage`` gives."""
    print(f"{kind}, {workers} workers:")
    same = ["--updates", args.updates, "--every", args.every]
    command = [sys.executable, __file__, *same, "--one", root, kind, workers]
    found = []
    with (root / f"{kind}{workers}.log").open("w+") as log:
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            if line.startswith("SOAK"):
                found.append([float(value) for value in line.split()[1:]])
                print(shown(*found[-1]), flush=True)
        if process.wait():
            raise SystemExit(Path(log.name).read_text()[-3000:])
    return np.array(found)


def growth(found: np.ndarray, settled: int) -> tuple[float, float]:
    """MiB and files that came between the first quarter after that and the last."""
    later = found[found[:, 0] > settled]
    part = max(len(later) // 4, 1)
    first, last = later[:part], later[-part:]
    grown = [
        statistics.median(last[:, column].tolist())
        - statistics.median(first[:, column].tolist())
        for column in range(1, 5)
    ]
    return grown[0] + grown[1], grown[2] + grown[3]


def leaks(
    grown: tuple[float, float], control: tuple[float, float], slack: float, files: float
) -> bool:
    """Whether a training grew by more than what the stock one did and the slack."""
    return grown[0] - control[0] > slack or grown[1] - control[1] > files


def shown(updates: float, own: float, workers: float, files: float, others: float) -> str:
    """A training's figures as a line."""
    memory = f"{own:7.1f} + {workers:7.1f} MiB"
    return f"{updates:6.0f} updates {memory}  {files:3.0f} + {others:3.0f} files"


def main() -> None:
    """Train each in turn, print its figures, and judge the growth."""
    args = get_parser().parse_args()
    torch.set_num_threads(1)
    if args.one:
        root, kind, workers = args.one
        train(Path(root), kind, int(workers), args)
        return
    print(versions())
    leaking = []
    with TemporaryDirectory() as folder:
        prepare(Path(folder), "cache" in args.targets)
        for workers in args.workers:
            settled = max(args.settled, args.updates // EPOCHS if workers else 0)
            control = 0.0, 0.0
            for kind in ("stock", *args.targets):
                found = samples(Path(folder), kind, workers, args)
                grown = growth(found, settled)
                print("grown by {:+.1f} MiB and {:+.0f} files".format(*grown), flush=True)
                if kind == "stock":
                    control = grown
                elif leaks(grown, control, args.slack, args.files):
                    leaking.append(f"{kind}, {workers} workers")
    if leaking:
        raise SystemExit(f"grows without end: {'; '.join(leaking)}")


if __name__ == "__main__":
    main()
