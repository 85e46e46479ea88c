"""Targets of one utterance as bytes, and back."""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import IO

import numpy as np

from espnet_kd.errors import KDError, reason_of

MAGIC = b"KDT1"
BLOCK = b"NPY"
# Every array of an entry: its name's length, its type, its number of axes.
ARRAY = struct.Struct("<HBB")
DTYPES = ("uint8", "uint16", "uint32", "float16", "float32", "int64")


@dataclass
class Rows:
    """Sparse rows in the form they are stored.

    Attributes:
        runs: How many times each stored row repeats, (R,) uint16.
        counts: Tokens kept of each, (R,) uint16.
        tokens: All of them in order, uint16 or uint32.
        log_probs: Their log-probabilities, float16.
        tails: Log-probability of the rest of each row, (R,) float16.
        lost: What the rows lose as they are stored, by temperature: the sum over all rows
            and the most of one, in nats, (temperatures, 2) float32.
    """

    runs: np.ndarray
    counts: np.ndarray
    tokens: np.ndarray
    log_probs: np.ndarray
    tails: np.ndarray
    lost: np.ndarray


@dataclass
class Entry:
    """Targets of one utterance.

    Attributes:
        utt: Its name.
        rows: Posteriors by the name of their part, a row a frame or a label.
        labels: What the decoder was forced along, without start, (U,).
        hidden: Hidden representations by tap, (T, D) float16.
        nbest: Hypotheses, best first, each with its score.
        codes: Indices into codebooks by tap, (T, N) uint8.
        frames: Encoder frames.
    """

    utt: str
    frames: int
    rows: dict[str, Rows] = field(default_factory=dict)
    labels: np.ndarray | None = None
    hidden: dict[str, np.ndarray] = field(default_factory=dict)
    nbest: list[tuple[list[int], float]] | None = None
    codes: dict[str, np.ndarray] = field(default_factory=dict)


def encode(entry: Entry) -> np.ndarray:
    """An entry as (N,) uint8, closed by a checksum of all before it."""
    arrays = {"utt": _text(entry.utt), "frames": np.asarray([entry.frames], np.uint32)}
    for part, rows in entry.rows.items():
        arrays |= {f"{part}.{name}": value for name, value in vars(rows).items()}
    if entry.labels is not None:
        arrays["labels"] = np.asarray(entry.labels, np.uint32)
    arrays |= {f"hidden.{tap}": values for tap, values in entry.hidden.items()}
    arrays |= {f"codes.{tap}": values for tap, values in entry.codes.items()}
    if entry.nbest is not None:
        arrays["nbest.scores"] = np.asarray([s for _, s in entry.nbest], np.float32)
        arrays["nbest.lengths"] = np.asarray([len(y) for y, _ in entry.nbest], np.uint32)
        tokens = [token for y, _ in entry.nbest for token in y]
        arrays["nbest.tokens"] = np.asarray(tokens, np.uint32)
    body = MAGIC + b"".join(_packed(name, value) for name, value in arrays.items())
    return np.frombuffer(body + struct.pack("<I", zlib.crc32(body)), np.uint8)


def decode(data: np.ndarray, utt: str) -> Entry:
    """The entry of an utterance.

    Raises:
        KDError: If the bytes are not what was written for that utterance.
    """
    body = data.tobytes() if data.dtype == np.uint8 and data.ndim == 1 else b""
    checksum = struct.pack("<I", zlib.crc32(body[:-4]))
    if not body.startswith(MAGIC) or body[-4:] != checksum:
        raise KDError(
            f"the cached targets of '{utt}' are damaged (checksum); write the cache again"
        )
    try:
        entry = _entry(_unpacked(body[len(MAGIC) : -4]))
    except Exception as error:  # whatever arrays that are missing, or others, do to it
        raise KDError(
            f"the cached targets of '{utt}' are damaged ({reason_of(error)}); write the "
            "cache again"
        ) from None
    if entry.utt != utt:
        raise KDError(
            f"the cache holds targets of '{entry.utt}' in the place of '{utt}': its index "
            "belongs to another archive; write the cache again"
        )
    return entry


def _entry(arrays: Mapping[str, np.ndarray]) -> Entry:
    return Entry(
        arrays["utt"].tobytes().decode(),
        int(arrays["frames"][0]),
        rows=_rows(arrays),
        labels=arrays.get("labels"),
        hidden=_under("hidden.", arrays),
        nbest=_nbest(arrays),
        codes=_under("codes.", arrays),
    )


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    named = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays[name] for name in named}


def read_block(file: IO[bytes]) -> np.ndarray:
    """Read an array as ``kaldiio`` writes one with ``write_function="numpy"``.

    ``kaldiio`` would also read a pickle here, and run what it says.

    Args:
        file: An archive, at the place that an index names.

    Raises:
        ValueError: If something else is there.
    """
    if file.read(len(BLOCK)) != BLOCK:
        raise ValueError("no array is there")
    width = int.from_bytes(file.read(1), "little")
    block = file.read(int.from_bytes(file.read(width), "little"))
    array: np.ndarray = np.lib.format.read_array(io.BytesIO(block), allow_pickle=False)
    return array


def _rows(arrays: Mapping[str, np.ndarray]) -> dict[str, Rows]:
    names = [field.name for field in fields(Rows)]
    parts = [name.removesuffix(".runs") for name in arrays if name.endswith(".runs")]
    return {p: Rows(*(arrays[f"{p}.{name}"] for name in names)) for p in parts}


def _nbest(arrays: Mapping[str, np.ndarray]) -> list[tuple[list[int], float]] | None:
    if "nbest.scores" not in arrays:
        return None
    ends = arrays["nbest.lengths"].cumsum()
    tokens = np.split(arrays["nbest.tokens"], ends[:-1]) if len(ends) else []
    scores = arrays["nbest.scores"].tolist()
    return [(y.tolist(), score) for y, score in zip(tokens, scores, strict=True)]


def _packed(name: str, value: np.ndarray) -> bytes:
    value = np.ascontiguousarray(value)
    label = name.encode()
    head = ARRAY.pack(len(label), DTYPES.index(value.dtype.name), value.ndim)
    shape = struct.pack(f"<{value.ndim}I", *value.shape)
    little = value.astype(value.dtype.newbyteorder("<"), copy=False)
    return head + label + shape + little.tobytes()


def _unpacked(body: bytes) -> dict[str, np.ndarray]:
    arrays, at = {}, 0
    while at < len(body):
        length, kind, axes = ARRAY.unpack_from(body, at)
        at += ARRAY.size
        name = body[at : at + length].decode()
        at += length
        shape = struct.unpack_from(f"<{axes}I", body, at)
        at += 4 * axes
        dtype = np.dtype(DTYPES[kind]).newbyteorder("<")
        count = int(np.prod(shape, dtype=np.int64))
        value = np.frombuffer(body, dtype, count, at).reshape(shape)
        arrays[name] = value
        at += value.nbytes
    return arrays


def _text(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)
