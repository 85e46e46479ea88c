"""What a recogniser understands of audio, fed as the recipes of recognition feed it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from extract_fbank import fbank

from espnet_kd.host.compat import is_too_short
from espnet_kd.host.experiment import open_experiment
from espnet_kd.pseudo_labels.decoding import open_recogniser, search_options

# Samples of an utterance -> what the recogniser is given.
FrontEnd = Callable[[np.ndarray], np.ndarray]


class Listener:
    """A trained recogniser that never heard an enhancer.

    Args:
        exp: Its experiment, of ESPnet's task asr.
        file: Its checkpoint; None for the one that training selected.
        search: Options of ESPnet's asr_inference, a YAML file.
        fs: Samples a second of what it will hear.
    """

    def __init__(self, exp: str, file: str | None, search: Path, fs: int) -> None:
        with open_experiment(exp, file) as experiment:
            settings, weights = experiment.settings, experiment.files.weights
            self.front_end = front_end_of(settings, fs)
            options = search_options(search)
            self.recogniser: Any = open_recogniser(settings, weights, options, "cpu")

    @torch.no_grad()
    def __call__(self, samples: np.ndarray) -> str:
        """The words of an utterance; none of one that is too short for the encoder."""
        speech = torch.from_numpy(self.front_end(samples))
        try:
            answers = self.recogniser(speech=speech)
        except Exception as error:
            if not is_too_short(error):
                raise
            return ""
        return str(answers[0][0] or "")


def front_end_of(settings: Mapping[str, Any], fs: int) -> FrontEnd:
    """How a recogniser is given samples: as they are, or as asr_kd1's own features."""
    width = settings.get("input_size")
    if width is None:
        return lambda samples: samples.astype(np.float32)
    # In the units of 16 bits, as features are extracted of files.
    return lambda samples: fbank(samples.astype(np.float32) * 32768, fs, int(width))
