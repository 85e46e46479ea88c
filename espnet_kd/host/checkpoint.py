"""Checkpoints: read without executing anything in them, and required to be whole."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from espnet_kd.errors import ExperimentError

SHOWN = 3


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a checkpoint, weights only, and require it to be the whole model.

    Args:
        model: Changed in place.
        path: The checkpoint; parameters that the model does not have are left out.

    Raises:
        ExperimentError: If it is missing, corrupt, holds more than weights, or lacks keys.
    """
    weights = read_weights(path)
    try:
        result = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        text = f"{path} does not fit its config.yaml: {error}"
        raise ExperimentError(text) from None
    if result.missing_keys:
        missing = ", ".join(result.missing_keys[:SHOWN])
        raise ExperimentError(
            f"{path} lacks {len(result.missing_keys)} of the model's "
            f"parameters (first: {missing}); they would stay random. Is it the "
            "checkpoint of this config.yaml, saved whole (not adapters only)?"
        )


def read_weights(path: Path) -> Mapping[str, torch.Tensor]:
    """Read a state dict without executing anything stored in it.

    Raises:
        ExperimentError: If the file is missing, damaged, or holds more than weights.
    """
    try:
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ExperimentError(f"checkpoint {path} does not exist") from None
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error) and "Unsupported" not in str(error):
            raise ExperimentError(f"{path} is damaged: {error}") from None
        raise ExperimentError(
            f"{path} holds more than weights and could execute code when "
            "loaded; refused. Save it again as a plain state dict, from a source you "
            "trust."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        text = f"{path} is damaged or no checkpoint: {error}"
        raise ExperimentError(text) from None
    if isinstance(weights, dict) and isinstance(weights.get("model"), dict):
        weights = weights["model"]  # a checkpoint.pth of training
    if isinstance(weights, dict) and isinstance(weights.get("module"), dict):
        weights = weights["module"]  # DeepSpeed's form
    state: Mapping[str, torch.Tensor] = weights
    return state
