"""Write a teacher's targets to disk, once, for any number of trainings.

Each job writes the utterances of one key file; a killed job goes on where it was. When all
jobs have ended, espnet_kd.bin.merge_cache makes the cache of their shards. With --estimate
nothing is written: the first utterances say how large the cache will be.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from espnet_kd.alignment.layers import uniform_layers
from espnet_kd.bin.command import (
    add_data,
    add_experiment,
    add_ngpu,
    command_parser,
    run_command,
)
from espnet_kd.cache.codec import encode
from espnet_kd.cache.entries import entries_of
from espnet_kd.cache.header import DTYPES, PARTS, POSTERIORS, Header
from espnet_kd.cache.writer import Shard
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.data import stream
from espnet_kd.host.data_source import as_speech
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.host.progress import Progress
from espnet_kd.masking import length_mask
from espnet_kd.model.forward import runs_along_labels
from espnet_kd.model.hidden import is_label_tap, layer_count
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.parts import parts_of
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher
from espnet_kd.teachers.live import LiveTeacher

EXAMPLE = """
python -m espnet_kd.bin.cache_teacher --exp exp/asr_teacher --parts ctc,decoder \\
    --data_path_and_name_and_type dump/train/feats.scp,speech,kaldi_ark \\
    --data_path_and_name_and_type dump/train/text,text,text \\
    --key_file dump/train/text --output_dir exp/asr_teacher/targets/train
"""
ESTIMATED = 20


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("cache_teacher", __doc__, EXAMPLE)
    add = parser.add_argument
    add_experiment(parser, "teacher")
    use = "of which targets are written (speech; for decoder posteriors text as well)"
    add_data(parser, use, repeated=True)
    text = "Kaldi table of the utterances of this job."
    add("--key_file", type=Path, required=True, help=text)
    add("--output_dir", type=Path, required=True, help="Directory of the cache.")
    add("--shard", type=int, default=1, help="Number of this job, from 1.")
    _add_targets(parser)
    text = "Number of utterances in a batch; more is faster on a GPU."
    add("--batch_size", type=int, default=1, help=text)
    add_ngpu(parser)
    text = "Only estimate how large the cache will be; write nothing."
    add("--estimate", action="store_true", help=text)
    return parser


def _add_targets(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    text = f"Parts of the teacher's output to write, among {','.join(PARTS)}, with commas."
    add("--parts", default="ctc", help=text)
    text = "Hidden representation of the teacher to write; may be given several times."
    add("--tap", action="append", default=[], help=text)
    text = "Stream of the data that the teacher hears in place of speech; its kd_conf's."
    add("--hears", default="", help=text)
    text = "Write the layers that 'layers: uniform' pairs with a student of so many layers."
    add("--student_layers", type=int, default=0, help=text)
    text = "File of espnet_kd.bin.train_codebooks, with the part codebooks; may be given "
    text += "several times, once a layer."
    add("--codebooks", action="append", default=[], help=text)
    text = "Number of hypotheses written of an utterance, with the part nbest."
    add("--nbest", type=int, default=4, help=text)
    text = "Greatest loss of a posterior by leaving tokens out, in nats."
    add("--tolerance", type=float, default=1e-3, help=text)
    for name, default in (("ctc", "1"), ("decoder", "1,2")):
        text = f"Temperatures at which {name} posteriors keep the tolerance, with commas."
        add(f"--{name}_temperatures", default=default, help=text)
    text = "Greatest number of tokens kept of a posterior, whatever the loss; 0: no limit."
    add("--max_k", type=int, default=0, help=text)
    text = "Precision of the numbers on disk."
    add("--dtype", default="float16", choices=DTYPES, help=text)


def main(cmd: list[str] | None = None) -> None:
    """Write one shard, or print an estimate of the cache's size."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str | None:
    """Write what is missing of the shard; with ``--estimate`` give the size instead.

    Raises:
        KDError: If utterances have no audio, or the teacher cannot give a part.
    """
    writer = Writer(args)
    keys = list(read_table(args.key_file))
    if args.estimate:
        return writer.estimate(keys)
    shard = Shard(args.output_dir, args.shard, writer.header)
    _write(writer, shard, keys)
    if missing := set(keys) - shard.done:
        raise KDError(
            f"{len(missing)} utterances of {args.key_file} have no audio, first "
            f"'{min(missing)}'"
        )
    return None


def _write(writer: "Writer", shard: Shard, keys: list[str]) -> None:
    """Write the utterances that the shard lacks, and tell progress and time left."""
    todo = [utt for utt in keys if utt not in shard.done]
    print(f"{len(keys) - len(todo)} of {len(keys)} are there", file=sys.stderr)
    progress = Progress(len(todo))
    for utts, targets in writer.targets(todo):
        for entry in entries_of(targets, utts, writer.header):
            shard.add(entry)
        progress.add(len(utts))


class Writer:
    """A teacher, what it is asked for, and the header of the cache that it fills.

    Args:
        args: The command's.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.task = task_class(args.task)
        parts = _parts(args)
        config = TeacherConfig(args.exp, args.file, codebooks=tuple(args.codebooks))
        self.teacher: LiveTeacher = load_teacher(config, self.task)
        self.request = self._request(parts)
        self.teacher.check(self.request)
        with open_experiment(args.exp, args.file) as experiment:
            self.settings = experiment.settings
            self.header = self._header(experiment.digest)

    def targets(self, keys: list[str]) -> Iterator[tuple[list[str], TeacherTargets]]:
        """Give the teacher's targets batch by batch, with the utterances' names."""
        if not keys:
            return
        size = self.args.batch_size
        data = as_speech(self.args.data_path_and_name_and_type, self.args.hears)
        for utts, batch in stream(
            self.task, self.settings, data, batch_size=size, keys=keys
        ):
            yield utts, self._answer(utts, batch)

    def estimate(self, keys: list[str]) -> str:
        """Estimate the cache's size from the first utterances, beside dense posteriors."""
        size = frames = count = 0
        for utts, targets in islice(self.targets(keys), ESTIMATED):
            for entry in entries_of(targets, utts, self.header):
                size += encode(entry).size
                frames += entry.frames
                count += 1
        whole = size / max(count, 1) * len(keys)
        share = size / max(2 * frames * self.header.vocabulary, 1)
        return (
            f"{whole / 1e6:.1f} MB for {len(keys)} utterances (from the first {count}: "
            f"{size / max(frames, 1):.1f} bytes a frame, {share:.2%} of dense "
            "half-precision CTC posteriors)"
        )

    def _answer(self, utts: list[str], batch: dict[str, Tensor]) -> TeacherTargets:
        device = "cuda" if self.args.ngpu else "cpu"
        batch = {key: value.to(device) for key, value in batch.items()}
        labels = self._labels(batch)
        question = Question({**batch, "utt_id": utts}, self.request, labels)
        targets = self.teacher(question)
        if labels.ys_in_pad is not None:
            targets.ys_in_pad, targets.ys_in_lens = labels.ys_in_pad, labels.ys_in_lens
        return targets

    def _labels(self, batch: dict[str, Tensor]) -> Labels:
        if not runs_along_labels(self.request):
            return Labels()
        if "text" not in batch:
            raise KDError(
                "decoder posteriors and taps need the transcripts: add "
                "--data_path_and_name_and_type PATH,text,text"
            )
        text, lens = batch["text"], batch["text_lengths"]
        parts = parts_of(self.teacher.model)
        start = torch.full_like(text[:, :1], parts.sos_id)
        text = text.masked_fill(~length_mask(lens, text.shape[1]), parts.eos_id)
        return Labels(torch.cat([start, text], 1), lens + 1)

    def _request(self, parts: list[str]) -> Request:
        return Request(
            ctc="ctc" in parts,
            decoder="decoder" in parts,
            nbest=self.args.nbest if "nbest" in parts else 0,
            taps=(*self.args.tap, *self._paired()),
            codebooks=tuple(self.teacher.codebooks),
        )

    def _paired(self) -> tuple[str, ...]:
        """The layers that 'layers: uniform' pairs with those of a student."""
        count, depth = self.args.student_layers, layer_count(self.teacher.model)
        if count < 0:
            raise KDError(f"--student_layers {count}: needs a number of layers")
        if count and not depth:
            raise KDError(
                "--student_layers: the teacher's encoder has no 'encoder.encoders.N' to be "
                "paired; name what is to be written by --tap"
            )
        layers = dict.fromkeys(uniform_layers(count, depth))
        named = (f"encoder.encoders.{layer}" for layer in layers)
        return tuple(tap for tap in named if tap not in self.args.tap)

    def _header(self, teacher_hash: str) -> Header:
        request, vocabulary = self.request, self.teacher.vocabulary
        header = Header(
            teacher=self.args.exp,
            teacher_hash=teacher_hash,
            token_list=vocabulary.text,
            ctc_token_list=vocabulary.ctc if vocabulary.ctc != vocabulary.text else (),
            blank_id=parts_of(self.teacher.model).blank_id,
            parts=tuple(name for name in PARTS if name in request),
            taps=request.listed("taps"),
            nbest=request.count("nbest"),
            tolerance=self.args.tolerance,
            temperatures={
                name: _temperatures(name, getattr(self.args, f"{name}_temperatures"))
                for name in POSTERIORS
                if name in request
            },
            max_k=self.args.max_k,
            dtype=self.args.dtype,
            layers=layer_count(self.teacher.model),
            hears=self.args.hears,
            codebooks=tuple(own.coded for own in self.teacher.codebooks.values()),
        )
        return replace(header, widths=self._widths()) if "taps" in request else header

    def _widths(self) -> tuple[int, ...]:
        """Measure the widths of the taps on the first utterance."""
        if any(map(is_label_tap, self.request.listed("taps"))):
            raise KDError("a cache holds hidden representations of encoders only")
        _, targets = next(self.targets(list(read_table(self.args.key_file))[:1]))
        return tuple(
            targets.hidden[tap].values.shape[-1] for tap in self.request.listed("taps")
        )


def _parts(args: argparse.Namespace) -> list[str]:
    """The parts that are wanted, and none that lacks what it is made by."""
    parts: list[str] = args.parts.split(",")
    if wrong := [part for part in parts if part and part not in PARTS]:
        raise KDError(f"--parts: '{wrong[0]}' is none of {', '.join(PARTS)}")
    if ("codebooks" in parts) != bool(args.codebooks):
        raise KDError(
            "the part codebooks is written by a file of espnet_kd.bin.train_codebooks; "
            "give both '--parts codebooks' and '--codebooks FILE', or neither"
        )
    return parts


def _temperatures(part: str, text: str) -> tuple[float, ...]:
    try:
        found = tuple(sorted({float(number) for number in text.split(",")}))
    except ValueError:
        found = ()
    if not found or not 0 < found[0] <= found[-1] < float("inf"):
        raise KDError(
            f"--{part}_temperatures {text}: needs numbers above 0 with commas, such as 1,2"
        )
    return found


if __name__ == "__main__":
    main()
