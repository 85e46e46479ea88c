"""Size of cached CTC posteriors, what they lose, and how fast they are written.

    python tests/benchmarks/cache_size.py --exp exp/asr_teacher --data data/test

The posteriors are a teacher's own on real features; where its token list is shorter than
--vocabulary, tokens it never heard of are added with the little probability that --tail
says in sum. Bars: at most 0.5 % of dense half precision, at most 1e-3 nats a frame.
"""

import argparse
import time
from pathlib import Path

import kaldiio
import torch
import yaml

from espnet_kd.cache.codec import encode
from espnet_kd.cache.entries import batch_of, entries_of, targets_of
from espnet_kd.cache.header import Header
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.host.compat import build_model, default_settings, task_class, versions
from espnet_kd.losses import kl_rows
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher
from espnet_kd.teachers.live import LiveTeacher


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exp", required=True, help="experiment of the teacher")
    parser.add_argument("--data", type=Path, required=True, help="holds feats.scp")
    parser.add_argument(
        "--forward",
        type=Path,
        help="training config of a model, random but of a real size, whose forward pass "
        "is timed in place of the --exp teacher's",
    )
    parser.add_argument("--utterances", type=int, default=100)
    parser.add_argument("--vocabulary", type=int, default=5000)
    parser.add_argument("--tail", type=float, default=1e-3)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--max_k", type=int, default=0, help="0: no limit")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def widened(logits: torch.Tensor, vocabulary: int, tail: float) -> torch.Tensor:
    """The same posteriors among more tokens, which share ``tail`` unevenly."""
    gen = torch.Generator().manual_seed(0)
    shape = (*logits.shape[:-1], vocabulary - logits.shape[-1])
    if not shape[-1]:
        return logits.log_softmax(-1)
    others = (2 * torch.randn(shape, generator=gen)).log_softmax(-1)
    own = logits.log_softmax(-1) + torch.tensor(1 - tail).log()
    return torch.cat([own, others + torch.tensor(tail).log()], -1)


def untrained(config: Path, vocabulary: int, width: int) -> LiveTeacher:
    """A model of a config's size that takes features."""
    task = task_class("asr")
    settings = default_settings(task) | yaml.safe_load(config.read_text())
    settings |= {"token_list": list(map(str, range(vocabulary))), "input_size": width}
    return LiveTeacher(build_model(task, settings | {"frontend": None}))


def main() -> None:
    """Measure and print."""
    args = get_parser().parse_args()
    torch.set_num_threads(args.threads)
    feats = list(kaldiio.load_scp(f"{args.data}/feats.scp").items())[: args.utterances]
    teacher = load_teacher(TeacherConfig(args.exp), task_class("asr"))
    timed = teacher
    if args.forward is not None:
        timed = untrained(args.forward, args.vocabulary, feats[0][1].shape[1])
    header = Header(
        *("exp", "t", tuple(map(str, range(args.vocabulary))), 0, ("ctc",)),
        tolerance=args.tolerance,
        max_k=args.max_k,
    )
    size = frames = 0
    loss = forward = writing = 0.0
    for utt, values in feats:
        speech = torch.tensor(values)[None]
        batch = {"speech": speech, "speech_lengths": torch.tensor([len(values)])}
        start = time.perf_counter()
        said = timed(Question(batch, Request(ctc=True)))
        forward += time.perf_counter() - start
        if timed is not teacher:
            said = teacher(Question(batch, Request(ctc=True)))
        logits = widened(said.ctc_logits, args.vocabulary, args.tail)
        wide = TeacherTargets(said.encoder_out_lens, ctc_logits=logits)
        start = time.perf_counter()
        (entry,) = entries_of(wide, [utt], header)
        data = encode(entry)
        writing += time.perf_counter() - start
        read = targets_of(batch_of([entry]), header).ctc_logits[0]
        loss += kl_rows(read, logits[0], 1.0).sum().item()
        size, frames = size + data.size, frames + entry.frames
    print(f"{versions()}; {args.threads} thread(s); seed 0")
    print(f"V={args.vocabulary}, {len(feats)} utterances, {frames} frames")
    print(f"tolerance {args.tolerance}, max_k {args.max_k}, tail {args.tail}")
    share = size / (2 * frames * args.vocabulary)
    print(f"{size / frames:.1f} bytes a frame, {share:.3%} of dense half precision")
    print(f"loss {loss / frames:.2e} nats a frame")
    rate = forward / (forward + writing)
    print(f"written at {rate:.3f} of the bare forward pass's utterances a second")


if __name__ == "__main__":
    main()
