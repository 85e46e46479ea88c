"""An experiment on disk: a directory, a packed zip or a model tag, and its model."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from espnet_kd.errors import ExperimentError
from espnet_kd.host.checkpoint import load_weights
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
        assert self.settings is not None, "reading it was what could fail"
        if not self.files.weights.is_file():
            raise ExperimentError(f"checkpoint {self.files.weights} does not exist")

    def model(self, task: type[Any]) -> nn.Module:
        """Build the model, in eval mode and without gradient, and load its weights.

        Args:
            task: ESPnet task class that can build it.

        Raises:
            ExperimentError: If the weights are missing, unsafe, damaged or another
                model's.
        """
        model = build_model(stock_class(task), self.settings)
        load_weights(model, self.files.weights)
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
    with ExitStack() as stack:
        yield Experiment(_find(str(place), file, is_lm, stack))


def _find(place: str, file: str | None, is_lm: bool, stack: ExitStack) -> ExperimentFiles:
    path = Path(place)
    if path.is_dir():
        weights = path / file if file is not None else selected_weights(path)
        return ExperimentFiles(path / "config.yaml", weights)
    if path.is_file() and is_packed(path):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return unpack(path, folder, is_lm)
    if path.exists():
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
    try:
        settings = yaml.safe_load(files.config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        text = f"{files.config} is missing; is 'exp' an ESPnet exp directory?"
        raise ExperimentError(text) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ExperimentError(f"{files.config}: {error}") from None
    if not isinstance(settings, dict):
        raise ExperimentError(f"{files.config} holds no configuration")
    settings.pop("kd_conf", None)
    return {key: _resolved(key, value, files) for key, value in settings.items()}


def _resolved(key: str, value: Any, files: ExperimentFiles) -> Any:
    """Point every relative file name of a model's settings into its own recipe."""
    if isinstance(value, dict):
        return {k: _resolved(k, v, files) for k, v in value.items()}
    if not isinstance(value, str) or not _names_a_file(key, value):
        return value
    if Path(value).is_absolute() and Path(value).exists():
        return value
    config = files.config.resolve()
    roots = [files.root] if files.root else [config.parent, *config.parents]
    for root in roots:
        if (root / value).exists():
            return str(root / value)
    if key == "stats_file":
        raise ExperimentError(
            f"{files.config} names {key}: {value}, which is not to be found "
            f"from its own recipe directory ({config.parent} and above). Restore the "
            "file, or give the model as a packed zip."
        )
    return value


def _names_a_file(key: str, value: str) -> bool:
    looks_like_path = "/" in value or bool(Path(value).suffix)
    return looks_like_path and key.endswith(("_file", "model", "_path", "_dir", "_list"))
