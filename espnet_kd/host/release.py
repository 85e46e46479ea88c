"""Whether the ESPnet that is installed is one that this package can take hold of.

Requirements with bounds would have pip replace a lab's own ESPnet or torch. So there are
none in setup.py, and what is missing or too old is said here, when it is needed.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from espnet_kd.errors import KDError

# Releases with which the tests of the hook pass, oldest first.
TESTED = ("202402", "202511", "202611")
# What is overridden in a stock class, and the parameters that are given by name.
TASK_POINTS: Mapping[str, tuple[str, ...]] = {
    "add_task_arguments": (),
    "build_collate_fn": ("args", "train"),
    "build_model": ("args",),
    "build_model_from_file": ("config_file", "model_file", "device"),
    "build_optimizers": ("args", "model"),
    "check_required_command_args": ("args",),
    "main_worker": ("args",),
}
TRAINER_POINTS: Mapping[str, tuple[str, ...]] = {
    "plot_attention": ("model",),
    "resume": ("model", "reporter"),
    "run": ("model", "trainer_options"),
    "train_one_epoch": ("model", "options"),
}
# torchaudio ends with this release, which serves every later torch.
LAST_TORCHAUDIO = (2, 11)
LOG = logging.getLogger(__name__)


def espnet_release() -> str | None:
    """The release of ESPnet that is installed; None where it does not say."""
    try:
        return version("espnet")
    except PackageNotFoundError:
        return None


def check_hook_points(task: type) -> None:
    """Refuse an ESPnet that has not all of what the plugin takes hold of.

    Args:
        task: A stock task class.

    Raises:
        KDError: Naming what is missing, and the releases that have it.
    """
    trainer = getattr(task, "trainer", type)
    lacks = [
        f"{owner.__name__}.{name}"
        for owner, points in ((task, TASK_POINTS), (trainer, TRAINER_POINTS))
        for name in _missing(owner, points)
    ]
    if lacks:
        raise KDError(
            f"ESPnet {espnet_release() or 'of an unknown release'} has no "
            f"{', '.join(lacks)}, where distillation takes hold; install a release of "
            f"ESPnet that has, such as {' or '.join(TESTED[-2:])}"
        )


def _missing(owner: type, points: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for name, parameters in points.items():
        method: Callable[..., object] | None = getattr(owner, name, None)
        known = inspect.signature(method).parameters if method else None
        if known is None:
            yield name
            continue
        takes_all = any(p.kind is p.VAR_KEYWORD for p in known.values())
        for parameter in parameters:
            if parameter not in known and not takes_all:
                yield f"{name}({parameter})"


@functools.cache
def warn_of_untested_release() -> None:
    """Say in the log, once a process, that this ESPnet is none that was tested."""
    release = espnet_release()
    if release not in TESTED:
        LOG.warning(
            "ESPnet %s was not tested with espnet_kd; %s were. All that distillation "
            "takes hold of is there; compare a run of weight 0 with the stock run",
            release or "of an unknown release",
            ", ".join(TESTED),
        )


@contextmanager
def explained_absence() -> Iterator[None]:
    """Say in a sentence that ESPnet, torch or torchaudio is not installed.

    Raises:
        KDError: In place of the ``ModuleNotFoundError`` of one of these three.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if sentence := absence_of(error.name or ""):
            raise KDError(sentence) from None
        raise


def absence_of(module: str) -> str:
    """What to say of a module that was not found; empty where its package is there."""
    package = module.partition(".")[0]
    if package not in ("espnet2", "torch", "torchaudio") or find_spec(package):
        return ""
    if package == "espnet2":
        return (
            "ESPnet is not installed, which this package adds distillation to; activate "
            "the environment that has it, or install it: pip install espnet"
        )
    if package == "torch":
        return "torch is not installed, which ESPnet needs; install it: pip install torch"
    return (
        "torchaudio is not installed, which ESPnet's speech tasks import; install the "
        f"one that goes with this torch: pip install {torchaudio_requirement()}"
    )


def torchaudio_requirement() -> str:
    """The torchaudio that goes with the torch that is installed, as pip takes it."""
    try:
        major, minor, *_ = version("torch").split(".")
        wanted = min((int(major), int(minor)), LAST_TORCHAUDIO)
    except (PackageNotFoundError, ValueError):
        return "torchaudio"
    return f"torchaudio=={wanted[0]}.{wanted[1]}.*"
