"""What a student learns from a cache beside what it learns from the live teacher.

    python tests/benchmarks/cache_fidelity.py --exp exp/asr_teacher --student \
        exp/asr_control --data dump/fbank/dev/final --batch 10

For each part and temperature: the loss of the student, live and cached, that of the teacher
as its own student, the cosine and the ratio of the gradients by the student's logits, and
the most that a row loses. 'same': the cache holds what the teacher said of the very batches
that the student gets; 'own': of each utterance by itself, as caches are written, so that
what is left is the encoder's own sensitivity to padding. Tokens that the teacher never saw
fill its list up to --vocabulary and share --tail of its probability unevenly.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from cache_size import widened
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_kd.cache.codec import Entry, encode
from espnet_kd.cache.entries import batch_of, entries_of, targets_of
from espnet_kd.cache.header import Header
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.host.compat import task_class, versions
from espnet_kd.host.data import stream
from espnet_kd.host.experiment import open_experiment
from espnet_kd.losses import LOSSES
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher
from espnet_kd.teachers.live import LiveTeacher

LOSS = {"ctc": "ctc_frame_kl", "decoder": "token_kl"}
NAMES = ("live", "cached", "itself", "dot", "live_square", "cached_square")
HEADS = ("live", "cached", "teacher itself", "cosine", "norm", "most a row loses")
Row = dict[str, float]


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--exp", required=True, help="experiment of the trained teacher")
    add("--student", required=True, help="experiment of a student of its token list")
    add("--file", default="valid.acc.ave.pth")
    add("--data", type=Path, required=True, help="holds feats.scp and text")
    add("--batch", type=int, default=10, help="utterances of a batch, sorted by length")
    add("--utterances", type=int, default=60)
    add("--vocabulary", type=int, default=0, help="0: the teacher's own")
    add("--tail", type=float, default=1e-4)
    add("--tolerance", type=float, default=1e-3)
    add("--ctc_temperatures", default="1", help="at which the tolerance is kept")
    add("--decoder_temperatures", default="1,2", help="the same of the decoder")
    return parser


def utterances(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Batches of one, through ESPnet's own iterator, sorted by length."""
    data = [f"{args.data}/feats.scp,speech,kaldi_ark", f"{args.data}/text,text,text"]
    with open_experiment(args.exp, args.file) as experiment:
        pairs = stream(task_class("asr"), experiment.settings, data, batch_size=1)
        found = [{**b, "utt_id": utts} for utts, b in islice(pairs, args.utterances)]
    return sorted(found, key=lambda batch: int(batch["speech_lengths"]))


def padded(singles: list[dict[str, Any]]) -> dict[str, Any]:
    """Several utterances as a batch of training."""
    speech = [single["speech"][0] for single in singles]
    text = [single["text"][0] for single in singles]
    return {
        "utt_id": [single["utt_id"][0] for single in singles],
        "speech": pad_sequence(speech, batch_first=True),
        "speech_lengths": torch.cat([single["speech_lengths"] for single in singles]),
        "text": pad_sequence(text, batch_first=True, padding_value=-1),
        "text_lengths": torch.cat([single["text_lengths"] for single in singles]),
    }


def answer(model: LiveTeacher, batch: dict[str, Any], args: argparse.Namespace):
    """CTC and decoder posteriors of a batch along its text, over the whole token list."""
    eos = model.model.eos
    text = batch["text"].masked_fill(batch["text"] < 0, eos)
    prefix = torch.cat([torch.full_like(text[:, :1], eos), text], 1)
    labels = Labels(prefix, batch["text_lengths"] + 1)
    said = model(Question(batch, Request(ctc=True, decoder=True), labels))
    for part in LOSS:
        logits = getattr(said, f"{part}_logits")
        wide = widened(logits, args.vocabulary or logits.shape[-1], args.tail)
        setattr(said, f"{part}_logits", wide)
    return said


def compare(
    row: Row, term: tuple[str, float], student: TeacherTargets, teacher: TeacherTargets,
    cached: TeacherTargets,
) -> None:  # fmt: skip
    """Add one batch to a row of the table."""
    part, temperature = term
    loss = LOSSES.get(LOSS[part])(temperature=temperature)
    grads = []
    for name, targets in (("live", teacher), ("cached", cached)):
        logits = getattr(student, f"{part}_logits").detach().clone().requires_grad_()
        value = loss(as_student(student, part, logits), targets)
        grads.append(torch.autograd.grad(value, logits)[0].flatten().double())
        row[name] += float(value) * len(logits)
    own = as_student(teacher, part, getattr(teacher, f"{part}_logits"))
    row["itself"] += float(loss(own, cached)) * len(own.encoder_out_lens)
    row["dot"] += float(grads[0] @ grads[1])
    row["live_square"] += float(grads[0] @ grads[0])
    row["cached_square"] += float(grads[1] @ grads[1])
    row["count"] += len(own.encoder_out_lens)


def as_student(said: TeacherTargets, part: str, logits: Tensor) -> ModelOutputs:
    """Outputs with one part alone."""
    lens = {"ys_in_lens": said.ys_in_lens, "blank_id": said.blank_id}
    outputs = ModelOutputs(said.encoder_out_lens, **lens)
    setattr(outputs, f"{part}_logits", logits)
    return outputs


class Table:
    """The rows, and what all of them are counted by.

    Args:
        args: The command's.
        singles: The utterances, each a batch.
    """

    def __init__(self, args: argparse.Namespace, singles: list[dict[str, Any]]) -> None:
        task = task_class("asr")
        self.args = args
        self.teacher = load_teacher(TeacherConfig(args.exp, args.file), task)
        self.student = load_teacher(TeacherConfig(args.student, args.file), task)
        self.width = args.vocabulary or len(self.teacher.vocabulary.text)
        self.header = Header(
            *("exp", "t", tuple(map(str, range(self.width))), 0, tuple(LOSS)),
            tolerance=args.tolerance,
            temperatures={
                part: tuple(map(float, getattr(args, f"{part}_temperatures").split(",")))
                for part in LOSS
            },
        )
        kept = self.header.temperatures.items()
        terms = [(part, temperature) for part, some in kept for temperature in some]
        keys = [(term, padding) for term in terms for padding in ("same", "own")]
        self.rows = {key: dict.fromkeys((*NAMES, "count"), 0.0) for key in keys}
        self.own = {e.utt: e for one in singles for e in self.entries(one)}

    def entries(self, batch: dict[str, Any]) -> list[Entry]:
        """What a cache written from a batch holds."""
        return entries_of(
            answer(self.teacher, batch, self.args), batch["utt_id"], self.header
        )

    def add(self, batch: dict[str, Any]) -> None:
        """Compare one batch, from caches of either padding."""
        teacher, student = (
            answer(m, batch, self.args) for m in (self.teacher, self.student)
        )
        own = [self.own[utt] for utt in batch["utt_id"]]
        for padding, written in (("same", self.entries(batch)), ("own", own)):
            cached = targets_of(batch_of(written), self.header)
            for (term, of), row in self.rows.items():
                if of == padding:
                    compare(row, term, student, teacher, cached)

    def lines(self) -> Iterator[str]:
        """The table, and what it costs."""
        yield f"| part | temperature | padding | {' | '.join(HEADS)} |"
        yield "|---" * (3 + len(HEADS)) + "|"
        for (term, padding), row in self.rows.items():
            cells = (*term, padding, *numbers(row), f"{self.most(term):.2g}")
            yield f"| {' | '.join(map(str, cells))} |"
        size = sum(encode(entry).size for entry in self.own.values())
        frames = sum(entry.frames for entry in self.own.values())
        dense = 2 * frames * self.width
        yield f"{size / frames:.1f} bytes a frame, {size / dense:.3%} of dense CTC"

    def most(self, term: tuple[str, float]) -> float:
        """The most that a row loses as it is stored."""
        place = self.header.temperatures_of(term[0]).index(term[1])
        return max(float(e.rows[term[0]].lost[place, 1]) for e in self.own.values())


def numbers(row: Row) -> list[str]:
    """The cells of a row."""
    cosine = row["dot"] / (row["live_square"] * row["cached_square"]) ** 0.5
    norm = (row["cached_square"] / row["live_square"]) ** 0.5
    losses = [f"{row[n] / row['count']:.4g}" for n in ("live", "cached", "itself")]
    return [*losses, f"{cosine:.5f}", f"{norm:.4f}"]


def main() -> None:
    """Measure and print."""
    args = get_parser().parse_args()
    torch.set_num_threads(1)
    singles = utterances(args)
    table = Table(args, singles)
    for at in range(0, len(singles), args.batch):
        table.add(padded(singles[at : at + args.batch]))
    print(f"{versions()}; one thread; V={table.width}, tolerance {args.tolerance}")
    print("\n".join(table.lines()))


if __name__ == "__main__":
    main()
