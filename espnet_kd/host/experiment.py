"""An experiment on disk: a directory, a packed zip or a model tag, and its model."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from espnet_kd.documents import read_yaml
from espnet_kd.errors import ExperimentError
from espnet_kd.host.building import Room, building
from espnet_kd.host.checkpoint import load_state, read_weights, require_checkpoint
from espnet_kd.host.compat import build_model, stock_class
from espnet_kd.host.files import hash_files
from espnet_kd.host.packed import ExperimentFiles, from_zoo, is_packed, unpack
from espnet_kd.host.selection import selected_weights


class Experiment:
    """A trained model as ESPnet's training, packing or zoo leaves it.

    Args:
        files: Paths of the config and of the weights.
    """

    def __init__(self, files: ExperimentFiles) -> None:
        self.files = files

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The config, its relative paths resolved against its own recipe.

        Raises:
            ExperimentError: If it cannot be read, or a file that it names is not there.
        """
        return read_settings(self.files)

    @cached_property
    def digest(self) -> str:
        """Digest of config and weights, by which a cache knows who wrote it."""
        return hash_files([self.files.config, self.files.weights])

    def check(self) -> None:
        """Require the files, without building or loading anything.

        Raises:
            ExperimentError: If one is missing, or the config cannot be read.
        """
        _ = self.settings  # which reads it
        require_checkpoint(self.files.weights)

    def model(self, task: type[Any]) -> nn.Module:
        """Build the model, in eval mode and without gradient, and load its weights.

        Args:
            task: ESPnet task class that can build it.

        Raises:
            ExperimentError: If the weights are missing, unsafe, damaged or another
                model's.
        """
        weights = read_weights(self.files.weights)
        head = f"{self.files.config} describes no model that ESPnet can build"
        with building(head, Room.of(weights)):
            model = build_model(stock_class(task), self.settings)
        load_state(model, weights, self.files.weights)
        return model.eval().requires_grad_(False)


@contextmanager
def open_experiment(
    place: str | Path, file: str | None = None, *, is_lm: bool = False
) -> Iterator[Experiment]:
    """Find an experiment, and keep what had to be unpacked until the block ends.

    Args:
        place: An experiment directory, a zip of ``espnet2.bin.pack``, or a model tag.
        file: The checkpoint inside a directory; None takes the one that training selected.
        is_lm: Whether the language model is meant, where a zip or tag holds both.

    Raises:
        ExperimentError: If nothing of the kind is there.
    """
    path = Path(place)
    if os.path.isfile(path) and is_packed(path):
        with tempfile.TemporaryDirectory() as folder, _shown_as(path, folder):
            yield Experiment(unpack(path, Path(folder), is_lm))
    else:
        yield Experiment(_find(str(place), file, is_lm))


@contextmanager
def _shown_as(archive: Path, folder: str) -> Iterator[None]:
    """Call what was unpacked by its place in the archive, which the user knows."""
    try:
        yield
    except ExperimentError as error:
        text = str(error).replace(folder, str(archive))
        raise type(error)(text).with_traceback(error.__traceback__) from None


def _find(place: str, file: str | None, is_lm: bool) -> ExperimentFiles:
    path = Path(place)
    if os.path.isdir(path):
        weights = path / file if file is not None else selected_weights(path)
        return ExperimentFiles(path / "config.yaml", weights)
    if os.path.exists(path):
        raise ExperimentError(
            f"{path} is neither an experiment directory nor a zip made by "
            "espnet2.bin.pack; for a single .pth give its directory as 'exp' and its "
            "name as 'file'"
        )
    return from_zoo(place, is_lm)


def read_settings(files: ExperimentFiles) -> dict[str, Any]:
    """Read an experiment's config, its relative paths resolved against its own recipe.

    Raises:
        ExperimentError: If it cannot be read, or a file that it names is not there.
    """
    if not os.path.exists(files.config):
        text = f"{files.config} is missing; is 'exp' an ESPnet exp directory?"
        raise ExperimentError(text)
    settings = read_yaml(files.config, f"{files.config} cannot be read", ExperimentError)
    if not isinstance(settings, dict) or not all(isinstance(k, str) for k in settings):
        raise ExperimentError(f"{files.config} holds no configuration")
    settings.pop("kd_conf", None)
    return {key: _resolved(key, value, files) for key, value in settings.items()}


def _resolved(key: str, value: Any, files: ExperimentFiles) -> Any:
    """Point every relative file name of a model's settings into its own recipe."""
    if isinstance(value, dict):
        return {k: _resolved(k, v, files) for k, v in value.items()}
    if not isinstance(value, str) or not _names_a_file(key, value):
        return value
    if Path(value).is_absolute() and os.path.exists(value):
        return _checked(key, value, files)
    config = files.config.resolve()
    roots = [files.root] if files.root else [config.parent, *config.parents]
    for root in roots:
        if os.path.exists(root / value):
            return _checked(key, str(root / value), files)
    if key == "stats_file":
        raise ExperimentError(
            f"{files.config} names {key}: {value}, which is not to be found "
            f"from its own recipe directory ({config.parent} and above). Restore the "
            "file, or give the model as a packed zip."
        )
    return value


def _checked(key: str, path: str, files: ExperimentFiles) -> str:
    """The path, if reading it comes to an end."""
    may_be_folder = not key.endswith(("bpemodel", "_file", "_list"))
    if not (os.path.isfile(path) or (may_be_folder and os.path.isdir(path))):
        raise ExperimentError(f"{files.config} names {key}: {path}, which is no file")
    return path


def _names_a_file(key: str, value: str) -> bool:
    looks_like_path = "/" in value or bool(Path(value).suffix)
    return looks_like_path and key.endswith(("_file", "model", "_path", "_dir", "_list"))
