"""Models that travel: packed by ``espnet2.bin.pack``, or known by a model tag."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from espnet_kd.errors import ExperimentError

TAG = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class ExperimentFiles:
    """A model on disk.

    Attributes:
        config: Path of ``config.yaml``.
        weights: Path of the checkpoint.
        root: Directory that relative paths in the config start from; None to search
            upwards from the config.
    """

    config: Path
    weights: Path
    root: Path | None = None


def unpack(archive: Path, folder: Path, is_lm: bool = False) -> ExperimentFiles:
    """Unpack a model packed by ``espnet2.bin.pack``, refusing to leave ``folder``.

    Args:
        archive: The zip.
        folder: Where its members are written.
        is_lm: Whether the language model is meant, where the zip holds both.

    Raises:
        ExperimentError: If a member would land outside, or the zip is no packed model.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            for name in packed.namelist():
                path = PurePosixPath(name.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts:
                    raise ExperimentError(
                        f"{archive}: member '{name}' would be written outside "
                        "the folder it is unpacked to; refused. Get the model from a "
                        "source you trust."
                    )
            packed.extractall(folder)
        meta = yaml.safe_load((folder / "meta.yaml").read_text(encoding="utf-8"))
        config = next(v for k, v in meta["yaml_files"].items() if ("lm_" in k) == is_lm)
        weights = next(v for k, v in meta["files"].items() if ("lm_" in k) == is_lm)
    except (zipfile.BadZipFile, OSError, yaml.YAMLError) as error:
        raise ExperimentError(f"{archive} cannot be unpacked: {error}") from None
    except (KeyError, TypeError, StopIteration):
        text = "its meta.yaml names no model; make it with espnet2.bin.pack"
        raise ExperimentError(f"{archive}: {text}") from None
    return ExperimentFiles(folder / config, folder / weights, root=folder)


def is_packed(place: Path) -> bool:
    """Whether a file is a packed model; a checkpoint is a zip as well."""
    if not zipfile.is_zipfile(place):
        return False
    with zipfile.ZipFile(place) as archive:
        return "meta.yaml" in archive.namelist()


def from_zoo(tag: str, is_lm: bool) -> ExperimentFiles:
    """Download a model by its tag, ``owner/name``.

    Args:
        tag: The tag.
        is_lm: Whether the language model is meant, where the tag holds both.

    Raises:
        ExperimentError: If the tag is none, cannot be had, or holds no model.
    """
    if not TAG.fullmatch(tag):
        raise ExperimentError(
            _no_such(tag, "and it has not the form owner/name of a model tag")
        )
    try:
        from espnet_model_zoo.downloader import ModelDownloader

        found = ModelDownloader().download_and_unpack(tag)
    except ImportError:
        way_out = "install espnet_model_zoo if it is a model tag"
        raise ExperimentError(_no_such(tag, way_out)) from None
    except Exception as error:  # the hub's client raises many kinds of its own
        reason = f"as a model tag it cannot be downloaded: {error}"
        raise ExperimentError(_no_such(tag, reason)) from error
    names = ("lm_train_config", "lm_file") if is_lm else ("_train_config", "_model_file")
    kinds = {k: v for k, v in found.items() if k.startswith("lm_") == is_lm}
    config, weights = (
        next((v for k, v in kinds.items() if k.endswith(name)), None) for name in names
    )
    if config is None or weights is None:
        raise ExperimentError(f"model tag '{tag}' gave no config and weights: {found}")
    return ExperimentFiles(Path(config), Path(weights))


def _no_such(tag: str, detail: str) -> str:
    return (
        f"'{tag}': no such directory or file; {detail}. If it is a path, check it "
        "against the directory that training starts in."
    )
