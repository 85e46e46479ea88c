#!/usr/bin/env python3
"""Compare all pairs of a test set's utterances by a speaker model: its equal error rate.

A score is the cosine of two utterances' embeddings, each of the whole utterance. The error
rates are ESPnet's own (espnet2.utils.eer, over scikit-learn's curve); the detection cost
is the least one at a prior of 0.05, where both errors cost 1.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from scores_file import Metric, evaluation_parser, write_scores
from stock_inference import open_stock
from voices import read_mono

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table

PRIOR = 0.05


def main(cmd: list[str] | None = None) -> None:
    """Write scores.json."""
    args = evaluation_parser(__doc__, "wav.scp and utt2spk").parse_args(cmd)
    with named_errors("evaluate"):
        waves, speakers = (read_table(args.data_dir / n) for n in ("wav.scp", "utt2spk"))
        if missing := waves.keys() - speakers.keys():
            raise KDError(f"{args.data_dir}/utt2spk lacks '{min(missing)}'")
        embeddings = embeddings_of(args.exp, args.file, waves)
        metrics = figures(embeddings, [speakers[utt] for utt in waves])
        write_scores(args.output_dir, metrics, len(waves))


def embeddings_of(exp: Path, file: str, waves: dict[str, str]) -> np.ndarray:
    """The embedding of each utterance, of length 1, (N, D)."""
    torch.set_num_threads(1)
    stock = open_stock(exp, file, "espnet2.bin.spk_inference:Speech2Embedding", "spk_model")
    rows = [stock(read_mono(Path(path))).numpy().reshape(-1) for path in waves.values()]
    table = np.stack(rows).astype(np.float64)
    unit: np.ndarray = table / np.linalg.norm(table, axis=1, keepdims=True)
    return unit


def figures(embeddings: np.ndarray, speakers: list[str]) -> dict[str, Metric]:
    """Error rates over all pairs of different utterances.

    Args:
        embeddings: (N, D), of length 1.
        speakers: Who says each.

    Raises:
        KDError: If all are of one speaker, or no speaker has two.
    """
    from espnet2.utils.eer import (
        ComputeErrorRates,
        ComputeMinDcf,
        tuneThresholdfromScore,
    )

    pairs = list(combinations(range(len(speakers)), 2))
    labels = [int(speakers[one] == speakers[other]) for one, other in pairs]
    if len(set(labels)) < 2:
        raise KDError("pairs of one speaker and pairs of two are needed to tell them apart")
    first, second = np.array(pairs).T
    scores = (embeddings[first] * embeddings[second]).sum(1).tolist()
    _, rate, _, _ = tuneThresholdfromScore(scores, labels, [1, 0.1])
    cost, _ = ComputeMinDcf(*ComputeErrorRates(scores, labels), PRIOR, 1, 1)
    return {
        "EER, %": Metric(float(rate), "lower"),
        "minDCF": Metric(float(cost), "lower"),
    }


if __name__ == "__main__":
    main()
