"""Our losses beside those of SpeechBrain, torchdistill and ModelOpt, on the same tensors.

    pip install -e '.[peers]'           # Python 3.12 or 3.13
    python tests/benchmarks/peers.py [--device cuda]

Forward and backward from logits, interleaved; then what each gives when padding holds nan,
when student and teacher are the same, and in half precision. The bar is never slower.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import torch
from measure import medians, seconds
from modelopt.torch.distill.losses import LogitsDistillationLoss
from speechbrain.nnet.losses import ctc_loss_kd, nll_loss_kd
from torch import Tensor
from torchdistill.losses.mid_level import KDLoss

from espnet_kd.host.compat import versions
from espnet_kd.losses import ctc_frame_kl, ctc_nbest, token_kl
from espnet_kd.losses.sequence import greedy_nbest

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Pair:
    """A peer's loss and ours for the same job."""

    name: str
    peer: Loss
    ours: Loss


def speechbrain_token(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    relative = lengths / student.shape[1]
    return nll_loss_kd(student.log_softmax(-1), teacher.softmax(-1), relative)


def speechbrain_ctc(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    relative = lengths / student.shape[1]
    probs = teacher.softmax(-1)
    return ctc_loss_kd(student.log_softmax(-1), probs, relative, 0, str(student.device))


def torchdistill_kd(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    del lengths  # it has none
    loss = KDLoss("s", "output", "t", "output", temperature=1.0, alpha=0)
    flat = (z.flatten(0, 1) for z in (student, teacher))
    return loss(*({name: {"output": z}} for name, z in zip("st", flat, strict=True)))


def modelopt_kd(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    del lengths  # its reduction knows no padding
    return LogitsDistillationLoss(reduction="batchmean")(
        student.flatten(0, 1), teacher.flatten(0, 1)
    )


def our_token(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    return token_kl(student, teacher, lengths, reduction="token")


def our_frames(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    return ctc_frame_kl(student, teacher, lengths, reduction="token")


def our_greedy(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    return ctc_nbest(student, lengths, greedy_nbest(teacher, lengths))


PAIRS = [
    Pair("SpeechBrain nll_loss_kd / token_kl", speechbrain_token, our_token),
    Pair("SpeechBrain ctc_loss_kd / ctc_nbest greedy", speechbrain_ctc, our_greedy),
    Pair("torchdistill KDLoss / ctc_frame_kl", torchdistill_kd, our_frames),
    Pair("ModelOpt LogitsDistillation / ctc_frame_kl", modelopt_kd, our_frames),
]


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (
        ("batch", 8),
        ("frames", 200),
        ("vocabulary", 5000),
        ("repeats", 15),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser


def tensors(args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Student, teacher (spiky, as CTC is) and lengths down to two thirds."""
    gen = torch.Generator(args.device).manual_seed(0)
    size = (args.batch, args.frames, args.vocabulary)
    student, teacher = (torch.randn(size, generator=gen, device=args.device) for _ in "st")
    teacher[..., 0] += 9
    spikes = torch.rand(size[:2], generator=gen, device=args.device) < 0.15
    teacher[..., 1:] += 14 * spikes[..., None] * (teacher[..., 1:] > 3.4)
    lengths = torch.linspace(args.frames * 2 / 3, args.frames, args.batch).round().long()
    return student, teacher, lengths.to(args.device)


def step(loss: Loss, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """Value and gradient."""
    student = student.detach().requires_grad_()
    value = loss(student, teacher, lengths)
    value.backward()
    return torch.stack([value.detach().float(), student.grad.float().abs().sum()])


def shown(loss: Loss, *inputs: Tensor) -> str:
    """The value, and whether the gradient can be used."""
    try:
        value, grad = step(loss, *inputs).tolist()
    except Exception as error:  # whatever a library does with such input
        return type(error).__name__
    return f"{value:.6g}" + (
        "" if grad == grad and grad < float("inf") else ", bad gradient"
    )


def table(pair: Pair, student: Tensor, teacher: Tensor, lengths: Tensor) -> list[str]:
    """What both give on padding, on identical inputs and in half precision."""
    padding = torch.arange(student.shape[1], device=student.device) >= lengths[:, None]
    broken = [z.masked_fill(padding[..., None], float("nan")) for z in (student, teacher)]
    half = [z.half() for z in (student, teacher)]
    cases = {
        "float32": (student, teacher),
        "nan in the padding": broken,
        "student = teacher": (teacher, teacher),
        "float16": half,
    }
    rows = []
    for name, pieces in cases.items():
        peer, ours = (shown(loss, *pieces, lengths) for loss in (pair.peer, pair.ours))
        rows.append(f"| {pair.name} | {name} | {peer} | {ours} |")
    return rows


def main() -> None:
    """Measure and print."""
    args = get_parser().parse_args()
    torch.set_num_threads(args.threads)
    inputs = tensors(args)
    print(f"{versions()}; {args.device}, {args.threads} thread(s); seed 0")
    print(f"B={args.batch} T={args.frames} V={args.vocabulary}\n")
    print("| peer / ours | peer ms | ours ms | peer / ours |\n|---|---|---|---|")
    for pair in PAIRS:
        works = {
            "peer": lambda p=pair: step(p.peer, *inputs),
            "ours": lambda p=pair: step(p.ours, *inputs),
        }
        took = medians(seconds(works, args.repeats, device=args.device))
        peer, ours = (took[name] * 1e3 for name in ("peer", "ours"))
        print(f"| {pair.name} | {peer:.1f} | {ours:.1f} | {peer / ours:.2f} |")
    print("\n| peer / ours | input | peer | ours |\n|---|---|---|---|")
    for pair in PAIRS:
        print("\n".join(table(pair, *inputs)))


if __name__ == "__main__":
    main()
