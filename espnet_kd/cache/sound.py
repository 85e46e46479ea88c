"""What must hold of an entry before anybody trains on it, whoever wrote it.

A checksum says that bytes are those that were written, not that they make sense.
"""

from collections.abc import Iterator

import numpy as np

from espnet_kd.cache.codec import Entry, Rows
from espnet_kd.cache.header import Coded, Header
from espnet_kd.model.table import OUTPUTS

# Encoder frames of an utterance: more than ten hours of speech.
MOST_FRAMES = 1 << 20


def faults_of(entry: Entry, header: Header) -> Iterator[str]:
    """Tell in what an entry contradicts itself or the header of its cache."""
    if entry.frames > MOST_FRAMES:
        yield f"{entry.frames} frames"
        return
    posteriors = {part for part in header.parts if OUTPUTS[part].posterior}
    coded = tuple(own.tap for own in header.codebooks)
    names = (tuple(entry.hidden), tuple(entry.codes))
    if entry.rows.keys() != posteriors or names != (header.taps, coded):
        yield "other parts than the header lists"
        return
    if ("decoder" in posteriors) != (entry.labels is not None):
        yield "posteriors without labels, or labels without posteriors"
        return
    if ("nbest" in header.parts) != (entry.nbest is not None):
        yield "other parts than the header lists"
    for part, rows in entry.rows.items():
        yield from _of_rows(part, rows, entry, header)
    if entry.labels is not None:
        yield from _of_tokens("labels", entry.labels, len(header.tokens_of("decoder")))
    for tokens, _ in entry.nbest or ():
        found = np.asarray(tokens, np.int64)
        yield from _of_tokens("nbest", found, len(header.token_list))
    for tap, width in zip(header.taps, header.widths, strict=True):
        values = entry.hidden[tap]
        if values.ndim != 2 or values.shape[1] != width or values.dtype.kind != "f":
            yield f"{tap} of another shape"
    for own in header.codebooks:
        yield from _of_codes(own, entry.codes[own.tap])


def _of_codes(coded: Coded, codes: np.ndarray) -> Iterator[str]:
    if codes.ndim != 2 or codes.shape[1] != coded.count or codes.dtype != np.uint8:
        yield f"codes of {coded.tap} of another shape or type"
    elif codes.size and int(codes.max()) >= coded.centroids:
        yield f"codes of {coded.tap} beyond the codebooks' {coded.centroids} centroids"


def _of_rows(part: str, rows: Rows, entry: Entry, header: Header) -> Iterator[str]:
    arrays = {k: v for k, v in vars(rows).items() if k != "lost"}
    kinds = {name: "f" if name in ("log_probs", "tails") else "u" for name in arrays}
    if any(v.ndim != 1 or v.dtype.kind != kinds[n] for n, v in arrays.items()):
        yield f"{part} of another shape or type"
        return
    if not len(rows.runs) == len(rows.counts) == len(rows.tails):
        yield f"{part} rows of several numbers"
        return
    if not int(rows.counts.sum()) == len(rows.tokens) == len(rows.log_probs):
        yield f"{part} tokens of several numbers"
    labels = 0 if entry.labels is None else len(entry.labels)
    wanted = entry.frames if OUTPUTS[part].by_frame else labels + 1
    if int(rows.runs.sum()) != wanted:
        yield f"{part} posteriors of {int(rows.runs.sum())} places instead of {wanted}"
    yield from _of_tokens(part, rows.tokens, len(header.tokens_of(part)))
    if np.isnan(rows.log_probs).any() or np.isnan(rows.tails).any():
        yield f"{part} posteriors that are no numbers"
    if rows.lost.shape != (len(header.temperatures_of(part)), 2):
        yield f"{part} losses of other temperatures"


def _of_tokens(part: str, tokens: np.ndarray, vocabulary: int) -> Iterator[str]:
    if tokens.ndim != 1 or (tokens.size and int(tokens.max()) >= vocabulary):
        yield f"{part} tokens that are none of the token list"
