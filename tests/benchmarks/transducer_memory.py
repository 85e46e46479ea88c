"""Memory and time of transducer_collapsed_kl, beyond the lattice that is there anyway.

    python tests/benchmarks/transducer_memory.py [--vocabulary 1024] [--device cuda]

Against the full log-softmax KL of the two lattices. The teacher's classes are given, as
the live teacher and a cache give them; both lattices exist before the measurement. Bars:
forward at most 2 % of a lattice, forward and backward at most 1.1 lattices (the gradient
of the joint output is one), a third of the full KL's peak, and not slower.
"""

import argparse

import torch
from measure import medians, peak_bytes, seconds

from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask, spread
from espnet_kd.host.compat import versions
from espnet_kd.losses import transducer_collapsed_kl


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (
        ("batch", 8),
        ("frames", 200),
        ("labels", 40),
        ("vocabulary", 1024),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser


def full_kl(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """What one writes down first: two log-softmaxes and a sum."""
    ours, theirs = student.log_softmax(-1), teacher.log_softmax(-1)
    return (theirs.exp() * (theirs - ours)).sum(-1).mean()


def main() -> None:
    """Measure and print."""
    args = get_parser().parse_args()
    torch.set_num_threads(args.threads)
    gen = torch.Generator(args.device).manual_seed(0)
    size = (args.batch, args.frames, args.labels + 1, args.vocabulary)
    student, teacher = (torch.randn(size, generator=gen, device=args.device) for _ in "st")
    student.requires_grad_()
    lens = torch.full((args.batch,), args.frames, device=args.device)
    ys_lens = torch.full((args.batch,), args.labels, device=args.device)
    ys_pad = torch.randint(
        1, args.vocabulary, (args.batch, args.labels), generator=gen, device=args.device
    )
    mask = node_mask(lens, ys_lens, *size[1:3])
    classes = spread(collapse(teacher, mask, next_labels(ys_pad, ys_lens, size[2])), mask)

    def collapsed() -> torch.Tensor:
        return transducer_collapsed_kl(student, classes, lens, ys_pad, ys_lens)

    def full() -> torch.Tensor:
        return full_kl(student, teacher)

    def step(loss) -> torch.Tensor:
        return torch.autograd.grad(loss(), student)[0]

    lattice = student.numel() * student.element_size()
    rows = {}
    for name, loss in (("collapsed", collapsed), ("full", full)):
        forward = peak_bytes(loss, device=args.device) / lattice
        both = peak_bytes(lambda loss=loss: step(loss), device=args.device) / lattice
        rows[name] = (forward, both)
    works = {"collapsed": lambda: step(collapsed), "full": lambda: step(full)}
    took = medians(seconds(works, args.repeats, device=args.device))
    print(f"{versions()}; {args.device}, {args.threads} thread(s); seed 0")
    print(f"B={size[0]} T={size[1]} U={args.labels} V={size[3]}: {lattice / 2**20:.0f} MiB")
    for name, (forward, both) in rows.items():
        print(
            f"{name:10s} forward {forward:7.4f} lattices, with backward {both:6.3f}; "
            f"{took[name] * 1e3:8.1f} ms"
        )
    print(f"peak: {rows['full'][1] / rows['collapsed'][1]:.2f} times less")
    print(f"time: {took['collapsed'] / took['full']:.3f} of the full KL's")


if __name__ == "__main__":
    main()
