"""A few signals in the place of AN4 and of noise, laid out alike: for a dry run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

SPEAKERS = {"train": ("fa", "fb", "fc", "md", "me", "mf"), "test": ("fy", "mz")}
UTTERANCES = 4
PITCH = {"f": 200.0, "m": 110.0}
FOLDS = (1, 2, 3, 4)
CLIPS = 2
WORDS = ("ONE", "TWO", "THREE", "FOUR")


def generate(folder: Path, fs: int, seed: int) -> tuple[Path, Path]:
    """Write both corpora: of every speaker harmonics of a pitch, cut into syllables.

    Args:
        folder: Where they go.
        fs: Samples a second.
        seed: Of all that is random in them.

    Returns:
        The folders of the speech and of the noise.
    """
    draws = np.random.default_rng(seed)
    speech, noise = folder / "speech", folder / "noise"
    for name, speakers in SPEAKERS.items():
        rows = [row for s in speakers for row in _utterances(speech / name, s, fs, draws)]
        (speech / f"{name}.tsv").write_text("".join(rows))
    rows = [row for fold in FOLDS for row in _clips(noise, fold, fs, draws)]
    (noise / "clips.tsv").write_text("".join(rows))
    return speech, noise


def _utterances(
    folder: Path, speaker: str, fs: int, draws: np.random.Generator
) -> Iterator[str]:
    pitch = PITCH[speaker[0]] * draws.uniform(0.8, 1.2)
    formants = draws.uniform(300, 3000, 3)
    for number in range(UTTERANCES):
        samples = voiced(pitch, formants, int(fs * draws.uniform(1.0, 2.5)), fs, draws)
        file = Path(folder.name) / f"{speaker}-an{number}-b.flac"
        _write(folder.parent / file, samples, fs)
        text = " ".join(draws.choice(WORDS, 2))
        yield f"{file.stem}\t{file}\t{text}\n"


def voiced(
    pitch: float, formants: np.ndarray, length: int, fs: int, draws: np.random.Generator
) -> np.ndarray:
    """Harmonics of a pitch, louder near the formants, in syllables of a quarter second."""
    time = np.arange(length) / fs
    bends = pitch * (1 + 0.03 * np.sin(2 * np.pi * draws.uniform(2, 5) * time))
    phase = 2 * np.pi * np.cumsum(bends) / fs
    signal = np.zeros(length)
    for harmonic in range(1, int(4000 / pitch)):
        near = np.exp(-(((harmonic * pitch - formants) / 300) ** 2)).sum()
        signal += (0.05 + near) * np.sin(harmonic * phase + draws.uniform(0, 6))
    syllables = np.sin(np.pi * 4 * time) ** 2 * (np.sin(np.pi * time) > -0.5)
    signal *= syllables
    return 0.3 * signal / np.abs(signal).max()


def _clips(folder: Path, fold: int, fs: int, draws: np.random.Generator) -> Iterator[str]:
    for number in range(CLIPS):
        hum = np.convolve(draws.standard_normal(2 * fs), np.ones(1 + 7 * number), "same")
        file = Path("hum") / f"{fold}-{number}.flac"
        _write(folder / file, 0.3 * hum / np.abs(hum).max(), fs)
        yield f"{file}\t{fold}\n"


def _write(path: Path, samples: np.ndarray, fs: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, fs, subtype="PCM_16")
