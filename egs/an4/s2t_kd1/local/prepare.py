#!/usr/bin/env python3
"""Lay AN4 out for models of OWSM's kind, which are told what to write before they write.

Beside the audio and its transcript (text, which CTC learns) every set holds prompted, what
the decoder writes: language, task and transcript; and before, what was said before, which
of single utterances is nothing. In train ESPnet's preprocessor adds that no times follow.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import train_tokens
from generate import generate
from prepare_audio import Recording, split, write_set
from voices import FS, read_mono

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import write_table

SETS = {"test": "test", "train_dev": "dev", "train_nodev": "train"}
UNAVAILABLE, WITHOUT_TIMES = "<na>", "<notimestamps>"
PROMPT = ("<eng>", "<asr>")
# Times are numbers that follow each other; here none is written, and two are enough.
TIMES = ("<0.00>", "<8.00>")
ENDS = ("<sos>", "<eos>", "<sop>")
# preprocessor_conf: speech_length, less the silence that a training puts before.
LONGEST = 8.0 - 0.3


def main(cmd: list[str] | None = None) -> None:
    """Write three sets, and bpe/; train last, which says that all are whole."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--an4_audio", type=Path, help="folder of AN4 as audio")
    source.add_argument("--generated", action="store_true", help="make a few signals up")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--dev_utterances", type=int, default=100)
    parser.add_argument("--nbpe", type=int, required=True, help="pieces, marks included")
    args = parser.parse_args(cmd)
    with named_errors("prepare"):
        speech = args.an4_audio
        if args.generated:
            speech, _ = generate(args.output_dir / "generated", FS, 0)
        sets = split(speech, args.dev_utterances)
        for recordings in sets.values():
            check(recordings)
        write_tokens(args.output_dir, sets["train_nodev"], args.nbpe)
        for name, recordings in sets.items():
            write_prompted(args.output_dir / SETS[name], recordings)


def check(recordings: Sequence[Recording]) -> None:
    """Require speech that the models hear whole, and transcripts.

    Raises:
        KDError: With the first that is something else.
    """
    for recording in recordings:
        seconds = len(read_mono(recording.audio)) / FS
        if seconds > LONGEST:
            raise KDError(
                f"{recording.audio} lasts {seconds:.1f} s, and the models hear "
                f"{LONGEST:.1f} (speech_length in conf, less the silence before); leave it "
                "out of the list, or raise both"
            )
        if not recording.text:
            raise KDError(
                f"'{recording.utterance}' has no transcript; leave it out of the list"
            )


def write_tokens(output_dir: Path, recordings: Sequence[Recording], nbpe: int) -> None:
    """Write bpe/, of the transcripts of train."""
    bpe = output_dir / "bpe"
    text = bpe / "text"
    write_table(text, {r.utterance: r.text for r in recordings})
    marks = (UNAVAILABLE, *PROMPT, WITHOUT_TIMES, *TIMES)
    train_tokens.train(text, bpe, nbpe, "unigram", marks=marks, ends=ENDS)


def write_prompted(folder: Path, recordings: Sequence[Recording]) -> None:
    """Write a set."""
    prompt = PROMPT if folder.name == "train" else (*PROMPT, WITHOUT_TIMES)
    told = {r.utterance: f"{''.join(prompt)} {r.text}" for r in recordings}
    write_table(folder / "prompted", told)
    write_table(folder / "before", dict.fromkeys(told, UNAVAILABLE))
    write_set(folder, recordings)


if __name__ == "__main__":
    main()
