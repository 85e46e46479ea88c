"""Systems beside each other on one test set."""

from collections.abc import Mapping
from itertools import combinations

from espnet_kd.alignment.words import word_error_rate, word_errors
from espnet_kd.report.bootstrap import paired_interval
from espnet_kd.report.section import Section

Texts = Mapping[str, str]


def agreement_section(reference: Texts, systems: Mapping[str, Texts]) -> Section:
    """Tell each system's error rate and agreement with the first, in percent.

    Args:
        reference: Utterance to transcript.
        systems: Name of a system to its utterances' words, the teacher first.
    """
    first = next(iter(systems.values()))
    rows = []
    for name, texts in systems.items():
        wer = word_error_rate([(reference[u], texts[u]) for u in reference])
        same = 100 - word_error_rate([(first[u], texts[u]) for u in reference])
        rows.append([name, f"{wer:.2f}", f"{same:.2f}"])
    head = ["system", "WER %", "agreement %"]
    return Section(f"Agreement with {next(iter(systems))}", head, rows)


def interval_section(
    reference: Texts, systems: Mapping[str, Texts], *, draws: int = 10000, seed: int = 0
) -> Section:
    """Tell the difference of every pair's error rates, with a bootstrap interval.

    Args:
        reference: Utterance to transcript.
        systems: Name of a system to its utterances' words.
        draws: Number of test sets drawn.
        seed: Seed of the drawing.
    """
    words = [len(text.split()) for text in reference.values()]
    errors = {
        name: [word_errors(reference[u], texts[u]) for u in reference]
        for name, texts in systems.items()
    }
    rows = []
    for one, other in combinations(systems, 2):
        found = paired_interval(errors[one], errors[other], words, draws=draws, seed=seed)
        span = f"{found.low:+.2f} to {found.high:+.2f}"
        clear = "yes" if found.is_clear else "no"
        rows.append([f"{one} - {other}", f"{found.difference:+.2f}", span, clear])
    head = ["pair", "difference", "95 % interval", "clear"]
    text = "Paired bootstrap over utterances (Bisani and Ney 2004), "
    return Section("Differences", head, rows, text=f"{text}{draws} draws, seed {seed}.")
