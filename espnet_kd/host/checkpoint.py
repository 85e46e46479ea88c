"""Checkpoints: read without executing anything in them, and required to be whole."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from espnet_kd.errors import ExperimentError, reason_of

SHOWN = 3
# Characters of torch's own message that are shown; it can list every parameter.
MESSAGE = 1000


def load_state(model: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load what was read from a checkpoint, and require it to be the whole model.

    Args:
        model: Changed in place.
        weights: As ``read_weights`` gives them; parameters that the model does not have
            are left out.
        path: The checkpoint, for messages.

    Raises:
        ExperimentError: If they are of another model, or lack keys.
    """
    try:
        result = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        text = f"{path} does not fit its config.yaml: {str(error)[:MESSAGE]}"
        raise ExperimentError(text) from None
    if result.missing_keys:
        missing = ", ".join(result.missing_keys[:SHOWN])
        raise ExperimentError(
            f"{path} lacks {len(result.missing_keys)} of the model's "
            f"parameters (first: {missing}); they would stay random. Is it the "
            "checkpoint of this config.yaml, saved whole (not adapters only)?"
        )


def require_checkpoint(path: Path) -> None:
    """Require a checkpoint to be a file, without reading it.

    Raises:
        ExperimentError: If it is missing, or something else.
    """
    if not os.path.exists(path):  # which a name that is too long does not stop
        raise ExperimentError(f"checkpoint {path} does not exist")
    if not path.is_file():
        raise ExperimentError(f"{path} is no checkpoint but a directory or a device")


def read_weights(path: Path) -> Mapping[str, torch.Tensor]:
    """Read a state dict without executing anything stored in it.

    Raises:
        ExperimentError: If the file is missing, damaged, or holds more than weights.
    """
    require_checkpoint(path)
    try:
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error) and "Unsupported" not in str(error):
            raise ExperimentError(f"{path} is damaged: {reason_of(error)}") from None
        raise ExperimentError(
            f"{path} holds more than weights and could execute code when "
            "loaded; refused. Save it again as a plain state dict, from a source you "
            "trust."
        ) from None
    except Exception as error:  # whatever damaged bytes do to an unpickler
        text = f"{path} is damaged or no checkpoint: {reason_of(error)}"
        raise ExperimentError(text) from None
    return _state_of(weights, path)


def _state_of(weights: Any, path: Path) -> Mapping[str, torch.Tensor]:
    """The named tensors that a checkpoint holds, on whichever level."""
    if isinstance(weights, dict) and isinstance(weights.get("model"), dict):
        weights = weights["model"]  # a checkpoint.pth of training
    if isinstance(weights, dict) and isinstance(weights.get("module"), dict):
        weights = weights["module"]  # DeepSpeed's form
    if isinstance(weights, dict) and isinstance(weights.get("state_dict"), dict):
        weights = _of_lightning(weights["state_dict"])
    items = weights.items() if isinstance(weights, dict) else ()
    if found := {name: value for name, value in items if _is_parameter(name, value)}:
        return found
    raise ExperimentError(f"{path} holds no named tensors, as a model's checkpoint does")


def _of_lightning(weights: dict[Any, Any]) -> dict[Any, Any]:
    """The model's parameters; a Lightning module may hold them as those of ``model``."""
    names = [name for name in weights if isinstance(name, str)]
    if names and all(name.startswith("model.") for name in names):
        return {name.removeprefix("model."): weights[name] for name in names}
    return weights


def _is_parameter(name: object, value: object) -> bool:
    """Whether something can be a parameter: a name, and numbers that are all there."""
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        return False
    return value.layout is torch.strided and not value.is_meta
