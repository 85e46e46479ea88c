#!/usr/bin/env python3
"""Enhance a test set by a trained model, one utterance at a time, and measure what comes.

SI-SNR by torchmetrics, STOI by pystoi, wide-band PESQ by pesq, and, if --asr_exp names a
recogniser, its word error rate by sclite; the same of the mixtures as they are. Means are
over utterances; STOI leaves out those with less than 0.4 s of speech.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scores_file import Metric, evaluation_parser, write_scores
from speech_measures import Means, Measure, usable
from stock_inference import open_stock
from voices import FS, read_mono
from words_heard import Listener

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.report.score import find_sclite, score

# Noisy samples -> enhanced samples, both (N,).
Enhancer = Callable[[np.ndarray], np.ndarray]
SEARCH = (
    Path(__file__).absolute().parents[2] / "asr_kd1" / "conf" / "decode_ctc_greedy.yaml"
)
WER = "WER, %"


def get_parser() -> argparse.ArgumentParser:
    """Give the script's parser."""
    parser = evaluation_parser(__doc__, "wav.scp, spk1.scp, perhaps text")
    add = parser.add_argument
    add("--asr_exp", help="experiment of a recogniser")
    add("--asr_file", default="valid.acc.ave.pth", help="its checkpoint")
    add("--asr_inference_config", type=Path, default=SEARCH, help="how it decodes")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write scores.json."""
    args = get_parser().parse_args(cmd)
    with named_errors("evaluate"):
        evaluate(args)


def evaluate(args: argparse.Namespace) -> None:
    """Measure every utterance, enhanced and as it was.

    Raises:
        KDError: If a model, or an utterance, cannot be read.
    """
    noisy, clean = (read_table(args.data_dir / f"{n}.scp") for n in ("wav", "spk1"))
    if noisy.keys() != clean.keys():
        raise KDError(
            f"{args.data_dir}: wav.scp and spk1.scp do not list the same; run stage 1 again"
        )
    enhancer, clock = open_enhancer(args.exp, args.file), Clock()
    listener = None
    if args.asr_exp:
        find_sclite()  # what is missing is said before minutes are spent
        listener = Listener(args.asr_exp, args.asr_file, args.asr_inference_config, FS)
    measures = usable()
    enhanced, before = (Track(measures, listener) for _ in range(2))
    for utterance, path in noisy.items():
        samples, reference = (read_mono(Path(p)) for p in (path, clean[utterance]))
        before.add(utterance, reference, samples)
        enhanced.add(utterance, reference, clock.timed(enhancer, samples))
    texts = read_table(args.data_dir / "text") if listener is not None else {}
    were = before.figures(texts, args.output_dir / "wer_without")
    metrics = {
        name: Metric(value, "lower" if name == WER else "higher", were.get(name))
        for name, value in enhanced.figures(texts, args.output_dir / "wer").items()
    }
    metrics["real-time factor"] = Metric(clock.real_time_factor, "lower")
    write_scores(args.output_dir, metrics, len(noisy))


class Track:
    """What is measured of a test set in one state: enhanced, or as it was.

    Args:
        measures: What is measured.
        listener: A recogniser, or None.
    """

    def __init__(self, measures: list[Measure], listener: Listener | None) -> None:
        self.means = Means(measures, FS)
        self.listener = listener
        self.words: dict[str, str] = {}

    def add(self, utterance: str, clean: np.ndarray, heard: np.ndarray) -> None:
        """Measure an utterance."""
        self.means.add(utterance, clean, heard)
        if self.listener is not None:
            self.words[utterance] = self.listener(heard)

    def figures(self, texts: dict[str, str], folder: Path) -> dict[str, float]:
        """Means over utterances, and the word error rate, whose tables go to a folder.

        Raises:
            KDError: If an utterance has no transcript, or sclite is not installed.
        """
        figures = self.means.values()
        if self.listener is not None:
            if missing := self.words.keys() - texts.keys():
                raise KDError(
                    f"{len(missing)} utterances have no transcript in 'text', first "
                    f"'{min(missing)}'; leave --asr_exp out, or add them"
                )
            figures[WER] = score(texts, self.words, folder).error_rate
        return figures


class Clock:
    """Processor time of a model, and how long the audio is that it was given."""

    def __init__(self) -> None:
        self.spent = self.heard = 0.0

    def timed(self, enhancer: Enhancer, samples: np.ndarray) -> np.ndarray:
        """Enhance an utterance."""
        start = time.process_time()
        enhanced = enhancer(samples)
        self.spent += time.process_time() - start
        self.heard += len(samples) / FS
        return enhanced

    @property
    def real_time_factor(self) -> float:
        """Seconds of one processor for a second of audio."""
        return self.spent / self.heard


def open_enhancer(exp: Path, file: str) -> Enhancer:
    """Open a model in ESPnet's own inference.

    Raises:
        KDError: If it cannot be opened, or separates several speakers.
    """
    torch.set_num_threads(1)
    stock = open_stock(exp, file, "espnet2.bin.enh_inference:SeparateSpeech", "enh_model")
    if stock.num_spk != 1:
        raise KDError(
            f"{exp} separates {stock.num_spk} speakers; an enhancer with num_spk: 1 is "
            "measured here"
        )
    return lambda samples: stock(samples[None], fs=FS)[0][0]


if __name__ == "__main__":
    main()
