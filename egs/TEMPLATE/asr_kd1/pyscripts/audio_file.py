"""Audio files: what they hold, and what keeps them from being read."""

import os
from pathlib import Path

import numpy as np
import soundfile

from espnet_kd.errors import KDError

# What libsndfile and its wrapper raise for a file that is damaged.
UNREADABLE = (soundfile.LibsndfileError, OSError, RuntimeError)


def read_samples(path: Path) -> tuple[np.ndarray, int]:
    """Samples and sampling rate of a file.

    Raises:
        KDError: If it is missing, no file, or no audio.
    """
    if not os.path.isfile(path):
        raise KDError(f"{path} is missing, or no file; run stage 1 again")
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except UNREADABLE as error:
        raise KDError(f"{path} cannot be read: {error}; run stage 1 again") from None
    return samples, rate
