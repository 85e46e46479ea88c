#!/usr/bin/env python3
"""Lay out one voice as Kaldi data directories: recordings and sentences of characters.

--source holds utterances.tsv (utterance, file, sentence) and the files that it names;
--generated makes short "recordings" instead, a chord a letter, to try the recipe by. The
utterances, sorted by name and shuffled by a fixed seed, become dev, test and train, in
this order. Sentences are in lower case, without quotation marks; one that then holds
anything but letters and . , ? ! - (a digit, whose words nobody wrote down) is left out,
and so is one that comes again.
"""

import argparse
import importlib.util
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from espnet_kd.bin.command import named_errors
from espnet_kd.documents import read_text
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import write_table

FIELDS = 3
SEED = 0
LETTERS = "abcdefghijklmnopqrstuvwxyzäöüß"
KNOWN = {*LETTERS, *" .,?!-"}
# Dashes and semicolons are written otherwise; quotation marks, apostrophes and the
# Hawaiian okina are not spoken.
UNSPOKEN = "\u201e\u201c\u201d\u00bb\u00ab\"'\u2019\u02bb"
SPELLING = str.maketrans({"\u2013": "-", ";": ",", **dict.fromkeys(UNSPOKEN, "")})
RATE = 16000


@dataclass(frozen=True)
class Utterance:
    """A recording and what is said in it.

    Attributes:
        name: What it is called.
        audio: The file.
        text: The sentence, as the models read it.
    """

    name: str
    audio: Path
    text: str


def main(cmd: list[str] | None = None) -> None:
    """Write train, dev, test and the list of tokens."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--source", type=Path)
    source.add_argument("--generated", type=int, metavar="UTTERANCES")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--held_out", type=int, default=30, help="of dev, and of test")
    args = parser.parse_args(cmd)
    with named_errors("prepare"):
        require_pyworld()
        if args.source is not None:
            utterances = read_list(args.source / "utterances.tsv")
        else:
            utterances = generate(args.output_dir / "audio", args.generated)
        write_sets(args.output_dir, utterances, args.held_out)


def require_pyworld() -> None:
    """Ask for what the trainings measure pitch by, before any of them is begun.

    Raises:
        KDError: If it is not installed.
    """
    if importlib.util.find_spec("pyworld") is None:
        raise KDError(
            "pyworld is not installed, by which FastSpeech2 is taught pitch; python -m pip "
            "install pyworld compiles it, which takes a C++ compiler"
        )


def read_list(path: Path) -> list[Utterance]:
    """Read a voice's list, without sentences that cannot be spelt or come again.

    Raises:
        KDError: If the list is missing, or a line is none.
    """
    if not path.exists():
        raise KDError(
            f"{path} is missing; --voice names a folder with utterances.tsv and the audio "
            "that it lists"
        )
    lines = read_text(path, f"{path} cannot be read").rstrip("\n").split("\n")
    read = [_utterance(path, number, line) for number, line in enumerate(lines, 1)]
    spelt = [utterance for utterance in read if KNOWN.issuperset(utterance.text)]
    # What is trained on is not tested: the later of two that say the same is left out.
    distinct = {utterance.text: utterance for utterance in reversed(spelt)}
    kept = [utterance for utterance in spelt if distinct[utterance.text] is utterance]
    for why, more, fewer in (("characters", read, spelt), ("repetition", spelt, kept)):
        for utterance in more:
            if utterance not in fewer:
                print(f"left out for its {why}: {utterance.name}", file=sys.stderr)
    return kept


def _utterance(path: Path, number: int, line: str) -> Utterance:
    fields = line.split("\t")
    if len(fields) != FIELDS or not all(map(str.strip, fields)):
        raise KDError(
            f"{path}, line {number} is not made of {FIELDS} fields with tabs between them: "
            "utterance, file and sentence"
        )
    name, file, text = fields
    return Utterance(name, (path.parent / file).absolute(), spell(text))


def spell(text: str) -> str:
    """Write a sentence as the models read it."""
    return " ".join(text.lower().translate(SPELLING).split())


def write_sets(folder: Path, utterances: list[Utterance], held_out: int) -> None:
    """Write dev, test, train and tokens.txt, which is last and says that all are whole.

    Raises:
        KDError: If nothing is left to train on.
    """
    if len(utterances) <= 2 * held_out:
        raise KDError(
            f"{len(utterances)} utterances leave none to train on beside the {held_out} "
            "of dev and of test; lower --held_out"
        )
    shuffled = sorted(utterances, key=lambda utterance: utterance.name)
    random.Random(SEED).shuffle(shuffled)
    for name in ("dev", "test"):
        taken, shuffled = shuffled[:held_out], shuffled[held_out:]
        write_set(folder / name, taken)
    write_set(folder / "train", shuffled)
    with whole_file(folder / "tokens.txt") as file:
        file.writelines(f"{token}\n" for token in tokens_of(shuffled))


def write_set(folder: Path, utterances: list[Utterance]) -> None:
    """Write one directory."""
    write_table(folder / "wav.scp", {u.name: str(u.audio) for u in utterances})
    write_table(folder / "text", {u.name: u.text for u in utterances})


def tokens_of(utterances: list[Utterance]) -> list[str]:
    """List the tokens of some sentences as ESPnet wants them: blank first, the end last."""
    used = {character for utterance in utterances for character in utterance.text}
    characters = ["<space>" if c == " " else c for c in sorted(used)]
    return ["<blank>", "<unk>", *characters, "<sos/eos>"]


def generate(folder: Path, count: int) -> list[Utterance]:
    """Make utterances of random words, each letter a chord of its own."""
    rng, made = np.random.default_rng(SEED), []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        words = ["".join(rng.choice([*"abcdeo"], rng.integers(2, 5))) for _ in range(3)]
        text = " ".join(words) + "."
        path = (folder / f"chords-{number:03d}.flac").absolute()
        soundfile.write(path, np.concatenate([*_sounds(text, rng)]), RATE)
        made.append(Utterance(path.stem, path, text))
    return made


def _sounds(text: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The sound of each character: ten harmonics, or next to nothing."""
    pitches: Mapping[str, int] = dict(zip("abcdeo", range(110, 230, 20), strict=True))
    for character in text:
        time = np.arange(int(rng.integers(1100, 1900))) / RATE
        hiss = 1e-3 * rng.standard_normal(len(time))
        pitch = pitches.get(character, 0)
        waves = (np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 11))
        yield 0.1 * sum(waves) + hiss


if __name__ == "__main__":
    main()
