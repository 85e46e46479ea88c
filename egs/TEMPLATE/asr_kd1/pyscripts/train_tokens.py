#!/usr/bin/env python3
"""Train a BPE model on a text and write ESPnet's token list."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import read_table

SPECIAL = 3  # sentencepiece's own <unk>, <s>, </s>, which ESPnet replaces


def main(cmd: list[str] | None = None) -> None:
    """Write bpe.model and tokens.txt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--nbpe", type=int, required=True)
    parser.add_argument("--model_type", default="unigram")
    args = parser.parse_args(cmd)
    with named_errors("train_tokens"):
        train(args.text, args.output_dir, args.nbpe, args.model_type)


def train(
    text: Path,
    output_dir: Path,
    nbpe: int,
    model_type: str,
    *,
    marks: Sequence[str] = (),
    ends: Sequence[str] = ("<sos/eos>",),
) -> None:
    """Train on the transcripts of a Kaldi ``text`` file.

    Args:
        text: The file.
        output_dir: For bpe.model and tokens.txt.
        nbpe: Number of pieces, marks among them.
        model_type: SentencePiece's kind.
        marks: Pieces of their own that no transcript holds, one number after the other.
        ends: What stands behind all pieces in the token list.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    sentences = [line for line in read_table(text).values() if line]
    prefix = output_dir / "training"
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_prefix=str(prefix),
            vocab_size=nbpe,
            model_type=model_type,
            character_coverage=1.0,
            user_defined_symbols=list(marks),
            input_sentence_size=100_000_000,
            minloglevel=1,
        )
    except RuntimeError as error:
        raise KDError(f"--nbpe {nbpe} does not suit this text: {error}") from None
    vocabulary = prefix.with_suffix(".vocab").read_text(encoding="utf-8").splitlines()
    pieces = [line.split("\t")[0] for line in vocabulary[SPECIAL:]]
    prefix.with_suffix(".vocab").unlink()
    prefix.with_suffix(".model").replace(output_dir / "bpe.model")
    with whole_file(output_dir / "tokens.txt") as file:
        file.writelines(f"{t}\n" for t in ["<blank>", "<unk>", *pieces, *ends])


if __name__ == "__main__":
    main()
