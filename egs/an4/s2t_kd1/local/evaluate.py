#!/usr/bin/env python3
"""Transcribe a test set with a model of OWSM's kind by ESPnet's search; sclite scores."""

from pathlib import Path

import torch
from scores_file import Metric, evaluation_parser, write_scores
from stock_inference import open_stock
from voices import read_mono

from espnet_kd.bin.command import named_errors
from espnet_kd.host.kaldi_dir import read_table, write_table
from espnet_kd.report.score import score


def main(cmd: list[str] | None = None) -> None:
    """Write text, what the model heard, and scores.json."""
    args = evaluation_parser(__doc__, "wav.scp and text").parse_args(cmd)
    with named_errors("evaluate"):
        waves, texts = (read_table(args.data_dir / name) for name in ("wav.scp", "text"))
        heard = transcribed(args.exp, args.file, waves)
        write_table(args.output_dir / "text", heard)
        rates = {
            f"{unit.upper()}, %": score(texts, heard, args.output_dir / unit, unit=unit)
            for unit in ("wer", "cer")
        }
        metrics = {name: Metric(r.error_rate, "lower") for name, r in rates.items()}
        write_scores(args.output_dir, metrics, len(texts))


def transcribed(exp: Path, file: str, waves: dict[str, str]) -> dict[str, str]:
    """What the model writes of each utterance, without what it was told."""
    torch.set_num_threads(1)
    stock = open_stock(exp, file, "espnet2.bin.s2t_inference:Speech2Text", "s2t_model")
    heard = {}
    for utterance, path in waves.items():
        _text, _tokens, _ids, spoken, _hypothesis = stock(read_mono(Path(path)))[0]
        heard[utterance] = " ".join(spoken.split())
    return heard


if __name__ == "__main__":
    main()
