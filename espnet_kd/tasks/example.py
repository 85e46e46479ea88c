"""A batch of the training itself, on which both models are tried before it begins."""

import argparse
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from espnet_kd.config.schema import KDConfig
from espnet_kd.errors import KDError
from espnet_kd.hook.two_views import doubled
from espnet_kd.host.data import stream
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.losses import LOSSES
from espnet_kd.model.families import family_of
from espnet_kd.model.forward import fork_rng
from espnet_kd.model.parts import reads_transcript


def example_of(
    task: type[Any], model: nn.Module, args: argparse.Namespace, config: KDConfig
) -> dict[str, Tensor] | None:
    """The first utterance of the training data twice, if a term taps such a model.

    Models that are asked by their own forward pass take what only their data have:
    durations, references, speakers. None is needed of others, nor if nothing is tapped.
    A batch of one is not enough: some models squeeze its axis away.

    Args:
        task: ESPnet task class of the student.
        model: The student.
        args: Of its training.
        config: Its ``kd_conf``.

    Raises:
        KDError: If the data cannot be read.
    """
    terms = [LOSSES.get(term.type)(**term.options) for term in config.losses]
    own = family_of(model) is not None or reads_transcript(model)
    if not own or not any("taps" in term.needs().of_student for term in terms):
        return None
    data = getattr(args, "train_data_path_and_name_and_type", None) or []
    if not data:
        raise KDError(
            "taps need a trial pass before the training, and there is no "
            "train_data_path_and_name_and_type to read a batch from"
        )
    keys = list(islice(read_table(Path(data[0][0])), 1))
    sources = [",".join(map(str, triple)) for triple in data]
    with _unmoved():
        batches = stream(task, vars(args), sources, batch_size=1, keys=keys, train=True)
        _, batch = next(iter(batches))
    return doubled({name: v for name, v in batch.items() if isinstance(v, Tensor)})


@contextmanager
def _unmoved() -> Iterator[None]:
    """Leave all random numbers where they are: preprocessing draws of three kinds."""
    states = random.getstate(), np.random.get_state()
    try:
        with fork_rng(torch.device("cpu")):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
