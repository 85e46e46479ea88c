"""Which trainings may learn from a cache, and which would learn something wrong."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from espnet_kd.cache.reader import Cache, open_caches
from espnet_kd.config.schema import KDConfig
from espnet_kd.errors import ConfigError, KDError, Problem
from espnet_kd.host.kaldi_dir import read_table

# A student's config names its kd_conf for ever; only its training reads targets.
_IN_USE: ContextVar[tuple[Cache, ...]] = ContextVar("espnet_kd_caches", default=())


def open_for_training(args: argparse.Namespace, config: KDConfig) -> tuple[Cache, ...]:
    """Open the cached targets of a training, a cache a teacher; none of live teachers.

    Raises:
        ConfigError: As ``check_cached_training``.
        KDError: Likewise, or if a cache is damaged.
    """
    caches = open_caches([Path(path) for path in config.targets])
    check_cached_training(args, caches)
    return caches


@contextmanager
def in_use(caches: tuple[Cache, ...]) -> Iterator[None]:
    """Let the data loaders that are built inside bring these targets along."""
    token = _IN_USE.set(caches)
    try:
        yield
    finally:
        _IN_USE.reset(token)


def caches_in_use() -> tuple[Cache, ...]:
    """What data loaders bring along here; nothing outside of a training."""
    return _IN_USE.get()


def check_cached_training(args: argparse.Namespace, caches: Sequence[Cache]) -> None:
    """Require targets of all data, and no augmentation that would move frames.

    Masks and noise are welcome: the student learns to say what the teacher says of the
    clean audio. What bends the time axis in the training process would lay the teacher's
    frames on the wrong ones.

    Args:
        args: Of the training.
        caches: What it learns from; none for live teachers, to which all is allowed.

    Raises:
        ConfigError: With every option that is in the way, and what to do.
        KDError: If utterances have no targets.
    """
    if not caches:
        return
    if problems := _time_bending(args):
        raise ConfigError(problems, "the training beside cached targets")
    for split in ("train", "valid"):
        utts = _utterances(args, split)
        for cache in caches:
            cache.check_coverage(utts, f"the {split} data")


def _time_bending(args: argparse.Namespace) -> list[Problem]:
    found = []
    live = "or use 'targets: live'"
    specaug = getattr(args, "specaug_conf", None) or {}
    if getattr(args, "specaug", None) and specaug.get("apply_time_warp", True):
        text = "moves frames away from the cached ones; set it to false, " + live
        found.append(Problem("specaug_conf.apply_time_warp", text))
    preprocessor = getattr(args, "preprocessor_conf", None) or {}
    if preprocessor.get("data_aug_effects"):
        text = "may change the speed of audio; perturb it beforehand, as copies, " + live
        found.append(Problem("preprocessor_conf.data_aug_effects", text))
    kind = getattr(args, "iterator_type", "sequence")
    if kind == "chunk":
        text = "is 'chunk': targets are of whole utterances; use 'sequence', " + live
        found.append(Problem("iterator_type", text))
    return found


def _utterances(args: argparse.Namespace, split: str) -> list[str]:
    """The utterances that ESPnet's iterator draws from."""
    shapes = getattr(args, f"{split}_shape_file", None) or []
    data = getattr(args, f"{split}_data_path_and_name_and_type", None) or []
    files = [*shapes, *(path for path, *_ in data)]
    if not files:
        raise KDError(
            f"cached targets are found by the names of utterances, and there is no "
            f"{split}_shape_file and no data file to read them from; use 'targets: live'"
        )
    return list(read_table(Path(files[0])))
