"""The index of a cache: where in its archives the targets of each utterance are."""

import os
import re
from pathlib import Path

from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table

# An archive beside the index, never a command or a path that leads away.
PLACE = re.compile(r"targets\.[0-9]{1,9}\.ark:[0-9]{1,18}", re.ASCII)


def read_index(path: Path) -> dict[str, str]:
    """Read an index: utterance to archive and place.

    Raises:
        KDError: If it is missing, no text, or names what is no archive of a cache.
    """
    table = read_table(path)
    for utt, place in table.items():
        if not PLACE.fullmatch(place):
            raise KDError(
                f"{path}: '{utt}' is at '{place[:60]}', which is no place in an archive of "
                "this cache; write the cache again"
            )
    # A cache has few archives, and as many places as utterances.
    for name in dict.fromkeys(place.partition(":")[0] for place in table.values()):
        archive = path.parent / name
        if os.path.exists(archive) and not archive.is_file():
            raise KDError(f"{archive} is no file; write the cache again")
    return table
