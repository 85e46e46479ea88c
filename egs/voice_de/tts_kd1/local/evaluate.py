#!/usr/bin/env python3
"""Measure an acoustic model on sentences that it has not seen.

mel L1                the spectrum forced along the recording's durations, pitch and
                      energy, frame by frame against the recording's; behind the postnet,
                      not normalised
MCD                   the spectrum spoken freely, along dynamic time warping
CER of the speech     what the recipe's recogniser hears of it, by ESPnet's Griffin-Lim,
                      whose first phases are random
real-time factor      processor time of one thread from text to spectrum, the best of three
                      calls, over the length of what is said; the median utterance's

What Griffin-Lim alone takes away is in recordings.json: the same of the recordings'
own spectra. The speech is left in audio/, to be listened to.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import soundfile
import torch
from espnet2.bin.tts_inference import Text2Speech
from recogniser import Recogniser, error_rate
from scores_file import Metric, evaluation_parser, write_scores
from spectra import mel_cepstral_distortion, mel_l1
from torch import Tensor

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.host.progress import Progress

REPEATS = 3


# Writes down what is said in some samples, (N,).
Hears = Callable[[np.ndarray], str]


@dataclass(frozen=True)
class Sentence:
    """What is to be said.

    Attributes:
        name: The utterance.
        text: Its text.
        speech: Its recording, (N,).
        durations: Frames of each character and of the end, (U + 1,).
    """

    name: str
    text: str
    speech: Tensor
    durations: Tensor


@dataclass(frozen=True)
class Spoken:
    """One sentence, as a model says it; the figures are those above.

    Attributes:
        heard: What the recogniser writes down.
        distortion: MCD in dB.
        mel_l1: Of the forced spectrum, in dB.
        real_time_factor: Of the free one.
    """

    heard: str
    distortion: float
    mel_l1: float
    real_time_factor: float


@dataclass(frozen=True)
class Recorded:
    """One recording, and what the vocoder makes of its spectrum.

    Attributes:
        heard: What the recogniser writes down of the recording.
        copy_heard: Of the vocoder's copy.
        copy_distortion: MCD of the copy, in dB.
    """

    heard: str
    copy_heard: str
    copy_distortion: float


class Speaker:
    """A trained model and the vocoder behind it.

    Args:
        exp: Its experiment.
        file: The checkpoint there.
        vocoder_config: Options of the vocoder.
    """

    def __init__(self, exp: Path, file: str, vocoder_config: Path) -> None:
        weights = exp / file
        if not weights.is_file():
            raise KDError(f"{weights} is missing; train that model first")
        files = (str(exp / "config.yaml"), str(weights))
        self.stock: Any = Text2Speech(*files, vocoder_config=str(vocoder_config))
        # It is called by itself, for it is no part of the model's time.
        self.vocoder, self.stock.vocoder = self.stock.vocoder, None
        self.rate: int = self.vocoder.fs
        self.shift: float = self.vocoder.params["n_shift"] / self.rate

    def spectrum(self, speech: Tensor) -> np.ndarray:
        """The mel spectrum of a recording, (T, F) log10 amplitudes."""
        features: Tensor = self.stock.feats_extract(speech[None])[0][0]
        return features.numpy()

    def forced(self, text: str, speech: Tensor, durations: Tensor) -> np.ndarray:
        """The model's spectrum along a recording's durations, pitch and energy, (T, F)."""
        how = {"use_teacher_forcing": True}
        said = self.stock(text, speech=speech, durations=durations, decode_conf=how)
        return _spectrum(said)

    def freely(self, text: str) -> np.ndarray:
        """The model's own spectrum of a text, (T, F)."""
        return _spectrum(self.stock(text))

    def voiced(self, spectrum: np.ndarray) -> np.ndarray:
        """The sound of a spectrum, (N,)."""
        sound: Tensor = self.vocoder(torch.from_numpy(spectrum))
        return sound.numpy()


def main(cmd: list[str] | None = None) -> None:
    """Measure, and write scores.json."""
    parser = evaluation_parser(__doc__, "wav.scp, text and durations")
    parser.add_argument("--recogniser", type=Path, required=True, help="its checkpoint")
    parser.add_argument("--vocoder_config", type=Path, required=True)
    args = parser.parse_args(cmd)
    torch.set_num_threads(1)
    with named_errors("evaluate"):
        speaker = Speaker(args.exp, args.file, args.vocoder_config)
        recogniser = Recogniser(args.recogniser.parent, args.recogniser.name)
        evaluate(speaker, recogniser.transcribe, args.data_dir, args.output_dir)


def evaluate(speaker: Speaker, hears: Hears, data: Path, output_dir: Path) -> None:
    """Measure every sentence of a set, and its recording."""
    (output_dir / "audio").mkdir(parents=True, exist_ok=True)
    sentences = read_sentences(data)
    spoken: dict[str, Spoken] = {}
    recorded: dict[str, Recorded] = {}
    progress = Progress(len(sentences))
    for sentence in sentences:
        path = output_dir / "audio" / f"{sentence.name}.wav"
        spoken[sentence.name] = measure(speaker, hears, sentence, path)
        recorded[sentence.name] = measure_recording(speaker, hears, sentence)
        progress.add()
    texts = {sentence.name: sentence.text for sentence in sentences}
    with whole_file(output_dir / "recordings.json") as file:
        json.dump(of_recordings(recorded, texts, output_dir), file, indent=1)
    write_scores(output_dir, of_speech(spoken, texts, output_dir), len(spoken))


def read_sentences(data: Path) -> list[Sentence]:
    """Read the sentences of a set, aligned with their recordings."""
    names = ("text", "wav.scp", "durations")
    texts, recordings, durations = (read_table(data / name) for name in names)
    return [
        Sentence(
            utt,
            text,
            torch.from_numpy(soundfile.read(recordings[utt], dtype="float32")[0]),
            torch.tensor([int(count) for count in durations[utt].split()]),
        )
        for utt, text in texts.items()
    ]


def measure(speaker: Speaker, hears: Hears, sentence: Sentence, path: Path) -> Spoken:
    """Let the model say a sentence, as audio into a file."""
    wanted = speaker.spectrum(sentence.speech)
    forced = speaker.forced(sentence.text, sentence.speech, sentence.durations)
    free, seconds = timed(lambda: speaker.freely(sentence.text))
    sound = speaker.voiced(free)
    soundfile.write(path, sound, speaker.rate, "PCM_16")
    return Spoken(
        hears(sound),
        mel_cepstral_distortion(free, wanted),
        mel_l1(forced, wanted),
        seconds / (len(free) * speaker.shift),
    )


def measure_recording(speaker: Speaker, hears: Hears, sentence: Sentence) -> Recorded:
    """Take a recording to its spectrum and back."""
    wanted = speaker.spectrum(sentence.speech)
    sound = speaker.voiced(wanted)
    copy = speaker.spectrum(torch.from_numpy(sound))
    distortion = mel_cepstral_distortion(copy, wanted)
    return Recorded(hears(sentence.speech.numpy()), hears(sound), distortion)


def timed(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What a call gives, and the processor time of the fastest of several, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        given = call()
        times.append(time.process_time() - start)
    return given, min(times)


def of_speech(
    spoken: Mapping[str, Spoken], texts: Mapping[str, str], output_dir: Path
) -> dict[str, Metric]:
    """The figures of what a model said."""
    heard = {utt: one.heard for utt, one in spoken.items()}
    every = list(spoken.values())
    values = {
        "mel L1, dB": mean(one.mel_l1 for one in every),
        "MCD, dB": mean(one.distortion for one in every),
        "CER of the speech, %": error_rate(texts, heard, output_dir / "heard"),
        "real-time factor": median(one.real_time_factor for one in every),
    }
    return {name: Metric(value, "lower") for name, value in values.items()}


def of_recordings(
    recorded: Mapping[str, Recorded], texts: Mapping[str, str], output_dir: Path
) -> dict[str, float]:
    """The figures of the recordings and of the vocoder's copies of them."""
    heard = {utt: one.heard for utt, one in recorded.items()}
    copies = {utt: one.copy_heard for utt, one in recorded.items()}
    return {
        "CER, %": error_rate(texts, heard, output_dir / "recordings_heard"),
        "CER of the copies, %": error_rate(texts, copies, output_dir / "copies_heard"),
        "MCD of the copies, dB": mean(one.copy_distortion for one in recorded.values()),
    }


def _spectrum(said: Mapping[str, Tensor]) -> np.ndarray:
    """The spectrum that ESPnet's synthesis gave, not normalised."""
    return said["feat_gen_denorm"].numpy()


if __name__ == "__main__":
    main()
