"""Try a training on a CPU before hours are spent, and name all that is unwise.

Arguments behind -m are those of the training, which is prepared as ESPnet prepares it and
then looked at instead of run: teacher and checkpoint, errors of both models on validation
utterances, tokens, frame rates, the value of every term on a real batch, time and memory of
a step beside a stock step. Nothing is written. The status is 0 for a training that is well,
1 for one that works and is unwise, 2 for one that will not work.
"""

import argparse
import sys

from espnet_kd.bin.command import command_parser
from espnet_kd.errors import KDError, suggest
from espnet_kd.host.known_tasks import TRAININGS
from espnet_kd.host.release import explained_absence

EXAMPLE = """
python -m espnet_kd.bin.check -m espnet2.bin.asr_train --config conf/student.yaml ... \\
    --kd_conf recommended --kd_conf teachers.0.exp=exp/asr_teacher
"""
# Tasks whose errors can be counted on their transcripts.
CHECKED = ("asr", "asr_transducer", "st")
WELL = "This training works."
UNWISE = "This training works; what is unwise about it:"
BROKEN = "This training will not work:"


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("check", __doc__, EXAMPLE)
    add = parser.add_argument
    text = "Number of validation utterances on which errors are counted."
    add("--valid_utterances", type=int, default=20, help=text)
    text = "Number of training batches on which steps are timed."
    add("--batches", type=int, default=4, help=text)
    text = "ESPnet's training module and its arguments; this option comes last."
    add("-m", dest="training", nargs=argparse.REMAINDER, required=True, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print what was found; the status says how it stands.

    Raises:
        SystemExit: With the status.
    """
    args = get_parser().parse_args(cmd)
    try:
        with explained_absence():
            module, *arguments = args.training or [""]
            name = task_name(module)
            # Imported here, for a wrong name need not wait for torch and ESPnet.
            from espnet_kd.checkup.checkup import check_up

            sizes = {"steps": args.batches, "heard": args.valid_utterances}
            found = check_up(name, arguments, **sizes)
    except KDError as error:
        print(f"check: {error}", file=sys.stderr)
        sys.exit(2)
    head = (WELL, UNWISE, BROKEN)[found.status]
    told = [*found.reasons, *found.unwise]
    print("\n".join([*found.lines, head, *(f"  - {sentence}" for sentence in told)]))
    sys.exit(found.status)


def task_name(module: str) -> str:
    """The task that a training module is of.

    Raises:
        KDError: If it is no training module of a task that has distillation.
    """
    checked = {name: task for name, task in TRAININGS.items() if task in CHECKED}
    if module not in checked:
        raise KDError(
            f"'{module}' is no training that can be checked; {suggest(module, checked)}"
        )
    return checked[module]


if __name__ == "__main__":
    main()
