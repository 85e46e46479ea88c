"""Write a teacher's targets to disk, once, for any number of trainings.

One job of as many as there are key files; a killed job goes on where it was. When all
have come to their end, espnet_kd.bin.merge_cache makes the cache of them. With --estimate
nothing is written: the first utterances say how large it will be.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from espnet_kd.bin.command import named_errors
from espnet_kd.cache.codec import encode
from espnet_kd.cache.entries import entries_of
from espnet_kd.cache.header import Header
from espnet_kd.cache.writer import Shard
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.data import stream
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.model.forward import runs_along_labels
from espnet_kd.model.hidden import is_label_tap
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher
from espnet_kd.teachers.live import LiveTeacher

PARTS = ("ctc", "decoder", "nbest")
REPORT_SECONDS = 10
ESTIMATED = 20


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--exp", required=True, help="as 'exp' of a kd_conf's teacher")
    add("--file", default=None, help="as 'file' of a kd_conf's teacher")
    add("--task", default="asr", help="ESPnet task of the teacher")
    add(
        "--data_path_and_name_and_type",
        action="append",
        required=True,
        help="PATH,speech,TYPE; and PATH,text,text for decoder posteriors",
    )
    add("--key_file", type=Path, required=True, help="utterances of this job")
    add("--output_dir", type=Path, required=True, help="the cache")
    add("--shard", type=int, default=1, help="number of this job")
    add("--parts", default="ctc", help=f"of {','.join(PARTS)}, with commas")
    add("--tap", action="append", default=[], help="hidden representation of the teacher")
    add("--nbest", type=int, default=4, help="hypotheses, with the part nbest")
    add("--tolerance", type=float, default=1e-3, help="loss of a posterior in nats")
    add("--max_k", type=int, default=32, help="most tokens kept of a posterior")
    add("--dtype", default="float16", choices=("float16", "float32"))
    add("--batch_size", type=int, default=1, help="more is faster on a GPU; see README")
    add("--ngpu", type=int, default=0)
    add("--estimate", action="store_true", help="say how large it gets, and stop")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write one shard, or estimate it."""
    args = get_parser().parse_args(cmd)
    with named_errors("cache_teacher"):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Write what is missing of the shard, with progress and time left."""
    writer = Writer(args)
    keys = list(read_table(args.key_file))
    if args.estimate:
        print(writer.estimate(keys))
        return
    shard = Shard(args.output_dir, args.shard, writer.header)
    todo = [utt for utt in keys if utt not in shard.done]
    print(f"{len(keys) - len(todo)} of {len(keys)} are there", file=sys.stderr)
    start = shown = time.monotonic()
    done = 0
    for utts, targets in writer.targets(todo):
        for entry in entries_of(targets, utts, writer.header):
            shard.add(entry)
        done += len(utts)
        if time.monotonic() - shown > REPORT_SECONDS or done == len(todo):
            shown = time.monotonic()
            rate = done / (shown - start)
            left = (len(todo) - done) / rate
            print(
                f"{done}/{len(todo)}, {rate:.1f} a second, {left:.0f} s left",
                file=sys.stderr,
            )
    if missing := set(keys) - shard.done:
        raise KDError(
            f"{len(missing)} utterances of {args.key_file} have no audio, first "
            f"'{min(missing)}'"
        )


class Writer:
    """A teacher and what is asked of it.

    Args:
        args: See ``get_parser``.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.task = task_class(args.task)
        config = TeacherConfig(args.exp, args.file)
        self.request = self._request()
        self.teacher: LiveTeacher = load_teacher(config, self.task)
        self.teacher.check(self.request)
        if args.ngpu:
            self.teacher.model.to("cuda")
        with open_experiment(args.exp, args.file) as experiment:
            self.settings = experiment.settings
            self.header = self._header(experiment.digest)

    def targets(self, keys: list[str]) -> Iterator[tuple[list[str], TeacherTargets]]:
        """What the teacher says, batch by batch."""
        if not keys:
            return
        data, size = self.args.data_path_and_name_and_type, self.args.batch_size
        with TemporaryDirectory() as folder:
            wanted = Path(folder) / "keys"
            wanted.write_text("".join(f"{utt} x\n" for utt in keys), encoding="utf-8")
            options = {"batch_size": size, "key_file": wanted}
            for utts, batch in stream(self.task, self.settings, data, **options):
                yield utts, self._answer(utts, batch)

    def estimate(self, keys: list[str]) -> str:
        """Size of the whole from the first utterances, beside dense posteriors."""
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
        eos = self.teacher.model.eos
        start = torch.full_like(text[:, :1], eos)
        real = torch.arange(text.shape[1], device=text.device) < lens[:, None]
        return Labels(torch.cat([start, text.masked_fill(~real, eos)], 1), lens + 1)

    def _request(self) -> Request:
        parts = self.args.parts.split(",")
        if wrong := [part for part in parts if part and part not in PARTS]:
            raise KDError(f"--parts: '{wrong[0]}' is none of {', '.join(PARTS)}")
        return Request(
            ctc="ctc" in parts,
            decoder="decoder" in parts,
            nbest=self.args.nbest if "nbest" in parts else 0,
            taps=tuple(self.args.tap),
        )

    def _header(self, teacher_hash: str) -> Header:
        model, request = self.teacher.model, self.request
        header = Header(
            teacher=self.args.exp,
            teacher_hash=teacher_hash,
            token_list=tuple(model.token_list),
            blank_id=getattr(model, "blank_id", 0),
            parts=tuple(name for name in PARTS if name in request),
            taps=request.listed("taps"),
            nbest=request.count("nbest"),
            tolerance=self.args.tolerance,
            max_k=self.args.max_k,
            dtype=self.args.dtype,
        )
        return replace(header, widths=self._widths()) if "taps" in request else header

    def _widths(self) -> tuple[int, ...]:
        """Widths of the taps, from the first utterance."""
        if any(map(is_label_tap, self.request.listed("taps"))):
            raise KDError("a cache holds hidden representations of encoders only")
        _, targets = next(self.targets(list(read_table(self.args.key_file))[:1]))
        return tuple(
            targets.hidden[tap].values.shape[-1] for tap in self.request.listed("taps")
        )


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
