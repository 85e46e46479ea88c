"""Which hypotheses are worth learning from, and why not the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import median

from espnet_kd.alignment.words import word_error_rate
from espnet_kd.config.check import Check
from espnet_kd.pseudo_labels.hypotheses import Heard, Hypothesis
from espnet_kd.pseudo_labels.normalise import normalise


@dataclass(frozen=True)
class Limits:
    """What a hypothesis must meet.

    Attributes:
        max_wer: Word error rate against the reference, in percent.
        min_confidence: See ``Hypothesis``.
        min_ratio: Its characters beside those of the reference; without a reference,
            beside what the audio's length makes expect at the median rate of all.
        max_ratio: The same, from above.
    """

    max_wer: float = inf
    min_confidence: float = 0.0
    min_ratio: float = 0.0
    max_ratio: float = inf

    def __post_init__(self) -> None:
        check = Check()
        check.not_negative("max_wer", self.max_wer, infinite=True)
        if not 0 <= self.min_confidence <= 1:
            check.add("min_confidence", f"is a probability, got {self.min_confidence}")
        check.not_negative("min_ratio", self.min_ratio)
        if not self.max_ratio > self.min_ratio:
            check.add("max_ratio", f"must be above min_ratio, got {self.max_ratio}")
        check.done()


@dataclass
class Selection:
    """What is kept and what is not.

    Attributes:
        kept: Utterance (``nbN-`` in front for the N-th best) to transcript.
        dropped: Utterance to why.
        reasons: Kind of reason to how many.
        pairs: Reference and hypothesis, normalised, of every first hypothesis.
        kept_pairs: Of those that are kept.
    """

    kept: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    kept_pairs: list[tuple[str, str]] = field(default_factory=list)

    def drop(self, utt: str, kind: str, detail: str = "") -> None:
        """Note one that is not kept."""
        self.dropped[utt] = f"{kind} {detail}".strip()
        self.reasons[kind] = self.reasons.get(kind, 0) + 1


def select(
    everything: Sequence[Heard],
    limits: Limits,
    references: Mapping[str, str] | None = None,
) -> Selection:
    """Sort hypotheses into those to learn from and the others.

    Every hypothesis of an utterance is judged for itself. A second one that says the same
    as a better one (normalised) is dropped silently: it would only count twice.

    Args:
        everything: What was heard.
        limits: What is asked of a hypothesis.
        references: Transcripts, where there are any.
    """
    result, references = Selection(), references or {}
    rate = _characters_a_unit(everything)
    for heard in everything:
        if not heard.nbest:
            result.drop(heard.utt, "too short for the teacher")
        said: set[str] = set()
        for place, hypothesis in enumerate(heard.nbest):
            text = normalise(hypothesis.text)
            if place and text in said:
                continue
            said.add(text)
            _judge(result, heard, place, limits, references.get(heard.utt), rate)
    return result


def name_of(utt: str, place: int) -> str:
    """What an utterance is called with its hypothesis at a place, from 0."""
    return utt if place == 0 else f"nb{place + 1}-{utt}"


def _judge(
    result: Selection,
    heard: Heard,
    place: int,
    limits: Limits,
    reference: str | None,
    rate: float,
) -> None:
    hypothesis, name = heard.nbest[place], name_of(heard.utt, place)
    text = normalise(hypothesis.text)
    wanted = None if reference is None else normalise(reference)
    if wanted is not None and place == 0:
        result.pairs.append((wanted, text))
    expected = heard.length * rate if wanted is None else _size(wanted)
    reason = _why_not(hypothesis, text, wanted, expected, limits)
    if reason:
        result.drop(name, *reason)
        return
    result.kept[name] = hypothesis.text
    if wanted is not None and place == 0:
        result.kept_pairs.append((wanted, text))


def _why_not(
    hypothesis: Hypothesis,
    text: str,
    wanted: str | None,
    expected: float,
    limits: Limits,
) -> tuple[str, str] | None:
    if not text:
        return "empty", ""
    if hypothesis.confidence < limits.min_confidence:
        return "confidence", f"{hypothesis.confidence:.3f} < {limits.min_confidence:g}"
    if wanted is not None:
        wer = word_error_rate([(wanted, text)])
        if wer > limits.max_wer:
            return "wer", f"{wer:.1f} > {limits.max_wer:g}"
    ratio = _size(text) / expected if expected else inf
    if ratio < limits.min_ratio:
        return "length ratio", f"{ratio:.2f} < {limits.min_ratio:g}"
    if ratio > limits.max_ratio:
        return "length ratio", f"{ratio:.2f} > {limits.max_ratio:g}"
    return None


def _characters_a_unit(everything: Sequence[Heard]) -> float:
    """Median over the utterances of characters a sample (or frame)."""
    rates = [
        _size(normalise(heard.nbest[0].text)) / heard.length
        for heard in everything
        if heard.length and heard.nbest and normalise(heard.nbest[0].text)
    ]
    return median(rates) if rates else 0.0


def _size(text: str) -> int:
    return len(text.replace(" ", ""))
