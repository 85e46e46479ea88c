"""When words were written, and how often others had been written before.

All of it is in the time of the audio, as if the machine were infinitely fast: what was
written after a chunk was written when that chunk's last sample had been spoken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean, median, quantiles

from espnet_kd.alignment.words import matches


@dataclass(frozen=True)
class Spread:
    """Some values in short.

    Attributes:
        mean: Their mean.
        median: Their median.
        p90: What nine of ten are not above.
        count: How many there are.
    """

    mean: float
    median: float
    p90: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Sum up values; None where there are none."""
        if not values:
            return None
        p90 = values[0]
        if len(values) > 1:
            p90 = quantiles(values, n=10, method="inclusive")[-1]
        shown = [round(v, 3) for v in (mean(values), median(values), p90)]
        return cls(shown[0], shown[1], shown[2], len(values))


@dataclass(frozen=True)
class Spoken:
    """When the tokens of a transcript were spoken.

    Attributes:
        labels: The tokens.
        begun_ms: The end of the first frame of each, in milliseconds.
        end_ms: The end of the last frame of the last one.
    """

    labels: Sequence[int]
    begun_ms: Sequence[float]
    end_ms: float


@dataclass(frozen=True)
class Delays:
    """How late one utterance's tokens were, in milliseconds of audio.

    Attributes:
        tokens: Of each token that is right, behind its own beginning.
        first: Of the first token, right or not, behind the beginning of the transcript's.
        last: Of the last token, right or not, behind the end of speech.
    """

    tokens: Sequence[float] = ()
    first: float | None = None
    last: float | None = None

    @classmethod
    def of(
        cls, labels: Sequence[int], written_ms: Sequence[float], spoken: Spoken
    ) -> "Delays":
        """Compare what was written with what was spoken.

        Args:
            labels: The tokens that were written in the end.
            written_ms: When each of them was written to stay.
            spoken: The transcript.
        """
        if not labels or not spoken.labels:
            return cls()
        pairs = matches(spoken.labels, labels)
        tokens = [written_ms[j] - spoken.begun_ms[i] for i, j in pairs]
        first = written_ms[0] - spoken.begun_ms[0]
        return cls(tokens, first, written_ms[-1] - spoken.end_ms)


def written_times(times: Sequence[float], partial: Sequence[Sequence[int]]) -> list[float]:
    """When each token of the last of several answers was written, to stay.

    A token counts as written when it and all before it are never changed again.

    Args:
        times: When each answer was given, rising.
        partial: All labels of each answer; the last one is what was written in the end.
    """
    final, end = partial[-1], len(partial[-1])
    staying = []  # how many tokens of the last answer stay from each answer on
    for labels in reversed(partial):
        end = min(end, _common(labels, final))
        staying.append(end)
    written: list[float] = []
    for time, count in zip(times, reversed(staying), strict=True):
        written += [time] * (count - len(written))
    return written


def revised_words(partial: Sequence[str]) -> int:
    """Number of words that were shown and then changed or taken back.

    A last word that grows is not changed ("HEL" and "HELLO"); all words behind one that is
    changed count as well, for whoever reads along reads them anew.

    Args:
        partial: The text of each answer, in their order.

    Source: after the unstable partial words of Shangguan et al. Analyzing the Quality and
    Stability of a Streaming End-to-End On-Device Speech Recognizer. 2020.
    """
    shown = [text.split() for text in partial]
    return sum(len(a) - _kept(a, b) for a, b in pairwise(shown))


def _kept(before: Sequence[str], after: Sequence[str]) -> int:
    """How many words of one answer are there in the next."""
    count = _common(before, after)
    grows = count == len(before) - 1 and count < len(after)
    return count + 1 if grows and after[count].startswith(before[count]) else count


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """Length of the longest beginning that two sequences share."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
