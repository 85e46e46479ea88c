"""Files of named arrays that are not pickled: ``.npz`` without objects."""

import io
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from espnet_kd.errors import KDError, reason_of
from espnet_kd.host.files import whole_file

# Of one array: codebooks and token maps have some megabytes.
LARGEST = 1 << 30


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays whole or not at all.

    Raises:
        KDError: If the file cannot be written.
    """
    with whole_file(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_arrays(path: Path, names: Collection[str], remedy: str) -> dict[str, np.ndarray]:
    """Read arrays, and nothing that could run.

    Args:
        path: A file of ``write_arrays``.
        names: The arrays that there must be; others are left alone.
        remedy: How the message ends if the file cannot be read.

    Raises:
        KDError: If it is missing, no such file, damaged, or lacks one of the arrays.
    """
    if not path.is_file():
        raise KDError(f"{path} is missing, or no file; {remedy}")
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _array(archive, f"{name}.npy") for name in names}
    except Exception as error:  # whatever damaged bytes do to a reader
        text = f"{path} cannot be read ({reason_of(error)})"
        raise KDError(f"{text}; {remedy}") from None


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    size = archive.getinfo(name).file_size
    if size > LARGEST:
        raise ValueError(f"{name} has {size / 1e9:.1f} GB")
    data = io.BytesIO(archive.read(name))
    array: np.ndarray = np.lib.format.read_array(data, allow_pickle=False)
    return array
