"""The recipe's own recogniser: a CTC model of characters that hears one voice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet_kd.alignment.ctc_best import greedy_ctc
from espnet_kd.alignment.ctc_forced import forced_alignment
from espnet_kd.host.compat import task_class
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.text import detokeniser, tokeniser
from espnet_kd.report.score import score

# Nobody speaks them.
PUNCTUATION = str.maketrans({"-": " ", **dict.fromkeys(".,?!", "")})


class Recogniser:
    """A recogniser with CTC, trained by ``espnet2.bin.asr_train``.

    Args:
        exp: Its experiment.
        file: The checkpoint there.
    """

    def __init__(self, exp: Path, file: str) -> None:
        task = task_class("asr")
        with open_experiment(exp, file) as experiment:
            self.model: Any = experiment.model(task)
            self.to_labels = tokeniser(task, experiment.settings)
            self.to_text = detokeniser(experiment.settings)

    def transcribe(self, speech: np.ndarray) -> str:
        """Write down what is said, by greedy CTC.

        Args:
            speech: Samples, (N,).
        """
        log_probs, lengths = self._hear(speech)
        (labels,) = greedy_ctc(log_probs, lengths)
        return self.to_text([self.model.token_list[label] for label in labels])

    def align(self, speech: np.ndarray, text: str) -> tuple[list[int], list[int], int]:
        """Find the frames at which the characters of a text are said.

        Args:
            speech: Samples, (N,).
            text: What is said.

        Returns:
            First and last frame of each character, -1 if there are too few frames for
            them, and how many frames there are.
        """
        log_probs, lengths = self._hear(speech)
        labels = torch.tensor([self.to_labels(text)])
        counts = torch.tensor([labels.shape[1]])
        first, last = forced_alignment(log_probs, lengths, labels, counts)
        return first[0].tolist(), last[0].tolist(), int(lengths[0])

    @torch.no_grad()
    def _hear(self, speech: np.ndarray) -> tuple[Tensor, Tensor]:
        """The log-probabilities of CTC, (1, T, V), and T."""
        samples = torch.from_numpy(speech.astype(np.float32))[None]
        encoded, lengths = self.model.encode(samples, torch.tensor([samples.shape[1]]))
        return self.model.ctc.log_softmax(encoded), lengths


def error_rate(texts: Mapping[str, str], heard: Mapping[str, str], folder: Path) -> float:
    """Compute the character error rate of transcripts in percent, without punctuation.

    Args:
        texts: Utterance to what was said.
        heard: Utterance to what was heard.
        folder: Where sclite's files go.
    """
    spoken = ({utt: plain(text) for utt, text in table.items()} for table in (texts, heard))
    return score(*spoken, folder, unit="cer").error_rate


def plain(text: str) -> str:
    """Leave out of a text what nobody speaks."""
    return " ".join(text.translate(PUNCTUATION).split())
