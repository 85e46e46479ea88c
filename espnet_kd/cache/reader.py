"""Read a cache by utterance, in the training process or in its data workers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from espnet_kd.cache.codec import Entry, decode, read_block
from espnet_kd.cache.entries import batch_of
from espnet_kd.cache.header import HEADER, INDEX, Header, read_header
from espnet_kd.cache.places import read_index
from espnet_kd.cache.sound import faults_of
from espnet_kd.errors import KDError
from espnet_kd.host.files import hash_files

Batch = dict[str, Any]


class Cache:
    """One or more directories of targets, of one teacher, read as one.

    Light to copy: data workers get it by pickling, and open files on their own.

    Args:
        directories: Each with a header and an index.

    Raises:
        KDError: If one is unfinished or damaged, or they do not go together.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self.directories = tuple(map(Path, directories))
        headers = [read_header(path / HEADER) for path in self.directories]
        self.header: Header = headers[0].of_a_shard
        self._places: dict[str, str] = {}
        for path, header in zip(self.directories, headers, strict=True):
            if header.of_a_shard != self.header:
                raise KDError(
                    f"{path} and {self.directories[0]} are of different teachers or "
                    "settings; write them alike"
                )
            self._add(path, header)

    def _add(self, directory: Path, header: Header) -> None:
        index = directory / INDEX
        if not index.is_file() or hash_files([index]) != header.index_hash:
            raise KDError(f"{index} is damaged or of another cache; run merge_cache again")
        for utt, place in read_index(index).items():
            if utt in self._places:
                raise KDError(f"'{utt}' is in two caches: {self._places[utt]}, {directory}")
            self._places[utt] = str(directory / place)

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self._places)

    def check_coverage(self, utts: Sequence[str], what: str) -> None:
        """Require targets of every utterance.

        Raises:
            KDError: With the number missing and the first of them.
        """
        missing = [utt for utt in utts if utt not in self._places]
        if missing:
            listed = ", ".join(map(str, self.directories))
            raise KDError(
                f"the cache ({listed}) has no targets of {len(missing)} of {len(utts)} "
                f"utterances of {what}, first '{missing[0]}'. Cache that data as well "
                "(speed-perturbed copies are utterances of their own), or use "
                "'targets: live'"
            )

    def read(self, utts: Sequence[str]) -> list[Entry]:
        """Entries of some utterances.

        Raises:
            KDError: If one is missing or damaged, by its name.
        """
        self.check_coverage(utts, "this batch")
        return [self._read(utt) for utt in utts]

    def _read(self, utt: str) -> Entry:
        path, _, offset = self._places[utt].rpartition(":")
        try:
            with open(path, "rb") as archive:
                archive.seek(int(offset))
                data = read_block(archive)
        except Exception as error:  # whatever damaged bytes do to a reader
            raise KDError(
                f"the cached targets of '{utt}' ({self._places[utt]}) cannot be read "
                f"({type(error).__name__}); write the cache again"
            ) from None
        entry = decode(data, utt)
        for fault in faults_of(entry, self.header):
            raise KDError(
                f"the cached targets of '{utt}' ({self._places[utt]}) make no sense "
                f"({fault}); write the cache again"
            )
        return entry


class CachedCollate:
    """ESPnet's collate function, and the targets of the same utterances.

    Runs in the data workers, so that no training process waits for a disk.

    Args:
        collate: The stock one.
        caches: Where the targets are, a cache a teacher.
    """

    def __init__(
        self,
        collate: Callable[[Sequence[tuple[str, Batch]]], tuple[list[str], Batch]],
        *caches: Cache,
    ) -> None:
        self.collate = collate
        self.caches = caches

    def __call__(self, data: Sequence[tuple[str, Batch]]) -> tuple[list[str], Batch]:
        """Utterances and batch, as stock, with the targets' tensors in the batch.

        Args:
            data: Name and data of each utterance, as ESPnet's dataset gives them.

        Raises:
            KDError: If an utterance has no targets, or damaged ones.
        """
        utts, batch = self.collate(data)
        for place, cache in enumerate(self.caches):
            batch |= batch_of(cache.read(utts), place)
        return utts, batch


def open_caches(directories: Sequence[Path]) -> tuple[Cache, ...]:
    """A cache for each teacher whose targets lie in some directories, in their order.

    Raises:
        KDError: As ``Cache``.
    """
    by_teacher: dict[str, list[Path]] = {}
    for path in map(Path, directories):
        by_teacher.setdefault(read_header(path / HEADER).teacher_hash, []).append(path)
    return tuple(map(Cache, by_teacher.values()))
