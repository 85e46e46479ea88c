"""The batches that a training would read, and the utterances that it could not."""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from espnet_kd.errors import KDError
from espnet_kd.host.data_source import PATHS, PLACE
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.masking import length_mask

Batch = tuple[list[str], dict[str, Any]]
# Kinds of data whose file has a line an utterance, its name first.
TABLES = ("sound", "multi_columns_sound", "kaldi_ark", "npy", "text", "text_int")
SPLITS = ("train", "valid")


def data_problems(args: argparse.Namespace, split: str) -> Iterator[str]:
    """Name data that a training would miss, were it now or in its last batch.

    Args:
        args: Of the training.
        split: ``train`` or ``valid``.
    """
    try:
        wanted = utterances(args, split)
        for path, _, kind in getattr(args, f"{split}_data_path_and_name_and_type"):
            if kind in TABLES and _files([path]):
                yield from _table_problems(Path(path), kind, wanted)
    except KDError as error:
        yield f"the {split} data: {error}"


def utterances(args: argparse.Namespace, split: str) -> dict[str, tuple[int, ...]]:
    """Length of each utterance that a training draws from, by all of its shape files.

    Raises:
        KDError: If one is not there.
    """
    found: dict[str, tuple[int, ...]] = {}
    for path in _files(getattr(args, f"{split}_shape_file")):
        for utt, shape in read_table(path).items():
            length = shape.split(",")[0]
            found[utt] = (*found.get(utt, ()), int(length) if length.isdigit() else 0)
    return found


def shortest(
    lengths: Mapping[str, tuple[int, ...]], batches: list[tuple[str, ...]], count: int
) -> list[str]:
    """The longest utterances of the batch whose longest one is the shortest.

    Args:
        lengths: Of the utterances.
        batches: Names of the utterances of each.
        count: Utterances of it, at most.
    """

    def length(utt: str) -> int:
        return lengths.get(utt, (0,))[0]

    batch = min(batches, key=lambda utts: max(map(length, utts)))
    return sorted(batch, key=length, reverse=True)[:count]


def first_batches(factory: Any, count: int) -> Iterator[Batch]:
    """The first batches of an epoch, as its trainer would get them.

    Args:
        factory: ESPnet's factory of iterators.
        count: How many at most.
    """
    for utts, batch in islice(factory.build_iter(1), count):
        yield list(utts), batch | {"utt_id": list(utts)}


def batches_of(factory: Any) -> list[tuple[str, ...]]:
    """The names of the utterances of each batch; none where an iterator does not say."""
    sampler = sampler_of(factory)
    return list(map(tuple, sampler.generate(0))) if sampler is not None else []


def sampler_of(factory: Any) -> Any:
    """What forms the batches of a factory; None where an iterator does not say."""
    return getattr(factory, "sampler", None)


def read(factory: Any, utts: list[str]) -> Batch:
    """Read some utterances as one batch."""
    utts, batch = factory.collate_fn([factory.dataset[utt] for utt in utts])
    return list(utts), batch | {"utt_id": list(utts)}


def fewer(factory: Any, batches: list[Batch], count: int) -> tuple[list[Batch], float]:
    """The same batches of their first utterances alone, and how much less that is.

    Args:
        factory: ESPnet's factory of iterators that the batches are of.
        batches: One or more.
        count: Utterances of each that stay, at most.

    Returns:
        The batches, and how many times larger the whole ones are.
    """
    few = [read(factory, utts[:count]) for utts, _ in batches]
    sizes = [sum(b["speech"].numel() for _, b in some) for some in (batches, few)]
    return few, sizes[0] / max(sizes[1], 1)


def singly(task: type[Any], args: argparse.Namespace, count: int) -> Iterator[Batch]:
    """Utterances of the validation data, drawn at random and one by one.

    More than one at a time would hear each other's padding.

    Args:
        task: ESPnet task class.
        args: Of the training.
        count: How many at most.
    """
    factory = task.build_iter_factory(
        args, distributed_option(args), "plot_att", {"num_batches": None}
    )
    for utts, batch in islice(factory.build_iter(1, shuffle=True), count):
        yield list(utts), batch


def distributed_option(args: argparse.Namespace) -> Any:
    """ESPnet's description of one process."""
    from espnet2.train.distributed_utils import DistributedOption
    from espnet2.utils.build_dataclass import build_dataclass

    return build_dataclass(DistributedOption, args)


def copied(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A batch of its own for a model that may overwrite it."""
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in batch.items()}


def unknown_labels(batch: Mapping[str, Any], key: str, unknown: int) -> tuple[int, int]:
    """Labels of a batch that are unknown, and all of them.

    Args:
        batch: With padded labels.
        key: Of the labels.
        unknown: Index of ``<unk>``.
    """
    labels, lengths = batch[key], batch[f"{key}_lengths"]
    real = length_mask(lengths, labels.shape[1])
    return int(((labels == unknown) & real).sum()), int(real.sum())


def _table_problems(path: Path, kind: str, wanted: Mapping[str, object]) -> Iterator[str]:
    table = read_table(path)
    if missing := [utt for utt in wanted if utt not in table]:
        yield (
            f"{path} has no line of {len(missing)} of the {len(wanted)} utterances that "
            f"the shape file has, first '{missing[0]}'; make both of the same utterances"
        )
    if kind not in PATHS:
        return
    values = (table[utt] for utt in wanted if utt in table)
    files = dict.fromkeys(map(_file_of, values))
    if gone := [file for file in files if file and not Path(file).is_file()]:
        yield (
            f"{path} names {len(gone)} files that are not there, first {gone[0]}; start "
            "from the directory that the paths are relative to, or write them anew"
        )


def _files(paths: Iterable[str]) -> list[Path]:
    """Those that are no directories, as a training in splits (multiple_iterator) has."""
    return [path for path in map(Path, paths) if not path.is_dir()]


def _file_of(value: str) -> str:
    """The file that a line names; empty for a command whose output is read."""
    if value.endswith("|"):
        return ""
    found = PLACE.fullmatch(value)
    return found["path"] if found else value
