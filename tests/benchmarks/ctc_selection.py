"""ctc_frame_kl on a real teacher's spikes against all frames: time and value.

    python tests/benchmarks/ctc_selection.py --exp exp/asr_teacher --data data/test

The posteriors are the teacher's own on real features; where its token list is shorter
than --vocabulary, tokens it never heard of are added with next to no probability. Bars: at
least twice as fast as the plain KL over all frames, and equal to it on the frames kept.
"""

import argparse
from pathlib import Path

import kaldiio
import torch
from measure import medians, seconds
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_kd.config.schema import TeacherConfig
from espnet_kd.host.compat import task_class, versions
from espnet_kd.losses import ctc_frame_kl, select_frames
from espnet_kd.masking import length_mask
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exp", required=True, help="experiment of the teacher")
    parser.add_argument("--data", type=Path, required=True, help="holds feats.scp")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--vocabulary", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def posteriors(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """The teacher's logits (B, T, V) and lengths for the first utterances."""
    feats = list(kaldiio.load_scp(f"{args.data}/feats.scp").values())[: args.batch]
    speech = pad_sequence([torch.tensor(f) for f in feats], batch_first=True)
    batch = {"speech": speech, "speech_lengths": torch.tensor([len(f) for f in feats])}
    teacher = load_teacher(TeacherConfig(args.exp), task_class("asr"))
    targets = teacher(Question(batch, Request(ctc=True)))
    missing = args.vocabulary - targets.ctc_logits.shape[-1]
    gen = torch.Generator().manual_seed(0)
    tail = torch.randn(*targets.ctc_logits.shape[:2], missing, generator=gen) - 20
    return torch.cat([targets.ctc_logits, tail], -1), targets.encoder_out_lens


def plain_kl(student: Tensor, teacher: Tensor, keep: Tensor) -> Tensor:
    """What one writes down first: softmaxes of everything, masked at the end."""
    ours, theirs = student.log_softmax(-1), teacher.log_softmax(-1)
    values = (theirs.exp() * (theirs - ours)).sum(-1)
    return (values * keep).sum() / len(keep)


def main() -> None:
    """Measure and print."""
    args = get_parser().parse_args()
    torch.set_num_threads(args.threads)
    teacher, lengths = posteriors(args)
    gen = torch.Generator().manual_seed(1)
    student = torch.randn(teacher.shape, generator=gen).requires_grad_()
    real = length_mask(lengths, teacher.shape[1])

    def step(loss: Tensor) -> Tensor:
        return torch.autograd.grad(loss, student)[0]

    works = {"plain KL, all frames": lambda: step(plain_kl(student, teacher, real))}
    rows = [{"frames": "all"}]
    rows += [{"frames": "nonblank", "context": context} for context in (0, 1)]
    for options in rows:
        works[str(options)] = lambda o=options: step(
            ctc_frame_kl(student, teacher, lengths, **o)
        )
    took = medians(seconds(works, args.repeats))
    print(f"{versions()}; {args.threads} thread(s); seed 0")
    shape = f"B={len(lengths)} T={teacher.shape[1]} V={teacher.shape[2]}"
    print(f"{shape}, {int(real.sum())} frames")
    base = took["plain KL, all frames"]
    for name, value in took.items():
        print(f"{name:40s} {value * 1e3:8.1f} ms  {base / value:5.2f} times as fast")
    for options in rows:
        keep = select_frames(teacher, lengths, **options)
        ours = ctc_frame_kl(student, teacher, lengths, **options)
        apart = (ours / plain_kl(student, teacher, keep) - 1).abs().item()
        print(f"{options!s:40s} keeps {int(keep.sum())}; differs by {apart:.1e}")


if __name__ == "__main__":
    main()
