#!/usr/bin/env python3
"""Synthesise the mini corpus: SYNTHETIC speech in LibriSpeech's own layout.

Sentences of our own grammar, spoken by espeak-ng's voices with noise. It shows that the
pipeline works and that distillation moves a word error rate; it says nothing about
real speech. Deterministic by seed.
"""

import argparse
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import mini_grammar
import numpy as np
import soundfile
import soxr
from espeak import Espeak, Voice

from espnet_kd.bin.command import named_errors

SAMPLE_RATE = 16000
# Base voices only: espeak-ng's variants (+m1, +f2, ...) read memory that they never
# set, and sound different in every process. Vocal tracts are our own doing.
ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-us-nyc")
SNR_DB = (12.0, 30.0)


@dataclass(frozen=True)
class Subset:
    """A part of the corpus: how many speakers, how many sentences each."""

    speakers: int
    utterances: int


SUBSETS = {
    "train-few": Subset(20, 14),
    "train-small": Subset(40, 14),
    "train-more": Subset(100, 10),
    "dev-clean": Subset(10, 9),
    "test-clean": Subset(20, 10),
}


def main(cmd: list[str] | None = None) -> None:
    """Write the corpus, whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="of the sentences")
    args = parser.parse_args(cmd)
    with named_errors("synthesise_mini"):
        write(args.output_dir, args.seed, args.scale)


def write(output_dir: Path, seed: int, scale: float) -> None:
    """Put a corpus in the place of what is there, once it is whole."""
    partial = output_dir.with_name(output_dir.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    synthesise(partial, seed, scale)
    shutil.rmtree(output_dir, ignore_errors=True)
    partial.rename(output_dir)


def synthesise(folder: Path, seed: int, scale: float = 1.0) -> None:
    """Write every subset below ``folder``; speakers and sentences are disjoint."""
    rng = random.Random(seed)
    sentences: set[str] = set()
    espeak, speaker, table = Espeak(), 1000, []
    for name, subset in SUBSETS.items():
        for _ in range(subset.speakers):
            voice = draw_voice(rng)
            texts = draw_sentences(rng, max(1, int(subset.utterances * scale)), sentences)
            write_chapter(espeak, folder / name, speaker, voice, texts, seed)
            table.append(f"{speaker} | M | {name} | 1.0 | espeak {voice.name}")
            speaker += 1
        print(f"{name}: {subset.speakers} synthetic speakers", file=sys.stderr)
    (folder / "SPEAKERS.TXT").write_text("\n".join(table) + "\n")


def draw_voice(rng: random.Random) -> Voice:
    """A speaker: accent, pitch, melody, rate and length of the vocal tract."""
    return Voice(
        name=rng.choice(ACCENTS),
        pitch=rng.randint(20, 80),
        spread=rng.randint(30, 70),
        rate=rng.randint(150, 200),
        tract=rng.uniform(0.88, 1.14),
    )


def draw_sentences(rng: random.Random, count: int, taken: set[str]) -> list[str]:
    """New sentences, none of which any speaker of any subset has said."""
    drawn: list[str] = []
    while len(drawn) < count:
        text = mini_grammar.sentence(rng)
        if text not in taken:
            taken.add(text)
            drawn.append(text)
    return drawn


def write_chapter(
    espeak: Espeak,
    folder: Path,
    speaker: int,
    voice: Voice,
    texts: list[str],
    seed: int,
) -> None:
    """Speak the texts into ``SPEAKER/1/*.flac`` and their transcript."""
    chapter = folder / str(speaker) / "1"
    chapter.mkdir(parents=True)
    noise = np.random.default_rng((seed, speaker))
    lines = []
    for index, text in enumerate(texts):
        name = f"{speaker}-1-{index:04d}"
        samples = espeak.speak(text, voice, seed=index)
        # A shorter tract has higher formants: play faster what was spoken slower.
        source_rate = espeak.sample_rate / voice.tract
        samples = add_noise(soxr.resample(samples, source_rate, SAMPLE_RATE), noise)
        soundfile.write(chapter / f"{name}.flac", samples, SAMPLE_RATE)
        lines.append(f"{name} {text.upper()}\n")
    (chapter / f"{speaker}-1.trans.txt").write_text("".join(lines))


def add_noise(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add pink noise at a random signal-to-noise ratio, and set a random level."""
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, len(samples))
    power = np.mean(samples**2) / np.maximum(np.mean(noise**2), 1e-12)
    noisy = samples + noise * np.sqrt(power * 10 ** (-rng.uniform(*SNR_DB) / 10))
    levelled: np.ndarray = noisy / np.abs(noisy).max() * rng.uniform(0.3, 0.9)
    return levelled


if __name__ == "__main__":
    main()
