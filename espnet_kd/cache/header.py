"""What a cache says of itself, and what is checked before anybody trains on it."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf
from pathlib import Path

from espnet_kd.documents import read_json
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.model.table import OUTPUTS, lasting_posterior_rows

VERSION = 2
# What may be in a cache beside hidden representations, and in which precision.
POSTERIORS = tuple(row.name for row in lasting_posterior_rows())
PARTS = (*POSTERIORS, "nbest", "codebooks")
DTYPES = ("float16", "float32")
HEADER = "header.json"
INDEX = "targets.scp"
# An index has one byte.
MOST_CENTROIDS = 256
LISTS = ("token_list", "ctc_token_list", "parts", "taps", "widths")


@dataclass(frozen=True)
class Coded:
    """Codebooks whose indices are in a cache.

    Attributes:
        tap: The teacher's layer that they are of.
        count: How many codebooks, so many bytes a frame.
        centroids: How many each of them has.
        digest: Of the codebooks, so that indices into others are not taken for these.
        error: Part of the layer's variance that they leave out.
    """

    tap: str
    count: int
    centroids: int
    digest: str
    error: float

    @property
    def is_sound(self) -> bool:
        """Whether every field is what it should be."""
        counts = (self.count, self.centroids)
        return (
            all(isinstance(text, str) for text in (self.tap, self.digest))
            and all(type(count) is int and count > 0 for count in counts)
            and self.centroids <= MOST_CENTROIDS
            and 0 <= self.error < inf
        )


@dataclass(frozen=True)
class Header:
    """What the targets are of.

    Attributes:
        teacher: Where it was, for messages.
        teacher_hash: Of its configuration and weights.
        token_list: Its tokens.
        blank_id: CTC's blank.
        parts: Some of ``ctc``, ``decoder``, ``nbest``, ``codebooks``.
        taps: Hidden representations.
        widths: Their widths.
        nbest: Hypotheses for each utterance.
        tolerance: Largest loss of a posterior, in nats.
        temperatures: At which posteriors of each part keep that tolerance.
        max_k: Most tokens kept of a posterior, whatever it loses; 0 for no limit.
        dtype: Of the log-probabilities, ``float16`` or ``float32``.
        utterances: How many there are; 0 in a shard.
        index_hash: Of the index; empty in a shard.
        ctc_token_list: Tokens of CTC where they are others, as in speech translation.
        layers: Of the teacher's encoder, for rules that pair them; 0 if there are none.
        hears: The stream that the teacher heard where that is not the student's ``speech``.
        codebooks: What the indices are of, a layer each; none without that part.
        version: Of this format.
    """

    teacher: str
    teacher_hash: str
    token_list: tuple[str, ...]
    blank_id: int
    parts: tuple[str, ...]
    taps: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
    nbest: int = 0
    tolerance: float = 1e-3
    temperatures: dict[str, tuple[float, ...]] = field(default_factory=dict)
    max_k: int = 0
    dtype: str = "float16"
    utterances: int = 0
    index_hash: str = ""
    ctc_token_list: tuple[str, ...] = ()
    layers: int = 0
    hears: str = ""
    codebooks: tuple[Coded, ...] = ()
    version: int = VERSION

    @property
    def vocabulary(self) -> int:
        """Its number of tokens."""
        return len(self.token_list)

    def tokens_of(self, part: str) -> tuple[str, ...]:
        """The tokens that a part's posteriors are over."""
        return (
            self.ctc_token_list
            if OUTPUTS[part].tokens == "ctc" and self.ctc_token_list
            else self.token_list
        )

    def temperatures_of(self, part: str) -> tuple[float, ...]:
        """The temperatures at which a part's posteriors keep the tolerance."""
        return self.temperatures.get(part, (1.0,))

    @property
    def of_a_shard(self) -> "Header":
        """The same without what only a whole cache has."""
        return replace(self, utterances=0, index_hash="")


def write_header(path: Path, header: Header) -> None:
    """Write a header whole, with a digest of itself."""
    with whole_file(path) as file:
        content = asdict(header)
        json.dump({**content, "digest": _digest(content)}, file, indent=1)
        file.write("\n")


def read_header(path: Path) -> Header:
    """Read a header.

    Raises:
        KDError: If it is not there, damaged, or of another version.
    """
    if not os.path.exists(path):
        raise KDError(
            f"{path.parent} is no cache of targets: it has no {path.name}. Write one by "
            "espnet_kd.bin.cache_teacher and merge_cache; a missing header means that "
            "the writing did not come to its end"
        )
    raw = read_json(path, f"{path} cannot be read; write the cache again")
    digest = raw.pop("digest", None) if isinstance(raw, dict) else None
    if digest is None or digest != _digest(raw):
        raise KDError(f"{path} is damaged (digest); write the cache again")
    if raw.get("version") != VERSION:
        raise KDError(
            f"{path} is of version {raw.get('version')}, not {VERSION}: its posteriors may "
            "lose more than it says at the temperature of a loss; write the cache again"
        )
    try:
        raw |= {name: tuple(raw[name]) for name in LISTS}
        raw["codebooks"] = tuple(Coded(**own) for own in raw.get("codebooks", ()))
        raw["temperatures"] = {k: tuple(v) for k, v in raw["temperatures"].items()}
        header = Header(**raw)
        sound = _is_sound(header)
    except (LookupError, TypeError, AttributeError, ValueError):
        sound = False
    if not sound:
        raise KDError(f"{path} is damaged (what it says); write the cache again")
    return header


def _is_sound(header: Header) -> bool:
    """Whether every field is what it should be: the digest says only who changed it."""
    texts = (header.teacher, header.teacher_hash, header.index_hash, *header.token_list)
    texts += (header.hears,)
    texts += (*header.ctc_token_list, *header.taps)
    counts = [header.blank_id, header.nbest, header.max_k, header.utterances]
    counts += [header.layers, *header.widths]
    scales = [tau for own in header.temperatures.values() for tau in own]
    return (
        all(isinstance(text, str) for text in texts)
        and all(type(count) is int and count >= 0 for count in counts)
        and all(0 < tau < inf for tau in scales)
        and 0 <= header.tolerance < inf
        and header.blank_id < header.vocabulary
        and len(header.widths) == len(header.taps)
        and {*header.parts} <= {*PARTS}
        and header.temperatures.keys() <= {*header.parts}
        and header.dtype in DTYPES
        and all(coded.is_sound for coded in header.codebooks)
        and ("codebooks" in header.parts) == bool(header.codebooks)
    )


def _digest(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
