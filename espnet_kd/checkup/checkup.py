"""A training's command line to all that is to be said about it, without training."""

import argparse
import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from tempfile import TemporaryDirectory
from typing import Any

from espnet_kd.checkup.examination import Examination, Findings
from espnet_kd.checkup.reading import SPLITS, data_problems, distributed_option
from espnet_kd.checkup.reasons import Reasons, functions_passed, one_line, reasons_of
from espnet_kd.checkup.rehearsal import Prepared, on_one_cpu, rehearse
from espnet_kd.host.known_tasks import TASKS
from espnet_kd.tasks import variants

UNREAD = "the arguments cannot be read ({why}); mend the file that --config names"
ERROR = re.compile(r"error: (.*)", re.DOTALL)


def check_up(name: str, arguments: Sequence[str], *, steps: int, heard: int) -> Findings:
    """Try a training.

    Args:
        name: ESPnet task, a key of ``TASKS``.
        arguments: Of its training module.
        steps: Training batches on which steps are timed.
        heard: Validation utterances by which student and teacher are compared.
    """
    findings = Findings()
    task: type[Any] = getattr(variants, f"KD{TASKS[name][1]}")
    args = _parsed(task, arguments, findings.reasons)
    if args is None:
        return findings
    for split in SPLITS:
        if problems := list(data_problems(args, split)):
            findings.reasons.add(*problems)
            findings.unread.add(split)
    if _is_accepted(task, args, findings.reasons):
        _rehearsed(task, args, findings, (steps, heard))
    return findings


def _parsed(
    task: type[Any], arguments: Sequence[str], reasons: Reasons
) -> argparse.Namespace | None:
    """The arguments as the training's own parser reads them; None if it does not."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            args: argparse.Namespace = task.get_parser().parse_args(list(arguments))
    except SystemExit:
        reasons.add(_last_error(said.getvalue()))
        return None
    except Exception as error:
        reasons.add(*reasons_of(error, UNREAD))
        return None
    return args


def _is_accepted(task: type[Any], args: argparse.Namespace, reasons: Reasons) -> bool:
    """Whether a training would begin with these arguments, and distil."""
    said = io.StringIO()
    before = len(reasons)
    if not getattr(args, "kd_conf", None):
        reasons.add("no --kd_conf is given, so that nothing would be distilled; add one")
    if getattr(args, "collect_stats", False):
        reasons.add("--collect_stats true trains nothing; leave it out to check a training")
    try:
        with redirect_stderr(said), reasons.attempt():
            task.check_required_command_args(args)
    except SystemExit:
        reasons.add(_last_error(said.getvalue()))
    return len(reasons) == before


def _rehearsed(
    task: type[Any], args: argparse.Namespace, findings: Findings, sizes: tuple[int, int]
) -> None:
    def look(prepared: Prepared) -> None:
        Examination(prepared, findings, *sizes)()

    try:
        rehearse(task, args, look)
    except Exception as error:
        findings.reasons.add(*reasons_of(error))
        if not {"build_iter_factory", "look"} & functions_passed(error):
            _read_anyway(task, args, findings)


def _read_anyway(task: type[Any], args: argparse.Namespace, findings: Findings) -> None:
    """Try the data of a training that does not come so far, for they may be amiss too."""
    with TemporaryDirectory() as folder:
        alone = on_one_cpu(args, folder)
        for mode in (split for split in SPLITS if split not in findings.unread):
            with findings.reasons.attempt():
                option = distributed_option(alone)
                iterator = task.build_iter_factory(alone, option, mode).build_iter(1)
                next(iter(iterator), None)


def _last_error(text: str) -> str:
    """What a parser complained of, without its usage."""
    found = ERROR.search(text)
    return one_line(found[1] if found else text) + "; see the training's own --help"
