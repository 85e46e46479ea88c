"""Which hypotheses are worth learning from, and why not the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import median

from espnet_kd.alignment.words import word_error_rate
from espnet_kd.config.check import Check
from espnet_kd.pseudo_labels.hypotheses import Decoded, Hypothesis
from espnet_kd.pseudo_labels.normalise import normalise


@dataclass(frozen=True)
class Limits:
    """What a hypothesis must meet.

    Attributes:
        max_wer: Highest word error rate against the reference, in percent.
        min_confidence: Least confidence, see ``Hypothesis``.
        min_ratio: Least ratio of the hypothesis' characters to the reference's; without a
            reference, to what the audio's length makes expect at the median rate of all.
        max_ratio: Greatest such ratio.

    Raises:
        ArgumentsError: If a limit is out of range.
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
        dropped: Utterance to the reason why it is not kept.
        reasons: Kind of reason to the number of hypotheses dropped for it.
        pairs: Reference and hypothesis, normalised, of every first hypothesis.
        kept_pairs: The pairs of the hypotheses that are kept.
    """

    kept: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    kept_pairs: list[tuple[str, str]] = field(default_factory=list)

    def drop(self, utt: str, kind: str, detail: str = "") -> None:
        """Note a hypothesis that is not kept, with its reason."""
        self.dropped[utt] = f"{kind} {detail}".strip()
        self.reasons[kind] = self.reasons.get(kind, 0) + 1


def select(
    everything: Sequence[Decoded],
    limits: Limits,
    references: Mapping[str, str] | None = None,
) -> Selection:
    """Sort hypotheses into those to learn from and the others.

    Every hypothesis of an utterance is judged for itself. A second one that says the same
    as a better one (normalised) is dropped silently: it would only count twice.

    Args:
        everything: The decoded utterances.
        limits: What a hypothesis must meet.
        references: Utterance to transcript, where there are any.
    """
    result, references = Selection(), references or {}
    rate = _characters_a_unit(everything)
    for decoded in everything:
        if not decoded.nbest:
            result.drop(decoded.utt, "too short for the teacher")
        said: set[str] = set()
        for place, hypothesis in enumerate(decoded.nbest):
            text = normalise(hypothesis.text)
            if place and text in said:
                continue
            said.add(text)
            _judge(result, decoded, place, limits, references.get(decoded.utt), rate)
    return result


def name_of(utt: str, place: int) -> str:
    """Name an utterance with the hypothesis at a place, from 0, of its n-best list."""
    return utt if place == 0 else f"nb{place + 1}-{utt}"


def _judge(
    result: Selection,
    decoded: Decoded,
    place: int,
    limits: Limits,
    reference: str | None,
    rate: float,
) -> None:
    hypothesis, name = decoded.nbest[place], name_of(decoded.utt, place)
    text = normalise(hypothesis.text)
    wanted = None if reference is None else normalise(reference)
    if wanted is not None and place == 0:
        result.pairs.append((wanted, text))
    expected = decoded.length * rate if wanted is None else _size(wanted)
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


def _characters_a_unit(everything: Sequence[Decoded]) -> float:
    """The median over the utterances of the characters in a sample (or frame)."""
    rates = [
        _size(normalise(decoded.nbest[0].text)) / decoded.length
        for decoded in everything
        if decoded.length and decoded.nbest and normalise(decoded.nbest[0].text)
    ]
    return median(rates) if rates else 0.0


def _size(text: str) -> int:
    return len(text.replace(" ", ""))
