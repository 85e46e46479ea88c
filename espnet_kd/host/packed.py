"""Models that travel: packed by ``espnet2.bin.pack``, or known by a model tag."""

import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from espnet_kd.documents import read_yaml
from espnet_kd.errors import ExperimentError, KDError, reason_of

META = "meta.yaml"
# Weights do not become much smaller by packing; zeros become a thousandth.
MOST_TIMES = 100
LARGEST = 1 << 30
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
            _check_members(archive, packed.infolist())
            packed.extractall(folder)
    except KDError:
        raise
    except Exception as error:  # whatever damaged bytes do to zipfile and zlib
        text = f"{archive} cannot be unpacked: {reason_of(error)}"
        raise ExperimentError(text) from None
    head = f"{archive} cannot be unpacked: its {META}"
    meta = read_yaml(folder / META, head, ExperimentError)
    config, weights = (_named(meta, key, is_lm) for key in ("yaml_files", "files"))
    for name in (config, weights):
        if name is None or not _stays_inside(name):
            text = f"its {META} names no model; make it with espnet2.bin.pack"
            raise ExperimentError(f"{archive}: {text}")
        if not os.path.isfile(folder / name):
            raise ExperimentError(f"{archive}: its {META} names {name}, which it has not")
    return ExperimentFiles(folder / str(config), folder / str(weights), root=folder)


def _check_members(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Require members that stay in their folder, and that are of a model's size."""
    for member in members:
        if not _stays_inside(member.filename):
            raise ExperimentError(
                f"{archive}: member '{member.filename}' would be written outside "
                "the folder it is unpacked to; refused. Get the model from a "
                "source you trust."
            )
    packed = sum(member.compress_size for member in members)
    size = sum(member.file_size for member in members)
    if size > LARGEST and size > MOST_TIMES * packed:
        raise ExperimentError(
            f"{archive}: {packed / 1e6:.1f} MB would become {size / 1e9:.1f} GB, which no "
            "model's weights do; refused. Get the model from a source you trust."
        )


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts


def _named(meta: Any, key: str, is_lm: bool) -> str | None:
    """The file of a model that a packed model's table of contents names."""
    listed = meta.get(key) if isinstance(meta, dict) else None
    for name, value in listed.items() if isinstance(listed, dict) else ():
        if ("lm_" in str(name)) == is_lm:
            # What was packed by its full path lies in the zip without the first slash.
            return value.lstrip("/") if isinstance(value, str) else None
    return None


def is_packed(place: Path) -> bool:
    """Whether a file is a packed model; a checkpoint is a zip as well."""
    try:
        with zipfile.ZipFile(place) as archive:
            return META in archive.namelist()
    except Exception:  # whatever bytes that are no zip do to zipfile
        return False


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
