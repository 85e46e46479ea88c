"""Data for a model, through ESPnet's iterator with the model's own preprocessing."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from espnet_kd.errors import KDError, reason_of
from espnet_kd.host.compat import stock_class
from espnet_kd.host.data_source import check_source
from espnet_kd.host.kaldi_dir import read_table


def stream(
    task: type[Any],
    settings: dict[str, Any],
    data: Sequence[str],
    *,
    batch_size: int,
    keys: Sequence[str] | None = None,
    train: bool = False,
) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Read batches of utterances in the order of their file.

    Args:
        task: ESPnet task class of the model.
        settings: The model's configuration, whose preprocessing is applied.
        data: ``PATH,NAME,TYPE`` each, as ESPnet's commands take them.
        batch_size: Utterances a batch.
        keys: Utterances wanted, in the order of their file; None for all.
        train: Whether they are prepared as in a training: cut, augmented.

    Returns:
        The utterances' names and what the model's forward pass takes, batch by batch.

    Raises:
        KDError: While reading, if the data lack an utterance.
    """
    triples = [check_source(text, keys) for text in data]
    with _key_file(keys) as key_file, _named_gaps(triples):
        found = (stock_class(task), settings, triples, batch_size, key_file)
        yield from _batches(*found, train=train)


def _batches(
    task: type[Any],
    settings: dict[str, Any],
    data: Sequence[tuple[str, str, str]],
    batch_size: int,
    key_file: str | None,
    *,
    train: bool,
) -> Iterable[tuple[list[str], dict[str, Any]]]:
    """ESPnet's own iterator over data, with the preprocessing of the model."""
    namespace = argparse.Namespace(**settings)
    found: Iterable[tuple[list[str], dict[str, Any]]] = task.build_streaming_iterator(
        data,
        dtype="float32",
        batch_size=batch_size,
        key_file=key_file,
        num_workers=0,
        preprocess_fn=task.build_preprocess_fn(namespace, train=train),
        collate_fn=task.build_collate_fn(namespace, train=train),
        allow_variable_data_keys=True,
        inference=True,
    )
    return found


@contextmanager
def _key_file(keys: Sequence[str] | None) -> Iterator[str | None]:
    """The table that ESPnet wants of the utterances' names, for as long as it reads."""
    if keys is None:
        yield None
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "keys"
        path.write_text("".join(f"{utt} x\n" for utt in keys), encoding="utf-8")
        yield str(path)


@contextmanager
def _named_gaps(data: Sequence[tuple[str, str, str]]) -> Iterator[None]:
    """Where ESPnet breaks off, a sentence says why."""
    try:
        yield
    except KDError:
        raise
    except Exception as error:  # of the libraries that read archives, audio and text
        paths = " and ".join(path for path, _, _ in data)
        utt, _, reason = str(error).partition(" is not found")
        if not reason:
            raise KDError(
                f"{paths} cannot be read by ESPnet ({reason_of(error)}); check that "
                "the files are whole, of the type that is named, and sorted alike"
            ) from error
        raise KDError(
            f"'{utt}' is not in {paths}, or stands there in another order than in the "
            "list of utterances; sort the files alike, and leave out what has no data"
        ) from None


def draw_utterances(data: str, count: int, random: torch.Generator) -> list[str]:
    """Names of utterances that are drawn from data, in the order of their file.

    Args:
        data: ``PATH,NAME,TYPE``.
        count: How many at most.
        random: What draws them.
    """
    names = list(read_table(Path(data.partition(",")[0])))
    order = torch.randperm(len(names), generator=random)[: max(count, 0)]
    return [names[place] for place in sorted(order.tolist())]


def first_speech(
    task: type[Any], settings: dict[str, Any], data: str, count: int
) -> list[Tensor]:
    """Read audio or features of the first utterances, (1, L) or (1, L, D) each.

    Args:
        task: ESPnet task class of the model.
        settings: The model's configuration.
        data: ``PATH,speech,TYPE``.
        count: How many at most.

    Raises:
        KDError: If there is none.
    """
    path = Path(data.partition(",")[0])
    keys = list(read_table(path))[:count]
    if not keys:
        raise KDError(f"{path} holds no utterance")
    batches = stream(task, settings, [data], batch_size=1, keys=keys)
    return [batch["speech"] for _, batch in batches]
