"""Files of models in smaller forms, which stock ESPnet cannot load."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file

KIND = "espnet_kd compressed"
FORMAT = f"{KIND} 1"
# The note stands under the key that stock ESPnet takes for DeepSpeed's, so that ESPnet
# stops there. Without it ESPnet would skip what it cannot name, and decode at random.
NOTE = "module"
BEGINNING = 1 << 16
TEXT = "a compressed model: run the decoder by 'python -m espnet_kd -m MODULE ...'"


def write_compressed(path: Path, form: str, content: Mapping[str, Any]) -> None:
    """Write a model in some form.

    Args:
        path: A ``.pth`` that holds tensors and text, and no code.
        form: Name of the form.
        content: Tensors and text that the form needs.

    Raises:
        KDError: If the file cannot be written.
    """
    with whole_file(path, "wb") as file:
        torch.save({NOTE: TEXT, "format": FORMAT, "form": form, **content}, file)


def read_compressed(path: Path) -> dict[str, Any]:
    """Read what ``write_compressed`` wrote.

    Raises:
        KDError: If the file is damaged, or of another version.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] == FORMAT:
            return content
    except Exception as error:
        # Damaged zips and pickles raise errors of many kinds; the remedy is the same.
        text = f"{path} is damaged ({type(error).__name__}); make it again"
        raise KDError(text) from None
    raise KDError(f"{path} was written by another version; make it again")


def is_compressed(path: Path) -> bool:
    """Whether a file is what ``write_compressed`` writes, without loading it."""
    try:
        with zipfile.ZipFile(path) as file:
            pickles = [name for name in file.namelist() if name.endswith("data.pkl")]
            return any(KIND.encode() in _beginning(file, name) for name in pickles)
    except Exception:  # whatever bytes that are no zip do to zipfile
        return False


def _beginning(file: zipfile.ZipFile, member: str) -> bytes:
    """The part of a pickle that says what it is; all of it may be large, and a trap."""
    with file.open(member) as stream:
        return stream.read(BEGINNING)


def fill(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Give a model all of its parameters.

    Args:
        model: Changed in place.
        state: The parameters and buffers.
        path: The file that they came from, for messages.

    Raises:
        KDError: If they belong to another model.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = " ".join(str(error).splitlines()[1:2]).strip()
        raise KDError(f"{path} is not of the model in config.yaml: {first}") from None
