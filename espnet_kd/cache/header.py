"""What a cache says of itself, and what is checked before anybody trains on it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.model.table import OUTPUTS

VERSION = 2
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
        temperatures: At which posteriors of each part keep that tolerance.
        max_k: Most tokens kept of a posterior, whatever it loses; 0 for no limit.
        dtype: Of the log-probabilities, ``float16`` or ``float32``.
        utterances: How many there are; 0 in a shard.
        index_hash: Of the index; empty in a shard.
        ctc_token_list: Tokens of CTC where they are others, as in speech translation.
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
        raise KDError(
            f"{path} is of version {raw.get('version')}, not {VERSION}: its posteriors may "
            "lose more than it says at the temperature of a loss; write the cache again"
        )
    for name in ("token_list", "ctc_token_list", "parts", "taps", "widths"):
        raw[name] = tuple(raw[name])
    raw["temperatures"] = {k: tuple(v) for k, v in raw["temperatures"].items()}
    return Header(**raw)


def _digest(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
