"""How late the words of streamed models are, beside their error rates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from espnet_kd.errors import KDError, reason_of
from espnet_kd.report.figures import cost_figure
from espnet_kd.report.results import FOREIGN, read_results
from espnet_kd.report.roles import in_order, title_of
from espnet_kd.report.scores import Run
from espnet_kd.report.section import Section

FILE = "latency.json"
HEAD = (
    *("model", "seeds", "WER %", "delay ms", "of each seed", "median", "90 %"),
    *("first token ms", "last token ms", "words revised", "RTF a chunk"),
)


@dataclass(frozen=True)
class StreamedRun:
    """One trained model, streamed over one set.

    Attributes:
        role: See ``espnet_kd.report.roles``.
        seed: Seed of the training.
        wer: Word error rate of what it wrote, in percent.
        latency: What ``espnet_kd.bin.latency`` wrote of it.
    """

    role: str
    seed: int
    wer: float
    latency: Mapping[str, Any]


def read_streamed(decode_dir: Path, run: Run) -> StreamedRun | None:
    """Read what was written of a streamed decoding; None for one that was not streamed.

    Args:
        decode_dir: The decoding's directory.
        run: Its scores.

    Raises:
        KDError: If it is damaged, or no output of ``espnet_kd.bin.latency``.
    """
    path = decode_dir / FILE
    if not path.exists():
        return None
    found = StreamedRun(run.role, run.seed, run.wer, read_results(path, "decoding"))
    try:
        _row([found])
        _setting([found])
    except FOREIGN as error:
        raise KDError(
            f"{path} was not written by espnet_kd.bin.latency, or changed since "
            f"({reason_of(error)}); run the decoding stage again"
        ) from None
    return found


def delay_section(title: str, runs: Sequence[StreamedRun]) -> Section:
    """Show word error rate against delay, a row a role: means over its seeds.

    Args:
        title: Of the section.
        runs: Models streamed over one set by one search, at least one.
    """
    roles = in_order(run.role for run in runs)
    by_role = {role: [run for run in runs if run.role == role] for role in roles}
    points = {}
    for role, own in by_role.items():
        delay = _mean(own, "delay_ms", "mean")
        if delay is not None:
            points[title_of(role)] = (role, delay, mean(run.wer for run in own))
    figure = cost_figure(points, "mean delay of a token (ms)") if points else ""
    rows = [_row(own) for own in by_role.values()]
    return Section(title, HEAD, rows, strong=2, figure=figure, text=_setting(runs))


def _row(own: Sequence[StreamedRun]) -> list[str]:
    delays = [run.latency["delay_ms"] for run in own]
    return [
        title_of(own[0].role),
        str(len(own)),
        f"{mean(run.wer for run in own):.2f}",
        _cell(_mean(own, "delay_ms", "mean")),
        ", ".join("none" if each is None else f"{each['mean']:.0f}" for each in delays),
        _cell(_mean(own, "delay_ms", "median")),
        _cell(_mean(own, "delay_ms", "p90")),
        _cell(_mean(own, "first_token_ms", "mean")),
        _cell(_mean(own, "last_token_ms", "mean")),
        f"{100 * mean(run.latency['revised'] for run in own):.1f} %",
        _cell(_mean(own, "rtf_of_chunk", "mean"), ".3f"),
    ]


def _mean(own: Sequence[StreamedRun], name: str, which: str) -> float | None:
    """The mean over seeds; None if one has no value."""
    found = [run.latency[name] for run in own]
    return None if None in found else mean(float(each[which]) for each in found)


def _cell(value: float | None, form: str = ".0f") -> str:
    return "none" if value is None else format(value, form)


def _setting(runs: Sequence[StreamedRun]) -> str:
    settings = [run.latency["setting"] for run in runs]
    ahead = sorted({(s["look_ahead_ms"], s["longest_wait_ms"]) for s in settings})
    waits = ", ".join(f"{least:g} to {most:g} ms" for least, most in ahead)
    references = ", ".join(sorted({str(s["reference"]) for s in settings}))
    return (
        f"Streamed in chunks of {settings[0]['chunk_ms']:g} ms; the encoders look ahead "
        f"{waits}. Delays of right tokens against {references}, in the time of the audio."
    )
