"""What streaming one set came to: numbers for machines, and a table of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from espnet_kd.alignment.words import word_error_rate
from espnet_kd.report.section import Section
from espnet_kd.streaming.emission import Delays, Spread

HEAD = (
    *("search", "WER %", "delay ms", "median", "90 %", "first token ms", "last token ms"),
    *("words revised", "RTF a chunk", "90 %"),
)


@dataclass(frozen=True)
class Streamed:
    """One utterance, as it was streamed.

    Attributes:
        reference: Its transcript.
        text: What was written in the end.
        tokens: The same as tokens.
        written_ms: When each token was written to stay.
        delays: How late that was.
        is_aligned: Whether its transcript could be laid along its audio.
        revised: Number of words that were shown and then changed.
        seconds: How long its audio is.
        chunk_seconds: How long each chunk took.
    """

    reference: str
    text: str
    tokens: Sequence[str]
    written_ms: Sequence[float]
    delays: Delays
    is_aligned: bool
    revised: int
    seconds: float
    chunk_seconds: Sequence[float]


def summary(setting: Mapping[str, Any], streamed: Mapping[str, Streamed]) -> dict[str, Any]:
    """Put all utterances together, as ``latency.json`` holds them.

    Args:
        setting: Under what conditions; ``chunk_ms`` is read of it.
        streamed: Utterance to what came of it, at least one.

    Returns:
        ``setting``; ``delay_ms``, ``first_token_ms``, ``last_token_ms`` and
        ``rtf_of_chunk``, each a ``Spread`` or None without a value; ``rtf``, ``wer`` in
        percent with every error counted as one; ``revised``, changed words over words
        written; numbers of utterances; and each of these.
    """
    found = list(streamed.values())
    delays = [s.delays for s in found]
    taken = [seconds for s in found for seconds in s.chunk_seconds]
    heard = sum(s.seconds for s in found)
    words = sum(len(s.text.split()) for s in found)
    length = setting["chunk_ms"] / 1000.0
    return {
        "setting": dict(setting),
        "delay_ms": _spread([ms for d in delays for ms in d.tokens]),
        "first_token_ms": _spread([d.first for d in delays if d.first is not None]),
        "last_token_ms": _spread([d.last for d in delays if d.last is not None]),
        "revised": round(sum(s.revised for s in found) / max(words, 1), 4),
        "rtf_of_chunk": _spread([seconds / length for seconds in taken]),
        "rtf": round(sum(taken) / heard, 4) if heard else None,
        "wer": round(word_error_rate([(s.reference, s.text) for s in found]), 3),
        "utterances": len(found),
        "seconds": round(heard, 2),
        "empty": sum(not s.tokens for s in found),
        "not_aligned": sum(not s.is_aligned for s in found),
        "by_utterance": {utt: _by_utterance(s) for utt, s in streamed.items()},
    }


def _spread(values: Sequence[float]) -> dict[str, Any] | None:
    spread = Spread.of(values)
    return None if spread is None else asdict(spread)


def _by_utterance(streamed: Streamed) -> dict[str, Any]:
    return {
        "text": streamed.text,
        "tokens": list(streamed.tokens),
        "written_ms": [round(ms, 3) for ms in streamed.written_ms],
        "delay_ms": [round(ms, 3) for ms in streamed.delays.tokens],
        "revised": streamed.revised,
        "seconds": round(streamed.seconds, 3),
    }


def latency_section(found: Mapping[str, Any]) -> Section:
    """Show a summary as a table of one row.

    Args:
        found: What ``summary`` gives.
    """
    delay, chunk = found["delay_ms"], found["rtf_of_chunk"]
    row = [
        str(found["setting"]["search"]),
        f"{found['wer']:.2f}",
        *(_cell(delay, name, ".0f") for name in ("mean", "median", "p90")),
        _cell(found["first_token_ms"], "mean", ".0f"),
        _cell(found["last_token_ms"], "mean", ".0f"),
        f"{100 * found['revised']:.1f} %",
        *(_cell(chunk, name, ".3f") for name in ("mean", "p90")),
    ]
    return Section("Latency", HEAD, [row], text=_setting(found))


def _cell(spread: Mapping[str, Any] | None, name: str, form: str) -> str:
    return "none" if spread is None else format(spread[name], form)


def _setting(found: Mapping[str, Any]) -> str:
    setting = found["setting"]
    count = (found["delay_ms"] or {"count": 0})["count"]
    return (
        f"{found['utterances']} utterances, {found['seconds']} s, in chunks of "
        f"{setting['chunk_ms']:g} ms; {setting['hears']}: "
        f"looks ahead {setting['look_ahead_ms']:g} to {setting['longest_wait_ms']:g} ms, "
        f"writes after {setting['first_ms']:g} ms at the earliest. Delays of {count} right "
        f"tokens against {setting['reference']}, in the time of the audio; "
        f"{found['empty']} utterances without a token, {found['not_aligned']} whose "
        f"transcript has no alignment. Every error counts one. {setting['threads']} "
        f"thread(s); {setting['versions']}."
    )
