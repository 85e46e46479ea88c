"""Stream a test set through a model, and tell how late its words are.

Delays are in the time of the audio: what is written after a chunk was written when that
chunk had been spoken. A token's delay is counted from the forced CTC alignment of the
transcript by --reference_exp, the teacher; without one, by the model itself hearing the
utterance whole, which hides the delay that it has learned. Models of CTC and attention
with the encoders contextual_block_conformer and contextual_block_transformer stream, and
models of the asr_transducer task that are trained with dynamic_chunk_training; an
utterance too short for one of their frames is answered by the empty text.

The output directory gets text, which espnet_kd.bin.score and compare take, latency.json
and latency.md.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet_kd.bin.command import (
    YES_OR_NO,
    add_data,
    add_experiment,
    add_frame_shift,
    add_inference_config,
    add_threads,
    command_parser,
    frame_shift_of,
    run_command,
)
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class, versions
from espnet_kd.host.data import stream
from espnet_kd.host.data_source import check_source
from espnet_kd.host.experiment import Experiment, open_experiment
from espnet_kd.host.files import whole_file
from espnet_kd.host.front_end import input_hop, input_rate, takes_features
from espnet_kd.host.kaldi_dir import read_table, write_table
from espnet_kd.host.progress import Progress
from espnet_kd.host.text import detokeniser, tokeniser
from espnet_kd.pseudo_labels.decoding import search_options
from espnet_kd.report.section import markdown
from espnet_kd.streaming.blocks import Blocks
from espnet_kd.streaming.chunks import LEFT_CONTEXT, WINDOW_MS, Chunks, stride_of
from espnet_kd.streaming.driver import Answer, open_driver, open_transducer, texts_of
from espnet_kd.streaming.emission import Delays, revised_words, written_times
from espnet_kd.streaming.reference import open_reference
from espnet_kd.streaming.search import KINDS, kind_of
from espnet_kd.streaming.summary import Streamed, latency_section, summary

LATTICE = "asr_transducer"
EXAMPLE = """
python -m espnet_kd.bin.latency --exp exp/asr_student --reference_exp exp/asr_teacher \\
    --data_path_and_name_and_type dump/test/wav.scp,speech,sound \\
    --data_path_and_name_and_type dump/test/text,text,text \\
    --inference_config conf/decode.yaml --output_dir exp/asr_student/latency/test
"""


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("latency", __doc__, EXAMPLE)
    add = parser.add_argument
    add_experiment(parser)
    text = "Experiment of a model that hears utterances whole, by which tokens are timed."
    add("--reference_exp", default=None, help=text)
    text = "ESPnet task of that model; without a name, that of the model that streams."
    add("--reference_task", default=None, help=text)
    add_data(parser, "that are streamed (speech and text)", repeated=True)
    add("--output_dir", type=Path, required=True, help="Directory of the results.")
    text = (
        "Search: ESPnet's block-synchronous beam, or greedy CTC; without one, greedy CTC "
        "where the inference configuration is of CTC alone with a beam of one. A "
        "transducer is searched by its own beam."
    )
    add("--search", default=None, choices=KINDS, help=text)
    add_inference_config(parser)
    text = (
        "Whether the beam waits for the next block before a token is written again, as "
        "ESPnet's does; words come sooner without."
    )
    add("--repetition_detection", default="true", choices=YES_OR_NO, help=text)
    text = (
        "Milliseconds given at a time; without a number, the hop of the model's blocks, or "
        "a transducer's decoding_window."
    )
    add("--chunk_ms", type=float, default=None, help=text)
    add_frame_shift(parser)
    add_threads(parser)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print the table of delays; write it, its numbers and the text."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Stream the data, write what came of them, and give the table.

    Raises:
        KDError: If a model or the data cannot be streamed, or there is no place to write.
    """
    if args.output_dir.exists() and not args.output_dir.is_dir():
        raise KDError(f"--output_dir {args.output_dir} is a file; name a directory")
    torch.set_num_threads(args.threads)
    with open_experiment(args.exp, args.file) as experiment:
        found = Measurement(args, experiment).result()
    texts = {utt: one["text"] for utt, one in found["by_utterance"].items()}
    table = markdown(latency_section(found))
    write_table(args.output_dir / "text", texts)
    with whole_file(args.output_dir / "latency.md") as file:
        file.write(table)
    with whole_file(args.output_dir / "latency.json") as file:
        json.dump(found, file, indent=1)
    return table


class Measurement:
    """A model that streams, what its delays are counted from, and the data.

    Args:
        args: The command's.
        experiment: The model's.

    Raises:
        KDError: If the model, the data or the reference are not what is needed.
    """

    def __init__(self, args: argparse.Namespace, experiment: Experiment) -> None:
        self.args = args
        self.task = task_class(args.task)
        self.settings = experiment.settings
        self.speech, self.references = _data(args.data_path_and_name_and_type)
        self.options = search_options(args.inference_config)
        self.to_text = detokeniser(self.settings)
        self.to_labels = tokeniser(self.task, self.settings)
        self.rate = input_rate(self.settings, 1000.0 / frame_shift_of(args))
        open_model = self._transducer if args.task == LATTICE else self._blocks
        open_model(experiment.files.weights)
        named = (args.reference_exp, self.driver.model, args.exp)
        task = task_class(args.reference_task or args.task)
        self.reference = open_reference(*named, task, self.rate, input_hop(self.settings))

    def _blocks(self, weights: Path) -> None:
        """Open a model over blocks, of which it is given a hop at a time."""
        if self.args.repetition_detection == "false":
            self.options["disable_repetition_detection"] = True
        self.search = self.args.search or kind_of(self.options)
        opened = (self.args.exp, self.settings, weights, self.search, self.options)
        self.driver = open_driver(*opened)
        encoder = self.driver.model.encoder
        frame: int = encoder.subsample * input_hop(self.settings)
        sizes = (encoder.block_size, encoder.hop_size, encoder.look_ahead)
        self.pace: Blocks | Chunks = Blocks(*sizes, 1000.0 * frame / self.rate)
        self.chunk = self._chunk(frame * encoder.hop_size, "the hop of the model's blocks")

    def _transducer(self, weights: Path) -> None:
        """Open a transducer, which is given its decoding window at a time."""
        if self.args.search == "ctc" or self.args.repetition_detection == "false":
            raise KDError(
                "--search ctc and --repetition_detection false are not of transducers; "
                "leave them out with --task asr_transducer"
            )
        self.search = "beam"
        window = float(self.options.get("decoding_window", WINDOW_MS))
        default = round(window * self.rate / 1000.0)
        self.chunk = self._chunk(default, "the decoding_window")
        opened = (self.args.exp, self.settings, weights, self.chunk, self.options)
        self.driver = open_transducer(*opened)
        stride = stride_of(self.driver.model.encoder.embed)
        frame = stride * input_hop(self.settings)
        left = int(self.options.get("left_context", LEFT_CONTEXT))
        self.pace = Chunks(self.chunk / frame, left, 1000.0 * frame / self.rate)

    def result(self) -> dict[str, Any]:
        """Stream all utterances, and put them together.

        Raises:
            KDError: If one has no audio, or some that the model does not take.
        """
        streamed: dict[str, Streamed] = {}
        progress = Progress(len(self.references))
        keys = list(self.references)
        batches = stream(self.task, self.settings, [self.speech], batch_size=1, keys=keys)
        for utts, batch in batches:
            if not streamed:  # the first call of everything is slow
                self.driver(utts[0], batch["speech"][0, : 2 * self.chunk], self.chunk)
            streamed[utts[0]] = self._streamed(utts[0], batch["speech"])
            progress.add()
        return summary(self._setting(), streamed)

    def _streamed(self, utt: str, speech: Tensor) -> Streamed:
        answers = self.driver(utt, speech[0], self.chunk)
        labels = answers[-1].labels
        transcript = self.to_labels(self.references[utt])
        spoken = self.reference(utt, speech, transcript) if labels else None
        written = written_times(self._times(answers), [a.labels for a in answers])
        texts = self._texts(answers)
        return Streamed(
            reference=self.references[utt],
            text=texts[-1],
            tokens=texts_of(self.driver.model, labels),
            written_ms=written,
            delays=Delays() if spoken is None else Delays.of(labels, written, spoken),
            is_aligned=spoken is not None or not labels,
            revised=revised_words(texts),
            seconds=speech.shape[1] / self.rate,
            chunk_seconds=[answer.seconds for answer in answers],
        )

    def _times(self, answers: Sequence[Answer]) -> list[float]:
        return [1000.0 * answer.heard / self.rate for answer in answers]

    def _texts(self, answers: Sequence[Answer]) -> list[str]:
        said = [texts_of(self.driver.model, answer.labels) for answer in answers]
        return [self.to_text(tokens) if tokens else "" for tokens in said]

    def _chunk(self, default: int, called: str) -> int:
        """Values given at a time."""
        if self.args.chunk_ms is None:
            return default
        chunk: float = self.args.chunk_ms * self.rate / 1000.0
        if not 1 <= chunk < inf:
            raise KDError(
                f"--chunk_ms {self.args.chunk_ms:g} is no time of a "
                f"{'frame' if takes_features(self.settings) else 'sample'} or more; leave "
                f"it out for {called}, {1000 * default / self.rate:g} ms"
            )
        return round(chunk)

    def _setting(self) -> dict[str, Any]:
        whole = "the model's own pass over the whole utterance"
        return {
            "exp": self.args.exp,
            "search": self.search,
            "options": self.options,
            "chunk_ms": 1000.0 * self.chunk / self.rate,
            "blocks": asdict(self.pace),
            "hears": self.pace.shown,
            "look_ahead_ms": self.pace.look_ahead_ms,
            "longest_wait_ms": self.pace.longest_wait_ms,
            "first_ms": self.pace.first_ms,
            "reference": self.args.reference_exp or whole,
            "threads": self.args.threads,
            "versions": versions(),
        }


def _data(data: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The speech among the data, as it was named, and the transcripts.

    Raises:
        KDError: If one of the two is missing.
    """
    by_name = {fields[1]: text for text in data if len(fields := text.split(",")) == 3}
    if "text" not in by_name:
        raise KDError(
            "delays and errors are counted from the transcripts: add "
            "--data_path_and_name_and_type PATH,text,text"
        )
    if "speech" not in by_name:
        raise KDError(
            "there is nothing to stream: add --data_path_and_name_and_type "
            "PATH,speech,sound (or kaldi_ark for features)"
        )
    # Read here and not by ESPnet, which refuses that nothing was said.
    path, _, _ = check_source(by_name["text"], None)
    texts = read_table(Path(path))
    if not texts:
        raise KDError(f"{path} holds no utterance")
    return by_name["speech"], texts


if __name__ == "__main__":
    main()
