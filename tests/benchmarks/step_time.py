"""Step time with a teacher, live or cached, against the parts that cannot be saved.

    python tests/benchmarks/step_time.py [--targets cache] [--terms posteriors]

    posteriors  ctc_frame_kl and token_kl
    hidden      hidden_l1_cosine between middle layers
    codebooks   codebook_ce between them, 8 codebooks of 256 centroids

One process, one thread unless --threads says more, the two interleaved, medians:

    distilled   one training step of the student with a teacher
    parts       one stock training step, and for a live teacher also its encoder, CTC
                layer and decoder in evaluation under no_grad

The bar is a ratio of at most 1.05.
"""

import argparse
import copy
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import build_asr
from measure import medians, seconds

import espnet_kd
from espnet_kd.cache.entries import batch_of, entries_of
from espnet_kd.cache.header import Header
from espnet_kd.cache.reader import Cache
from espnet_kd.cache.writer import Shard, merge
from espnet_kd.host.compat import versions
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.codebooks import Codebooks
from espnet_kd.teachers.live import LiveTeacher

TEACHERS_LAYER = "encoder.encoders.5"
LAYERS = {"student": "encoder.encoders.2", "teacher": TEACHERS_LAYER}
TERMS = {
    "posteriors": [
        {"type": "ctc_frame_kl", "weight": 0.15},
        {"type": "token_kl", "weight": 0.35, "temperature": 2.0},
    ],
    "hidden": [{"type": "hidden_l1_cosine", "weight": 0.3, **LAYERS}],
    "codebooks": [{"type": "codebook_ce", "weight": 0.1, **LAYERS}],
}
WIDTH, CODEBOOKS, CENTROIDS = 256, 8, 256


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", choices=("live", "cache"), default="live")
    parser.add_argument("--terms", choices=tuple(TERMS), default="posteriors")
    parser.add_argument("--vocabulary", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--frames", type=int, default=800)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processor_time", action="store_true", help="of this process")
    return parser


def model(width: int, blocks: int, vocabulary: int, seed: int) -> torch.nn.Module:
    """A conformer of the LibriSpeech 100 h recipe's kind."""
    tokens = ["<blank>", "<unk>", *map(str, range(vocabulary - 3)), "<sos/eos>"]
    encoder = {
        "output_size": width,
        "attention_heads": 4,
        "linear_units": 4 * width,
        "num_blocks": blocks,
        "macaron_style": True,
        "rel_pos_type": "latest",
        "pos_enc_layer_type": "rel_pos",
        "selfattention_layer_type": "rel_selfattn",
        "activation_type": "swish",
        "use_cnn_module": True,
        "cnn_module_kernel": 31,
    }
    decoder = {
        "attention_heads": 4,
        "linear_units": 4 * width,
        "num_blocks": blocks // 2,
    }
    return build_asr(
        seed=seed,
        tokens=tokens,
        encoder="conformer",
        encoder_conf=encoder,
        decoder_conf=decoder,
        input_size=80,
    )


def make_batch(args: argparse.Namespace) -> dict[str, torch.Tensor]:
    gen = torch.Generator().manual_seed(0)
    text = torch.randint(2, args.vocabulary - 1, (args.batch, args.tokens), generator=gen)
    batch = {
        "speech": torch.randn(args.batch, args.frames, 80, generator=gen),
        "speech_lengths": torch.full((args.batch,), args.frames),
        "text": text,
        "text_lengths": torch.full((args.batch,), args.tokens),
    }
    return {key: value.to(args.device) for key, value in batch.items()}


class Step:
    """A training step of a student: forward, backward, update."""

    def __init__(self, student: torch.nn.Module) -> None:
        self.student = student.train()
        self.optimizer = torch.optim.Adam(student.parameters(), lr=1e-5)

    def __call__(self, batch: dict[str, torch.Tensor]) -> None:
        batch = {key: value.clone() for key, value in batch.items()}
        self.optimizer.zero_grad()
        self.student(**batch)[0].sum().backward()
        self.optimizer.step()


def prefix(teacher: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple:
    """What the student's decoder is forced along: start, then the text."""
    start = torch.full_like(batch["text"][:, :1], teacher.sos)
    return torch.cat([start, batch["text"]], 1), batch["text_lengths"] + 1


@torch.no_grad()
def run_teacher(
    teacher: torch.nn.Module, batch: dict[str, torch.Tensor], terms: str
) -> None:
    """The teacher's parts that the losses read, and nothing else."""
    out, lens = teacher.encode(batch["speech"].clone(), batch["speech_lengths"])
    if terms == "posteriors":
        teacher.ctc.ctc_lo(out)
        teacher.decoder(out, lens, *prefix(teacher, batch))


def codebooks() -> Codebooks:
    """Random ones of the right size: what they say costs as much."""
    gen = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=gen))[0]
    shape = (CODEBOOKS, CENTROIDS, WIDTH // CODEBOOKS)
    means = torch.randn(*shape, generator=gen)
    return Codebooks(TEACHERS_LAYER, "t", "t", torch.zeros(WIDTH), rotation, means, 0.5)


# What a cache holds for the terms; of the posteriors random ones have no likely tokens, so
# that as many are kept as of a trained teacher.
PARTS = {
    "posteriors": {
        "parts": ("ctc", "decoder"),
        "max_k": 32,
        "temperatures": {"decoder": (1.0, 2.0)},
    },
    "hidden": {"parts": (), "taps": (TEACHERS_LAYER,), "widths": (WIDTH,)},
    "codebooks": {"parts": ("codebooks",)},
}
REQUESTS = {
    "posteriors": Request(ctc=True, decoder=True),
    "hidden": Request(taps=(TEACHERS_LAYER,)),
    "codebooks": Request(codebooks=(TEACHERS_LAYER,)),
}


def guest(teacher: torch.nn.Module, terms: str) -> LiveTeacher:
    """The live teacher, with codebooks where they are asked for."""
    own = [codebooks()] if terms == "codebooks" else []
    return LiveTeacher(teacher, codebooks=own)


def write_cache(
    folder: Path, teacher: torch.nn.Module, batch: dict[str, torch.Tensor], terms: str
) -> dict[str, torch.Tensor]:
    """What the data workers bring along; an untrained teacher fills it to the brim."""
    ys_in, lens = prefix(teacher, batch)
    live = guest(teacher, terms)
    said = live(Question(batch, REQUESTS[terms], Labels(ys_in, lens)))
    said.ys_in_pad, said.ys_in_lens = ys_in, lens
    coded = tuple(own.coded for own in live.codebooks.values())
    held = PARTS[terms] | ({"codebooks": coded} if coded else {})
    header = Header("t", "t", tuple(teacher.token_list), 0, **held)
    utts = [f"u{row}" for row in range(len(ys_in))]
    shard = Shard(folder, 1, header)
    for entry in entries_of(said, utts, header):
        shard.add(entry)
    merge(folder, utts)
    read = batch_of(Cache([folder]).read(utts))
    return {key: value.to(ys_in.device) for key, value in read.items()}


def main() -> None:
    """Measure and print."""
    args = get_parser().parse_args()
    torch.set_num_threads(args.threads)
    student = model(128, 6, args.vocabulary, seed=0).to(args.device)
    teacher = model(WIDTH, 12, args.vocabulary, seed=1).to(args.device).eval()
    batch, stock = make_batch(args), Step(copy.deepcopy(student))
    conf, given = {"losses": TERMS[args.terms], "task_weight": 0.5}, batch
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    with TemporaryDirectory() as folder:
        if args.targets == "cache":
            given = batch | write_cache(Path(folder), teacher, batch, args.terms)
            espnet_kd.attach(student, conf | {"targets": folder}, example=example)
        else:
            espnet_kd.attach(student, conf, guest(teacher, args.terms), example=example)
    distilled = Step(student)

    def parts() -> None:
        stock(batch)
        if args.targets == "live":
            run_teacher(teacher, batch, args.terms)

    works = {"distilled": lambda: distilled(given), "parts": parts}
    clock = time.process_time if args.processor_time else time.perf_counter
    took = seconds(works, args.repeats, device=args.device, clock=clock)
    ratios = [a / b for a, b in zip(*took.values(), strict=True)]
    print(f"{versions()}; {args.device}, {args.threads} thread(s)")
    print(f"B={args.batch} frames={args.frames} V={args.vocabulary} {args.terms}")
    for name, value in medians(took).items():
        print(f"{name:10s} {value * 1e3:9.1f} ms")
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"ratio      {statistics.median(ratios):9.3f}   ({spread} over the pairs)")


if __name__ == "__main__":
    main()
