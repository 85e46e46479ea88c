#!/usr/bin/env python3
"""Measure a language model: its perplexity, by ESPnet's own tool.

The gap is recovered in nats a token, the logarithm of the perplexity: equal steps there
are equal shares of what a model does not know.
"""

import math
from pathlib import Path

from espnet2.bin.lm_calc_perplexity import main as calc_perplexity
from scores_file import Metric, evaluation_parser, write_scores

from espnet_kd.bin.command import named_errors
from espnet_kd.documents import read_text
from espnet_kd.host.kaldi_dir import read_table


def main(cmd: list[str] | None = None) -> None:
    """Write scores.json beside what ESPnet's tool writes."""
    args = evaluation_parser(__doc__, "text").parse_args(cmd)
    with named_errors("evaluate"):
        text = args.data_dir / "text"
        perplexity = perplexity_of(args.exp, args.file, text, args.output_dir)
        metrics = {
            "perplexity": Metric(perplexity, "lower"),
            "nats a token": Metric(math.log(perplexity), "lower"),
        }
        write_scores(args.output_dir, metrics, len(read_table(text)))


def perplexity_of(exp: Path, file: str, text: Path, output_dir: Path) -> float:
    """The perplexity of a text, its ends of sentences included."""
    calc_perplexity(
        [
            *("--data_path_and_name_and_type", f"{text},text,text"),
            *("--train_config", str(exp / "config.yaml")),
            *("--model_file", str(exp / file)),
            *("--output_dir", str(output_dir)),
        ]
    )
    found = output_dir / "ppl"
    return float(read_text(found, f"{found} cannot be read"))


if __name__ == "__main__":
    main()
