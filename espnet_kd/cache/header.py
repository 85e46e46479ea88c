"""What a cache says of itself, and what is checked before anybody trains on it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file

VERSION = 1
HEADER = "header.json"
INDEX = "targets.scp"


@dataclass(frozen=True)
class Header:
    """What the targets are of.

    Attributes:
        teacher: Where it was, for messages.
        teacher_hash: Of its configuration and weights.
        token_list: Its tokens.
        blank_id: CTC's blank.
        parts: Some of ``ctc``, ``decoder``, ``nbest``.
        taps: Hidden representations.
        widths: Their widths.
        nbest: Hypotheses for each utterance.
        tolerance: Largest loss of a posterior, in nats.
        max_k: Most tokens kept of a posterior.
        dtype: Of the log-probabilities, ``float16`` or ``float32``.
        utterances: How many there are; 0 in a shard.
        index_hash: Of the index; empty in a shard.
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
    max_k: int = 32
    dtype: str = "float16"
    utterances: int = 0
    index_hash: str = ""
    version: int = VERSION

    @property
    def vocabulary(self) -> int:
        """Its number of tokens."""
        return len(self.token_list)

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
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KDError(
            f"{path.parent} is no cache of targets: it has no {path.name}. Write one by "
            "espnet_kd.bin.cache_teacher and merge_cache; a missing header means that "
            "the writing did not come to its end"
        ) from None
    except (OSError, ValueError) as error:
        raise KDError(f"{path} cannot be read ({error}); write the cache again") from None
    digest = raw.pop("digest", None) if isinstance(raw, dict) else None
    if digest is None or digest != _digest(raw):
        raise KDError(f"{path} is damaged (digest); write the cache again")
    if raw.get("version") != VERSION:
        raise KDError(f"{path} is of version {raw.get('version')}, not {VERSION}")
    for name in ("token_list", "parts", "taps", "widths"):
        raw[name] = tuple(raw[name])
    return Header(**raw)


def _digest(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
