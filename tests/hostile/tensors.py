"""Checkpoints, statistics, archives and audio that are not what they should be."""

import io
import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile
import torch
from hostile.files import rewrite

from espnet_kd.cache.codec import MAGIC, _packed, _unpacked
from espnet_kd.cache.header import _digest
from espnet_kd.host.files import hash_files


class _Trap:
    """What makes a canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def pickle_of(canary: Path) -> bytes:
    """A pickle that makes a canary."""
    return pickle.dumps({"a": _Trap(canary)})


def torch_trap(path: Path, _order: Random, canary: Path) -> None:
    """A checkpoint that runs something, in torch's form."""
    _save(path, {"a": _Trap(canary)})


def pickle_trap(path: Path, _order: Random, canary: Path) -> None:
    """A plain pickle that runs something."""
    rewrite(path, pickle_of(canary))


def legacy_trap(path: Path, _order: Random, canary: Path) -> None:
    """A checkpoint that runs something, in torch's old form."""
    path.unlink()
    torch.save({"a": _Trap(canary)}, path, _use_new_zipfile_serialization=False)


def deep_pickle(path: Path, _order: Random, _canary: Path) -> None:
    """Lists in lists."""
    rewrite(path, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")


def other_content(path: Path, order: Random, _canary: Path) -> None:
    """Something else than named tensors."""
    tensor = torch.ones(2)
    contents: list[Any] = [
        *([], {}, 3, "x", None, tensor, [tensor], (1, 2), {"a": 1}, {1: tensor}),
        *({"model": 3}, {"model": {"a": "x"}}, {"module": {}}, {"module": "x"}),
        *({"a": {"b": tensor}}, {"": tensor}, {"model": {}, "module": {}}, True),
        *({"module": "espnet_kd", "format": "espnet_kd compressed 1", "form": "int8"},),
        *({"module": "espnet_kd", "format": "espnet_kd compressed 1", "form": []},),
    ]
    _save(path, order.choice(contents))


def other_tensor(path: Path, order: Random, _canary: Path) -> None:
    """One parameter of another kind or shape."""
    state = torch.load(path, weights_only=True)
    name = order.choice(sorted(state))
    value = state[name]
    others: list[Any] = [
        *(value.double(), value.half(), value.bool(), value.to(torch.complex64)),
        *(value[None], value.flatten(), value.flatten()[:0], torch.tensor(1.0), "x", 5),
        *(value.to_sparse() if value.dim() else value, value.to("meta"), None, [value]),
        *(torch.ones(1).expand(10**12), torch.ones(1).expand(10**6, 10**6), value.int()),
    ]
    state[name] = order.choice(others)
    _save(path, state)


def not_numbers(path: Path, order: Random, _canary: Path) -> None:
    """A parameter of what is no number, or too large a one."""
    state = torch.load(path, weights_only=True)
    name = order.choice(sorted(n for n, v in state.items() if v.is_floating_point()))
    state[name] = torch.full_like(state[name], order.choice([np.nan, np.inf, 3e38]))
    _save(path, state)


def parameter_less(path: Path, order: Random, _canary: Path) -> None:
    """A parameter is missing."""
    state = torch.load(path, weights_only=True)
    del state[order.choice(sorted(state))]
    _save(path, state)


def _save(path: Path, content: Any) -> None:
    path.unlink()
    torch.save(content, path)


CHECKPOINTS = (
    *(torch_trap, pickle_trap, legacy_trap, deep_pickle, other_content, other_tensor),
    *(not_numbers, parameter_less),
)


def other_array(path: Path, order: Random, _canary: Path) -> None:
    """Statistics of another shape, type or name."""
    arrays = dict(np.load(path))
    name = order.choice(sorted(arrays))
    value = arrays.pop(name)
    others = [value[None], value.astype(str), value.astype(np.float16), np.ones(3)]
    others += [np.full_like(value, np.nan), np.zeros_like(value), np.array("x")]
    arrays[order.choice([name, name, "other"])] = order.choice(others)
    path.unlink()
    np.savez(path, **arrays)


def pickled_array(path: Path, _order: Random, canary: Path) -> None:
    """Statistics that run something when they are unpickled."""
    path.unlink()
    trap = np.empty(1, dtype=object)
    trap[0] = _Trap(canary)
    np.savez(path, count=trap, sum=trap, sum_square=trap)


STATISTICS = (other_array, pickled_array)


def pickle_in_ark(path: Path, order: Random, canary: Path) -> None:
    """A pickle where an entry of an archive is, as kaldiio reads it."""
    data = path.read_bytes()
    at = _entry_start(data, order)
    rewrite(path, data[:at] + b"PKL" + pickle_of(canary) + data[at:])


def large_in_ark(path: Path, order: Random, _canary: Path) -> None:
    """An entry that says that it is huge."""
    data = path.read_bytes()
    at = _entry_start(data, order)
    huge = struct.pack("<i", order.choice([2**31 - 1, -1, 10**8]))
    kinds = [b"\0BFM \4" + huge + b"\4" + huge, b"\0BDV \4" + huge, b"\0B\4" + huge]
    head = order.choice(kinds)
    rewrite(path, data[:at] + head + data[at + len(head) :])


def _entry_start(data: bytes, order: Random) -> int:
    """Where one of an archive's entries begins, behind its key."""
    starts = [i for i in range(len(data) - 4) if data[i : i + 3] in (b" \0B", b" NP")]
    return order.choice(starts) + 1


ARCHIVES = (pickle_in_ark, large_in_ark)


def other_audio(path: Path, order: Random, _canary: Path) -> None:
    """Audio of another rate, of two channels, of nothing, of no numbers."""
    wave, _rate = soundfile.read(path)
    path.unlink()
    kinds = [
        (wave, 44100, "FLAC"),
        (np.stack([wave, wave], 1), 8000, "FLAC"),
        (wave[:0], 8000, "FLAC"),
        (wave[:1], 8000, "FLAC"),
        (np.full(99, np.nan), 8000, "WAV"),
        (np.full(99, np.inf), 8000, "WAV"),
    ]
    wave, rate, form = order.choice(kinds)
    subtype = "FLOAT" if form == "WAV" else None
    soundfile.write(path, wave, rate, format=form, subtype=subtype)


AUDIO = (other_audio,)


def forged_header(path: Path, order: Random, _canary: Path) -> None:
    """A header that says something else, with the right digest."""
    from hostile.documents import STRANGE

    for name in ("header.json", "targets.1.json"):
        file = path.parent / name
        content = json.loads(file.read_text())
        content.pop("digest")
        key = order.choice(sorted(content))
        changes = [*STRANGE, ["ctc"], ["decoder", "ctc", "x"], {"ctc": ["x"]}, ["a", "b"]]
        content[key] = order.choice(changes)
        if order.random() < 0.2:
            content["more"] = 1
        if order.random() < 0.2:
            del content[order.choice(sorted(content))]
        _sign(file, content)


def forged_index(path: Path, order: Random, canary: Path) -> None:
    """An index that leads elsewhere, with the right hash in the header."""
    from hostile.tables import VALUES, _put, pickled, shell

    index = path.parent / order.choice(["targets.scp", "targets.1.scp"])
    change = order.choice([shell, pickled, None])
    if change is None:
        _put(index, order, order.choice([*VALUES, "../ark/feats.ark:5"]))
    else:
        change(index, order, canary)
    _hash_index(path.parent)


def forged_entry(path: Path, order: Random, _canary: Path) -> None:
    """An entry that says something else, with the right checksum."""
    ark = path.parent / "targets.1.ark"
    index = path.parent / "targets.1.scp"
    data = bytearray(ark.read_bytes())
    place = order.choice(index.read_text().splitlines()).rpartition(":")[2]
    head = int(place) + 3
    buffer = io.BytesIO(bytes(data[int(place) :]))
    buffer.seek(3)
    size = buffer.read(1)
    length = int.from_bytes(buffer.read(size[0]), "little")
    body = np.load(io.BytesIO(buffer.read(length))).tobytes()
    arrays = dict(_unpacked(body[len(MAGIC) : -4]))
    name = order.choice(sorted(arrays))
    arrays[name] = _forged(arrays[name], order)
    if order.random() < 0.2:
        del arrays[order.choice(sorted(arrays))]
    packed = MAGIC + b"".join(_packed(n, v) for n, v in arrays.items())
    packed += struct.pack("<I", zlib.crc32(packed))
    out = io.BytesIO()
    np.save(out, np.frombuffer(packed, np.uint8))
    block = b"\4" + struct.pack("<i", len(out.getvalue())) + out.getvalue()
    # Behind all others, where the index is led.
    where = len(data)
    rewrite(ark, bytes(data) + b"NPY" + block)
    for name in ("targets.1.scp", "targets.scp"):
        file = path.parent / name
        rewrite(file, file.read_text().replace(f":{head - 3}\n", f":{where}\n"))
    _hash_index(path.parent)


def _forged(value: np.ndarray, order: Random) -> np.ndarray:
    kind = value.dtype.kind
    if kind == "f":
        fill = order.choice([np.nan, np.inf, -np.inf, 60000.0, -60000.0])
    else:
        fill = order.choice([0, 200, np.iinfo(value.dtype).max])
    changed = value.copy()
    if changed.size:
        changed.flat[order.randrange(changed.size)] = fill
    others = [changed, changed, changed, value[:0], value[None], value[:-1]]
    others += [np.full_like(value, fill), value.astype(np.float32), np.repeat(value, 2)]
    return order.choice(others)


def _sign(file: Path, content: dict[str, Any]) -> None:
    """Write what a header says, with the right digest."""
    rewrite(file, json.dumps({**content, "digest": _digest(content)}))


def _hash_index(folder: Path) -> None:
    """Let a cache's header hold the right hash of its index."""
    header = folder / "header.json"
    content = json.loads(header.read_text())
    content.pop("digest")
    _sign(header, content | {"index_hash": hash_files([folder / "targets.scp"])})


FORGERIES = (forged_header, forged_index, forged_entry)
