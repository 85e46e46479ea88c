"""Find a teacher on disk, build it and load its weights, trusting nothing in it."""

import pickle
import re
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
import yaml
from torch import nn

from espnet_kd.cache.header import hash_files
from espnet_kd.compat import build_model, language_model_task, stock_class
from espnet_kd.config import TeacherConfig
from espnet_kd.errors import TeacherError
from espnet_kd.forward import fork_rng
from espnet_kd.language_model import LanguageModelTeacher
from espnet_kd.teacher import Teacher

SHOWN = 3
TAG = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class TeacherFiles:
    """A teacher on disk.

    Attributes:
        config: Its ``config.yaml``.
        weights: Its checkpoint.
        root: Directory that relative paths in the config start from; None to search
            upwards from the config.
    """

    config: Path
    weights: Path
    root: Path | None = None


def load_teacher(config: TeacherConfig, task: type) -> Teacher:
    """Load a teacher and make it a guest.

    The student's random numbers are left where they were.

    Args:
        config: Where it is.
        task: ESPnet task class that can build it.

    Raises:
        TeacherError: If it is missing, unreadable, unsafe, or not the model that its
            config describes.
    """
    with ExitStack() as stack, fork_rng(torch.device("cpu")):
        files = find_teacher(config, stack)
        settings = read_settings(files)
        task = language_model_task() if config.lm else stock_class(task)
        model = build_model(task, settings)
        load_weights(model, files.weights)
    if config.lm:
        return LanguageModelTeacher(model, settings["token_list"], name=config.lm)
    return Teacher(model, view=config.view, name=config.exp)


def hash_teacher(config: TeacherConfig) -> str:
    """Digest of a teacher's configuration and weights, by which a cache knows it.

    Raises:
        TeacherError: If it is missing or unsafe.
    """
    with ExitStack() as stack:
        files = find_teacher(config, stack)
        return hash_files([files.config, files.weights])


def find_teacher(config: TeacherConfig, stack: ExitStack) -> TeacherFiles:
    """Locate config and weights: in a directory, in a packed zip, or by model tag.

    A zip is unpacked into a directory that ``stack`` removes.
    """
    place = Path(config.place)
    if place.is_dir():
        return TeacherFiles(place / "config.yaml", _weights_in(place, config.file))
    if place.is_file() and _is_packed(place):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return unpack_teacher(place, folder, bool(config.lm))
    if place.exists():
        raise TeacherError(
            f"teacher {place} is neither an experiment directory nor a zip made by "
            "espnet2.bin.pack; for a single .pth give its directory as 'exp' and its "
            "name as 'file'"
        )
    return _from_zoo(config.place, bool(config.lm))


def unpack_teacher(archive: Path, folder: Path, is_lm: bool = False) -> TeacherFiles:
    """Unpack a model packed by ``espnet2.bin.pack``, refusing to leave ``folder``.

    Of a recogniser packed together with a language model, ``is_lm`` takes the latter.

    Raises:
        TeacherError: If a member would land outside, or the zip is no packed model.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            for name in packed.namelist():
                path = PurePosixPath(name.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts:
                    raise TeacherError(
                        f"teacher {archive}: member '{name}' would be written outside "
                        "the folder it is unpacked to; refused. Get the model from a "
                        "source you trust."
                    )
            packed.extractall(folder)
        meta = yaml.safe_load((folder / "meta.yaml").read_text(encoding="utf-8"))
        config = next(v for k, v in meta["yaml_files"].items() if ("lm_" in k) == is_lm)
        weights = next(v for k, v in meta["files"].items() if ("lm_" in k) == is_lm)
    except (zipfile.BadZipFile, OSError, yaml.YAMLError) as error:
        raise TeacherError(f"teacher {archive} cannot be unpacked: {error}") from None
    except (KeyError, TypeError, StopIteration):
        text = "its meta.yaml names no model; make it with espnet2.bin.pack"
        raise TeacherError(f"teacher {archive}: {text}") from None
    return TeacherFiles(folder / config, folder / weights, root=folder)


def _is_packed(place: Path) -> bool:
    """Whether a file is a packed model; a checkpoint is a zip as well."""
    if not zipfile.is_zipfile(place):
        return False
    with zipfile.ZipFile(place) as archive:
        return "meta.yaml" in archive.namelist()


def read_settings(files: TeacherFiles) -> dict[str, Any]:
    """Read a teacher's config, its relative paths resolved against its own recipe.

    Raises:
        TeacherError: If it cannot be read, or a file that it names is not there.
    """
    try:
        settings = yaml.safe_load(files.config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        text = f"teacher's {files.config} is missing; is 'exp' an ESPnet exp directory?"
        raise TeacherError(text) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TeacherError(f"teacher's {files.config}: {error}") from None
    if not isinstance(settings, dict):
        raise TeacherError(f"teacher's {files.config} holds no configuration")
    settings.pop("kd_conf", None)
    return {key: _resolved(key, value, files) for key, value in settings.items()}


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a checkpoint, weights only, and require it to be the whole model.

    Raises:
        TeacherError: If it is missing, corrupt, holds more than weights, or lacks keys.
    """
    weights = read_weights(path)
    try:
        result = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        text = f"teacher's {path} does not fit its config.yaml: {error}"
        raise TeacherError(text) from None
    if result.missing_keys:
        missing = ", ".join(result.missing_keys[:SHOWN])
        raise TeacherError(
            f"teacher's {path} lacks {len(result.missing_keys)} of the model's "
            f"parameters (first: {missing}); they would stay random. Is it the "
            "checkpoint of this config.yaml, saved whole (not adapters only)?"
        )


def read_weights(path: Path) -> Mapping[str, torch.Tensor]:
    """Read a state dict without executing anything stored in it.

    Raises:
        TeacherError: If the file is missing, damaged, or holds more than weights.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TeacherError(f"teacher's checkpoint {path} does not exist") from None
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error) and "Unsupported" not in str(error):
            raise TeacherError(f"teacher's {path} is damaged: {error}") from None
        raise TeacherError(
            f"teacher's {path} holds more than weights and could execute code when "
            "loaded; refused. Save it again as a plain state dict, from a source you "
            "trust."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        text = f"teacher's {path} is damaged or no checkpoint: {error}"
        raise TeacherError(text) from None
    if isinstance(weights, dict) and isinstance(weights.get("model"), dict):
        weights = weights["model"]  # a checkpoint.pth of training
    if isinstance(weights, dict) and isinstance(weights.get("module"), dict):
        weights = weights["module"]  # DeepSpeed's form
    return weights


def _weights_in(exp: Path, file: str | None) -> Path:
    if file is not None:
        return exp / file
    for name in _selected_names(exp / "config.yaml"):
        if (exp / name).exists():
            return exp / name
    found = sorted(p.name for p in exp.glob("*.pth"))
    raise TeacherError(
        f"teacher {exp}: none of the checkpoints that training would select is there; "
        f"name one by 'file'. It has: {', '.join(found) or 'no .pth file'}"
    )


def _selected_names(config: Path) -> list[str]:
    """Averaged, then best checkpoints, in the order of ``best_model_criterion``."""
    try:
        settings = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
        criteria = settings.get("best_model_criterion") or [("valid", "loss", "min")]
        stems = [f"{phase}.{key}" for phase, key, *_ in criteria]
    except (OSError, UnicodeDecodeError, ValueError, AttributeError, yaml.YAMLError):
        stems = ["valid.acc", "valid.loss"]
    return [f"{stem}.{kind}.pth" for kind in ("ave", "best") for stem in stems]


def _from_zoo(tag: str, is_lm: bool) -> TeacherFiles:
    """Download a model by its tag: ``owner/name``."""
    if not TAG.fullmatch(tag):
        raise TeacherError(
            _no_such(tag, "and it has not the form owner/name of a model tag")
        )
    try:
        from espnet_model_zoo.downloader import ModelDownloader

        found = ModelDownloader().download_and_unpack(tag)
    except ImportError:
        way_out = "install espnet_model_zoo if it is a model tag"
        raise TeacherError(_no_such(tag, way_out)) from None
    except Exception as error:  # the hub's client raises many kinds of its own
        reason = f"as a model tag it cannot be downloaded: {error}"
        raise TeacherError(_no_such(tag, reason)) from error
    names = ("lm_train_config", "lm_file") if is_lm else ("_train_config", "_model_file")
    kinds = {k: v for k, v in found.items() if k.startswith("lm_") == is_lm}
    config, weights = (
        next((v for k, v in kinds.items() if k.endswith(name)), None) for name in names
    )
    if config is None or weights is None:
        raise TeacherError(f"model tag '{tag}' gave no config and weights: {found}")
    return TeacherFiles(Path(config), Path(weights))


def _no_such(tag: str, detail: str) -> str:
    return (
        f"teacher '{tag}': no such directory or file; {detail}. If it is a path, check it "
        "against the directory that training starts in."
    )


def _resolved(key: str, value: Any, files: TeacherFiles) -> Any:
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
        raise TeacherError(
            f"teacher's {files.config} names {key}: {value}, which is not to be found "
            f"from its own recipe directory ({config.parent} and above). Restore the "
            "file, or give the teacher as a packed zip."
        )
    return value


def _names_a_file(key: str, value: str) -> bool:
    looks_like_path = "/" in value or bool(Path(value).suffix)
    return looks_like_path and key.endswith(("_file", "model", "_path", "_dir", "_list"))
