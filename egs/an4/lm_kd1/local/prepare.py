#!/usr/bin/env python3
"""Write the texts of train, dev and test, and the pieces of words that models share.

AN4's transcripts are split as its recognition recipe splits them, so that a language model
serves that recogniser: no sentence of its test set is read. Without AN4, sentences are
drawn from the grammar of the mini corpus.
"""

import argparse
import random
from pathlib import Path

import mini_grammar
import train_tokens
from prepare_audio import split

from espnet_kd.bin.command import named_errors
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
    parser.add_argument("--nbpe", type=int, required=True)
    args = parser.parse_args(cmd)
    with named_errors("prepare"):
        sets = an4(args.an4_audio) if args.an4_audio else generated(args.generated)
        for name, texts in sets.items():
            write_table(args.output_dir / name / "text", texts)
        text = args.output_dir / "train" / "text"
        train_tokens.train(text, args.output_dir / "bpe", args.nbpe, "unigram")


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
