"""A teacher's targets of a batch as entries, and entries as a batch again."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_kd.cache.codec import Entry, Rows
from espnet_kd.cache.header import Header
from espnet_kd.cache.sparse import PAD, Sparse, densify, sparsify
from espnet_kd.errors import KDError, utterance_name
from espnet_kd.losses.divergence import kl_rows
from espnet_kd.masking import length_mask
from espnet_kd.model.outputs import Codes, Hidden, NBest, TeacherTargets
from espnet_kd.model.table import OUTPUTS, lasting_posterior_rows

RUN = np.iinfo(np.uint16).max
Part = TypeVar("Part")


def entries_of(targets: TeacherTargets, utts: Sequence[str], header: Header) -> list[Entry]:
    """What a teacher says about a batch, an entry an utterance.

    Args:
        targets: Of B utterances, dense.
        utts: Their names, B of them.
        header: Which parts are kept, and how exactly.

    Raises:
        KDError: If the targets lack a part that the header lists.
    """
    return [_entry(targets, row, utt, header) for row, utt in enumerate(utts)]


def _entry(targets: TeacherTargets, row: int, utt: str, header: Header) -> Entry:
    frames = int(targets.encoder_out_lens[row])
    entry = Entry(utt, frames)
    for part in lasting_posterior_rows():
        if part.name in header.parts:
            logits = _given(getattr(targets, part.field), part.name)[row]
            length = int(_given(getattr(targets, part.lengths), part.name)[row])
            entry.rows[part.name] = _rows(logits[:length], header, part.name)
    if "decoder" in header.parts:
        length = int(_given(targets.ys_in_lens, "decoder")[row])
        prefix = _given(targets.ys_in_pad, "decoder")[row]
        entry.labels = prefix[1:length].cpu().numpy().astype(np.uint32)
    for tap in header.taps:
        hidden = targets.hidden[tap]
        values = hidden.values[row, : int(hidden.lengths[row])]
        entry.hidden[tap] = _half(values)
    for coded in header.codebooks:
        codes = targets.codes[coded.tap]
        indices = codes.values[row, : int(codes.lengths[row])]
        entry.codes[coded.tap] = indices.cpu().numpy().astype(np.uint8)
    if "nbest" in header.parts:
        entry.nbest = _hypotheses(_given(targets.nbest, "nbest"), row)
    return entry


def _given(value: Part | None, part: str) -> Part:
    if value is None:
        raise KDError(f"there are no '{part}' targets, which the cache's header lists")
    return value


def _rows(logits: Tensor, header: Header, part: str) -> Rows:
    """Sparse rows, neighbours that are stored alike joined."""
    temperatures = header.temperatures_of(part)
    sparse = sparsify(
        logits,
        tolerance=header.tolerance,
        max_k=header.max_k,
        always=header.blank_id if OUTPUTS[part].tokens == "ctc" else 0,
        temperatures=temperatures,
    )
    kind = np.uint16 if logits.shape[1] <= 1 << 16 else np.uint32
    index = sparse.index.cpu().numpy()
    log_probs, tails = (
        values.cpu().numpy().astype(header.dtype)
        for values in (sparse.log_probs, sparse.tail)
    )
    counts = (index != PAD).sum(1)
    starts = _starts(index, log_probs, tails)
    # Each run reaches to the start of the next one, the last to the end.
    runs = np.diff(np.append(starts, len(index)))
    kept = index[starts] != PAD
    return Rows(
        runs=runs.astype(np.uint16),
        counts=counts[starts].astype(np.uint16),
        tokens=index[starts][kept].astype(kind),
        log_probs=log_probs[starts][kept],
        tails=tails[starts],
        lost=_lost(logits, sparse, header, temperatures),
    )


def _lost(
    logits: Tensor, sparse: Sparse, header: Header, temperatures: Sequence[float]
) -> np.ndarray:
    """What rows lose as they are read again, rounding included: see ``Rows.lost``."""
    kind = torch.float16 if header.dtype == "float16" else torch.float32
    stored = Sparse(sparse.index, sparse.log_probs.to(kind), sparse.tail.to(kind))
    again = densify(stored, logits.shape[1])
    losses = [kl_rows(again, logits, temperature) for temperature in temperatures]
    found = [
        [float(loss.sum()), float(loss.max()) if len(loss) else 0.0] for loss in losses
    ]
    return np.asarray(found, np.float32)


def _starts(index: np.ndarray, log_probs: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """Where a row differs from the one before it, as stored."""
    if not len(index):
        return np.zeros(0, np.int64)
    new = np.ones(len(index), bool)
    same = (index[1:] == index[:-1]).all(1) & (log_probs[1:] == log_probs[:-1]).all(1)
    new[1:] = ~(same & (tails[1:] == tails[:-1]))
    new[::RUN] = True
    return new.nonzero()[0]


def _half(values: Tensor) -> np.ndarray:
    limit = torch.finfo(torch.float16).max
    return values.float().clamp(-limit, limit).half().cpu().numpy()


def _hypotheses(nbest: NBest, row: int) -> list[tuple[list[int], float]]:
    found = []
    for place, length in enumerate(nbest.lengths[row].tolist()):
        if length >= 0:
            tokens = nbest.tokens[row, place, :length].tolist()
            found.append((tokens, float(nbest.log_probs[row, place])))
    return found


def prefix(place: int) -> str:
    """How the names of a cache's tensors begin in a batch, by its place among several."""
    return f"kd{place or ''}_"


def batch_of(entries: Sequence[Entry], place: int = 0) -> dict[str, Tensor]:
    """Padded tensors of some entries, for the batch they belong to.

    Their names begin with ``kd_``, or ``kdN_`` for the cache at place N of several.

    Args:
        entries: Of the batch's utterances, in its order.
        place: Of their cache among several.

    Returns:
        ``frames`` (B,); of posteriors ``index``, ``log_probs`` (B, T, K) and ``tail``
        (B, T), padded by ``PAD`` and 0; ``labels`` (B, U) and hidden values (B, T, D)
        with their ``lens`` (B,), codes (B, T, N) likewise; ``nbest_*`` as the fields of
        ``NBest``.
    """
    kd = prefix(place)
    batch = {f"{kd}frames": torch.tensor([entry.frames for entry in entries])}
    for part in entries[0].rows:
        batch |= _padded([entry.rows[part] for entry in entries], f"{kd}{part}")
    if entries[0].labels is not None:
        labels = [
            torch.from_numpy(_given(e.labels, "decoder").astype(np.int64)) for e in entries
        ]
        batch[f"{kd}labels"] = pad_sequence(labels, batch_first=True, padding_value=PAD)
        batch[f"{kd}labels_lens"] = torch.tensor([len(y) for y in labels])
    for name in ("hidden", "codes"):
        for tap in getattr(entries[0], name):
            arrays = [getattr(entry, name)[tap] for entry in entries]
            values = [torch.from_numpy(array.copy()) for array in arrays]
            batch[f"{kd}{name}.{tap}"] = pad_sequence(values, batch_first=True)
            batch[f"{kd}{name}_lens.{tap}"] = torch.tensor([len(v) for v in values])
    if entries[0].nbest is not None:
        nbest = NBest.of([_given(entry.nbest, "nbest") for entry in entries])
        batch |= {f"{kd}nbest_{name}": value for name, value in vars(nbest).items()}
    return batch


def _padded(rows: Sequence[Rows], name: str) -> dict[str, Tensor]:
    """Every frame's tokens, (B, T, K), with repetitions written out again."""
    width = max(int(r.counts.max(initial=1)) for r in rows)
    index, log_probs, tails = [], [], []
    for r in rows:
        place = np.arange(width) < r.counts[:, None]
        tokens = np.full(place.shape, PAD, np.int32)
        values = np.full(place.shape, -np.inf, r.log_probs.dtype)
        tokens[place], values[place] = r.tokens, r.log_probs
        index.append(torch.from_numpy(tokens.repeat(r.runs, 0)))
        log_probs.append(torch.from_numpy(values.repeat(r.runs, 0)))
        tails.append(torch.from_numpy(r.tails.repeat(r.runs)))
    return {
        f"{name}_index": pad_sequence(index, batch_first=True, padding_value=PAD),
        f"{name}_log_probs": pad_sequence(log_probs, batch_first=True),
        f"{name}_tail": pad_sequence(tails, batch_first=True),
    }


def targets_of(
    batch: Mapping[str, Tensor], header: Header, place: int = 0
) -> TeacherTargets:
    """The teacher's targets from what ``batch_of`` put there, dense as a live teacher's.

    Args:
        batch: With the tensors of ``batch_of``.
        header: Of the cache they are from.
        place: Of that cache among several.

    Returns:
        Log-probabilities as logits, float32; the transcript without start in ``ys_pad``.
    """
    kd = prefix(place)
    targets = TeacherTargets(batch[f"{kd}frames"], blank_id=header.blank_id)
    for part in lasting_posterior_rows():
        name = f"{kd}{part.name}"
        if f"{name}_index" in batch:
            index, log_probs, tail = (
                batch[f"{name}_{n}"] for n in ("index", "log_probs", "tail")
            )
            width = len(header.tokens_of(part.name))
            dense = densify(Sparse(index.long(), log_probs, tail), width)
            setattr(targets, part.field, dense)
    if f"{kd}labels" in batch:
        targets.ys_pad = batch[f"{kd}labels"]
        targets.ys_lens = batch[f"{kd}labels_lens"]
        targets.ys_in_lens = targets.ys_lens + 1
    for tap in header.taps:
        lengths = batch[f"{kd}hidden_lens.{tap}"]
        targets.hidden[tap] = Hidden(batch[f"{kd}hidden.{tap}"].float(), lengths)
    for coded in header.codebooks:
        lengths = batch[f"{kd}codes_lens.{coded.tap}"]
        indices = batch[f"{kd}codes.{coded.tap}"].long()
        targets.codes[coded.tap] = Codes(indices, lengths, coded.centroids)
    if f"{kd}nbest_tokens" in batch:
        fields = ("tokens", "lengths", "log_probs")
        targets.nbest = NBest(*(batch[f"{kd}nbest_{name}"] for name in fields))
    return targets


def check_labels(
    targets: TeacherTargets, ys_in: Tensor, ys_in_lens: Tensor, utts: Sequence[str] | None
) -> None:
    """Require the decoder's targets to be of the very text that the student hears.

    Args:
        targets: The teacher's, along ``ys_pad``.
        ys_in: What the student's decoder is forced along, start first, (B, U+1).
        ys_in_lens: Its real positions, (B,).
        utts: The utterances' names, if they are known.

    Raises:
        KDError: Naming the first utterance whose text differs.
    """
    student_labels, teacher_labels = ys_in[:, 1:], _given(targets.ys_pad, "decoder")
    width = min(student_labels.shape[1], teacher_labels.shape[1])
    places = length_mask(ys_in_lens - 1, width)
    apart = (student_labels[:, :width] != teacher_labels[:, :width]) & places
    wrong = apart.any(1) | (ys_in_lens != _given(targets.ys_in_lens, "decoder"))
    if wrong.any():
        name = utterance_name(int(wrong.nonzero()[0]), utts)
        raise KDError(
            f"the cached decoder targets of '{name}' are of another text than the "
            "student's; write the cache again from this data"
        )
