"""AN4's recordings, those of train, dev and test of speakers of their own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from prepare_audio import Recording, read_list

from espnet_kd.errors import KDError

FS = 16000


def apart(speech: Path, dev_speakers: int) -> dict[str, list[Recording]]:
    """The recordings of each set.

    Args:
        speech: Holds train.tsv and test.tsv.
        dev_speakers: So many speakers of train are for dev.

    Raises:
        KDError: If a list cannot be read, or two sets would share a speaker.
    """
    train, test = (read_list(speech / f"{name}.tsv") for name in ("train", "test"))
    held = held_out([r.speaker for r in train], dev_speakers)
    if shared := {r.speaker for r in train} & {r.speaker for r in test}:
        raise KDError(
            f"{speech}: '{min(shared)}' speaks in train.tsv and in test.tsv, so that the "
            "test would be of a known voice; take the speaker out of one of them"
        )
    return {
        "train": [r for r in train if r.speaker not in held],
        "dev": [r for r in train if r.speaker in held],
        "test": test,
    }


def held_out(speakers: Sequence[str], count: int) -> set[str]:
    """Some of the speakers, evenly spaced by name: AN4's begin with their sex.

    Raises:
        KDError: If that leaves none to train on, or none to hold out.
    """
    names = sorted(set(speakers))
    if not 0 < count < len(names):
        raise KDError(
            f"--dev_speakers {count} of the {len(names)} speakers in train.tsv leaves none "
            f"for train or for dev; it is a number from 1 to {len(names) - 1}"
        )
    return {names[place] for place in np.linspace(0, len(names) - 1, count).astype(int)}


def read_mono(path: Path) -> np.ndarray:
    """Samples of a file with one channel, (N,), float32.

    Raises:
        KDError: If it cannot be read, or is at another rate, or has more channels.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (soundfile.LibsndfileError, OSError) as error:
        raise KDError(f"{path} cannot be read ({error}); copy the corpus anew") from None
    if rate != FS or samples.ndim != 1 or not len(samples):
        raise KDError(
            f"{path} has {len(samples)} samples at {rate} Hz; one channel of {FS} Hz is "
            "needed, so convert the corpus first"
        )
    return samples
