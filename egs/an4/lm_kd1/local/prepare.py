#!/usr/bin/env python3
"""Write the texts of train, dev and test, and the pieces of words that models share.

AN4's transcripts are split as its recognition recipe splits them, so that a language model
serves that recogniser: no sentence of its test set is read. Without AN4, sentences are
drawn from the grammar of the mini corpus.
"""

import argparse
import random
import shutil
from pathlib import Path

import mini_grammar
import train_tokens
from prepare_audio import split

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import write_table

NAMES = {"train_nodev": "train", "train_dev": "dev", "test": "test"}
# Of ten generated sentences one is for dev and one for test.
PARTS = {"dev": 0, "test": 1}


def main(cmd: list[str] | None = None) -> None:
    """Write SET/text for three sets, and bpe/."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--an4_audio", type=Path, help="holds train.tsv and test.tsv")
    source.add_argument("--generated", type=int, help="how many sentences to draw")
    parser.add_argument("--output_dir", type=Path, required=True)
    pieces = parser.add_mutually_exclusive_group(required=True)
    pieces.add_argument("--nbpe", type=int, help="how many pieces to find")
    pieces.add_argument("--bpe_dir", type=Path, help="bpe.model and tokens.txt to share")
    args = parser.parse_args(cmd)
    with named_errors("prepare"):
        sets = an4(args.an4_audio) if args.an4_audio else generated(args.generated)
        for name, texts in sets.items():
            write_table(args.output_dir / name / "text", texts)
        bpe = args.output_dir / "bpe"
        if args.bpe_dir:
            share(args.bpe_dir, bpe)
        else:
            text = args.output_dir / "train" / "text"
            train_tokens.train(text, bpe, args.nbpe, "unigram")


def share(source: Path, output_dir: Path) -> None:
    """Copy a recogniser's pieces.

    Raises:
        KDError: If they are not there.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    for name in ("bpe.model", "tokens.txt"):
        if not (source / name).is_file():
            raise KDError(
                f"--bpe_dir {source} has no {name}; name a recogniser's token list"
            )
        shutil.copyfile(source / name, output_dir / name)


def an4(source: Path) -> dict[str, dict[str, str]]:
    """AN4's transcripts by set and utterance."""
    return {
        NAMES[name]: {r.utterance: r.text for r in recordings}
        for name, recordings in split(source, dev_utterances=100).items()
    }


def generated(count: int) -> dict[str, dict[str, str]]:
    """Different sentences of a grammar, the same ones each time."""
    rng = random.Random(0)
    sentences: dict[str, None] = {}
    while len(sentences) < count:
        sentences[mini_grammar.sentence(rng)] = None
    sets: dict[str, dict[str, str]] = {"train": {}, "dev": {}, "test": {}}
    parts = {part: name for name, part in PARTS.items()}
    for number, sentence in enumerate(sentences):
        sets[parts.get(number % 10, "train")][f"s{number:05d}"] = sentence
    return sets


if __name__ == "__main__":
    main()
