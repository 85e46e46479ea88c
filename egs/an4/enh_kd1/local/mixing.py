"""Speech with noise at a ratio that is told, the same every time."""

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np

from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table

# Frames of 64 ms whose power is below this part of the mean are pauses, as they are to
# espnet2.train.preprocessor, which mixes for the training.
PAUSE = 0.01
FRAME, SHIFT = 1024, 512


def draws_of(seed: int, utterance: str) -> np.random.Generator:
    """Random numbers of one utterance, which no other utterance moves."""
    return np.random.default_rng([seed, crc32(utterance.encode())])


def speech_power(speech: np.ndarray) -> float:
    """Mean square of the samples in which one speaks, (N,); 0 of silence."""
    if len(speech) < FRAME:
        return float(np.mean(np.square(speech))) if len(speech) else 0.0
    padded = np.pad(speech.astype(np.float64), (0, -(len(speech) - FRAME) % SHIFT))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::SHIFT]
    powers = np.mean(np.square(frames), axis=1)
    loud = np.repeat(powers > PAUSE * np.mean(powers), SHIFT)[: len(speech)]
    loud = np.pad(loud, (0, len(speech) - len(loud)), mode="edge")
    return float(np.mean(np.square(speech[loud], dtype=np.float64))) if loud.any() else 0.0


def stretch_of(noise: np.ndarray, length: int, draws: np.random.Generator) -> np.ndarray:
    """So many samples of a noise from a random place on, beginning anew at its end."""
    return np.take(noise, draws.integers(len(noise)) + np.arange(length), mode="wrap")


def mixed(speech: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Speech and as much of the noise as makes the ratio.

    Args:
        speech: Samples, (N,).
        noise: As many.
        snr: Power of the speech where one speaks over the noise's power, in dB.

    Returns:
        (N,), float32. It may leave -1 to 1, and the speech in it is as loud as before.
    """
    power = max(float(np.mean(np.square(noise, dtype=np.float64))), 1e-10)
    scale = np.sqrt(speech_power(speech) / power * 10 ** (-snr / 10))
    return (speech + scale * noise).astype(np.float32)


def clips_of(noise: Path, folds: Sequence[str]) -> list[Path]:
    """The clips of some folds, sorted by name.

    Raises:
        KDError: If there are none, or one of them is missing.
    """
    listed = read_table(noise / "clips.tsv")
    clips = sorted(noise.absolute() / name for name in listed if listed[name] in folds)
    if not clips:
        raise KDError(
            f"{noise / 'clips.tsv'} has no clip of fold {' or '.join(folds)}; it lists a "
            "file and its fold, from 1 to 4, in every line"
        )
    for clip in clips:
        if not clip.is_file():
            raise KDError(f"{noise / 'clips.tsv'} lists {clip}, which is missing")
    return clips
