"""The frame of every command: its parser, the arguments that several share, its end."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from espnet_kd.errors import ArgumentsError, KDError
from espnet_kd.host.quiet import without_deprecations
from espnet_kd.host.release import explained_absence

if TYPE_CHECKING:
    from torch import nn

    from espnet_kd.student.build import Choice

PROGRAM = "python -m espnet_kd.bin."
YES_OR_NO = ("true", "false")


class SentenceFormatter(argparse.RawDescriptionHelpFormatter):
    """Keep the lines of descriptions and examples, and end each help by its default."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        # A number is a default, 0 too; a path, a flag or a list that is not given is none.
        is_told = isinstance(action.default, int | float | str) and action.default != ""
        if not is_told or isinstance(action.default, bool) or action.dest == "help":
            return action.help
        return f"{action.help} Default: %(default)s."


def command_parser(
    name: str, description: str | None, example: str
) -> argparse.ArgumentParser:
    """Make the parser of a command.

    Args:
        name: The command's module in ``espnet_kd.bin``.
        description: The module's docstring.
        example: Lines that a user can type, shown at the end of ``--help``.
    """
    return argparse.ArgumentParser(
        prog=f"{PROGRAM}{name}",
        description=description,
        epilog=f"example:\n{indent(example.strip(), '  ')}",
        formatter_class=SentenceFormatter,
    )


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], str | None],
    cmd: list[str] | None,
) -> None:
    """Parse the command line, run the command, and print what it answers.

    Args:
        parser: Made by ``command_parser``.
        run: Does the work; its answer, if there is one, goes to stdout.
        cmd: The arguments; None takes the program's own.

    Raises:
        SystemExit: If the arguments are wrong or the command cannot do what it was asked.
    """
    args = parser.parse_args(cmd)
    with named_errors(parser.prog.removeprefix(PROGRAM)), without_deprecations():
        answer = run(args)
        if answer is not None:
            print(answer)


@contextmanager
def named_errors(command: str) -> Iterator[None]:
    """End the program with a sentence, not a traceback, where a ``KDError`` says why.

    Args:
        command: The command's name, put before the sentence.

    Raises:
        SystemExit: In place of a ``KDError`` or ``ArgumentsError``; the status is 1.
    """
    try:
        with explained_absence():
            yield
    except (KDError, ArgumentsError) as error:
        sys.exit(f"{command}: {error}")


def add_experiment(parser: argparse.ArgumentParser, role: str = "model") -> None:
    """Declare ``--exp`` and ``--file``, which name a trained model, and ``--task``.

    Args:
        parser: The command's.
        role: What the command calls the model: ``model``, ``teacher``.
    """
    text = f"Experiment directory, packed zip or model tag of the {role}."
    parser.add_argument("--exp", required=True, help=text)
    add_file(parser)
    add_task(parser, role)


def add_file(parser: argparse.ArgumentParser) -> None:
    """Declare ``--file``, which picks a checkpoint of an experiment directory."""
    text = "Checkpoint in the experiment directory; without one, what training selected."
    parser.add_argument("--file", default=None, help=text)


def add_task(parser: argparse.ArgumentParser, role: str = "model") -> None:
    """Declare ``--task``, which names the ESPnet task that built the model."""
    parser.add_argument("--task", default="asr", help=f"ESPnet task of the {role}.")


def add_data(
    parser: argparse.ArgumentParser,
    use: str,
    *,
    required: bool = True,
    repeated: bool = False,
) -> None:
    """Declare ``--data_path_and_name_and_type`` in the form that ESPnet's commands take.

    Args:
        parser: The command's.
        use: What the data are for, as a relative clause (``on which ...``).
        required: Whether the command cannot do without.
        repeated: Whether it may be given several times (speech and text).
    """
    kind = "PATH,NAME,TYPE" if repeated else "PATH,speech,TYPE"
    text = f"Data {use}, {kind} as in ESPnet's commands"
    text += "; may be given several times, once a NAME." if repeated else "."
    parser.add_argument(
        "--data_path_and_name_and_type",
        action="append" if repeated else "store",
        default=[] if repeated and not required else None,
        required=required,
        metavar=kind,
        help=text,
    )


def add_measured_speech(parser: argparse.ArgumentParser, use: str) -> None:
    """Declare the optional data on which a changed model is compared with the original."""
    add_data(parser, use, required=False)
    add_utterances(parser)


def add_utterances(parser: argparse.ArgumentParser) -> None:
    """Declare ``--utterances``, how many utterances of the data are used."""
    text = "Number of utterances used, from the first of the data on."
    parser.add_argument("--utterances", type=int, default=20, help=text)


def add_drawn(parser: argparse.ArgumentParser) -> None:
    """Declare ``--drawn`` and ``--seed``, which say on what something is learned."""
    text = "Number of utterances that are drawn from the data."
    parser.add_argument("--drawn", type=int, default=1000, help=text)
    text = "Seed of all that is drawn."
    parser.add_argument("--seed", type=int, default=0, help=text)


def add_inference_config(parser: argparse.ArgumentParser) -> None:
    """Declare ``--inference_config``, a decoding configuration of ESPnet's recipes."""
    text = "YAML file with options of ESPnet's asr_inference, such as conf/decode.yaml."
    parser.add_argument("--inference_config", type=Path, default=None, help=text)


def add_frame_shift(parser: argparse.ArgumentParser) -> None:
    """Declare ``--frame_shift``, which features do not tell."""
    text = "Milliseconds from one frame of feats.scp to the next."
    parser.add_argument("--frame_shift", type=float, default=10.0, help=text)


def frame_shift_of(args: argparse.Namespace) -> float:
    """Read the argument of ``add_frame_shift``.

    Raises:
        KDError: If it is no time.
    """
    shift: float = args.frame_shift
    if not 0 < shift < inf:
        raise KDError("--frame_shift is a number of milliseconds above 0, such as 10")
    return shift


def add_sample_rate(parser: argparse.ArgumentParser) -> None:
    """Declare ``--fs``, which features do not tell either."""
    text = "Samples a second of the audio that feats.scp was made of."
    parser.add_argument("--fs", type=_positive, default=16000, help=text)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Declare ``--threads``, on how many a model is timed."""
    text = "Number of CPU threads that torch uses."
    parser.add_argument("--threads", type=_positive, default=1, help=text)


def _positive(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is no whole number above 0")


def add_ngpu(parser: argparse.ArgumentParser) -> None:
    """Declare ``--ngpu``, whether the model runs on a GPU."""
    text = "Number of GPUs: 0 runs the model on the CPU, 1 on a GPU."
    parser.add_argument("--ngpu", type=int, default=0, help=text)


def add_choice(parser: argparse.ArgumentParser, role: str) -> None:
    """Declare what decides which layers and units of a model become a smaller one.

    Args:
        parser: The command's.
        role: What the command calls the larger model: ``model``, ``teacher``.
    """
    # Imported here, for the other commands need no torch to say what they can do.
    from espnet_kd.student.build import SIDES
    from espnet_kd.student.importance import KINDS

    add_experiment(parser, role)
    add = parser.add_argument
    for side in SIDES:
        text = (
            f"Layers of the {role}'s {side} that are taken: uniform, first, last, or "
            "their numbers from 0 with commas (0,2,5)."
        )
        add(f"--{side}_layers", default="uniform", help=text)
    text = "Importance of a unit, by which narrower widths are cut."
    add("--importance", default="norm", choices=KINDS, help=text)
    use = "on which the importances activation and taylor are measured"
    add_data(parser, use, required=False, repeated=True)
    text = "Number of utterances on which activation and taylor are measured."
    add("--batches", type=int, default=50, help=text)
    text = "Seed of the parameters that stay random and of the importance random."
    add("--seed", type=int, default=0, help=text)


def choice_of(args: argparse.Namespace) -> "Choice":
    """Read the arguments of ``add_choice``."""
    from espnet_kd.student.build import SIDES, Choice

    return Choice(
        layers={side: getattr(args, f"{side}_layers") for side in SIDES},
        importance=args.importance,
        data=tuple(args.data_path_and_name_and_type),
        batches=args.batches,
        seed=args.seed,
    )


def add_compression(parser: argparse.ArgumentParser) -> None:
    """Declare which model is compressed, where to, and on what the result is compared."""
    add_experiment(parser)
    add_measured_speech(parser, "on which the model and its smaller form are compared")
    text = "File to write, a .pth; without one, a file beside the checkpoint."
    parser.add_argument("--output", type=Path, default=None, help=text)


def write_compressed_model(
    args: argparse.Namespace, form: str, write: Callable[["nn.Module", Path], str]
) -> str:
    """Do what the commands have in common that write a model in a smaller form.

    Args:
        args: The arguments of ``add_compression``.
        form: Name of the form, which goes into the name of the file.
        write: Writes a model, which it may change, to a file, and gives a remark.

    Returns:
        The sizes before and after, the distance between the two, and the remark.

    Raises:
        KDError: If there is no place to write to, or the model has no such form.
    """
    from espnet_kd.host.compat import task_class
    from espnet_kd.host.experiment import open_experiment
    from espnet_kd.student.compress import comparison_speech, compress, path_beside

    task, data = task_class(args.task), args.data_path_and_name_and_type
    with open_experiment(args.exp, args.file) as experiment:
        weights = experiment.files.weights
        output = args.output or path_beside(weights, Path(args.exp), form)
        speech = comparison_speech(experiment, task, data, args.utterances)
        return compress(experiment, task, output, write, speech)
