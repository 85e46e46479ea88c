"""Train tiny models by ESPnet's own trainer, in one process or in several."""

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from conftest import INPUT_SIZE, build_asr, clone

import espnet_kd
from espnet_kd.cache.entries import batch_of, entries_of
from espnet_kd.cache.header import Header
from espnet_kd.cache.reader import Cache
from espnet_kd.cache.writer import Shard, merge
from espnet_kd.errors import KDError
from espnet_kd.hook.attachment import Attachment
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.live import LiveTeacher

CTC = {"type": "ctc_frame_kl", "weight": 0.3}
TOKEN = {"type": "token_kl", "weight": 0.7, "temperature": 2.0}
HIDDEN = {"type": "hidden_mse", "weight": 0.5}
HIDDEN |= {"student": "encoder.encoders.1", "teacher": "encoder.encoders.2"}
PRUNE = {"sparsity": 0.5, "start": 0, "end": 3, "every": 1}
# What is tried, each a kd_conf; see also ``attached``.
CASES = {
    "projections": {"losses": [CTC, TOKEN, HIDDEN]},
    "average": {"losses": [TOKEN], "teachers": [{"ema": 0.8}]},
    "magnitude": {"losses": [CTC, TOKEN], "prune": PRUNE},
    "taylor": {"losses": [CTC, TOKEN], "prune": PRUNE | {"importance": "taylor"}},
    "gradients": {"losses": [CTC, TOKEN], "gradients": {"every": 1, "balance": True}},
    "cached": {"losses": [CTC, TOKEN]},
    "rarely": {"losses": [CTC, HIDDEN]},
    "missing": {"losses": [CTC, TOKEN, HIDDEN]},
    "fires on one": {"losses": [CTC | {"frames": "nonblank"}, TOKEN]},
    "fires nowhere": {"losses": [CTC | {"frames": "nonblank"}, TOKEN]},
}
# Utterances of each process, the first of each of the full length: ESPnet's subsampling
# sees a frame past the end of a padded utterance, so another padding is another input.
PARTS = {
    1: [[0, 1, 2, 3, 4, 5, 6]],
    2: [[0, 2, 3, 4, 5], [1, 6]],
    4: [[0], [1, 4, 5], [2], [3, 6]],
}
FRAMES = [60, 60, 60, 60, 45, 33, 51]
LABELS = [4, 3, 1, 2, 3, 2, 4]
STEPS_AN_EPOCH = 5
# Utterances without the stream that the teacher of a case hears: in two and in four
# processes one has no other, and those that are left are of the full length, as above.
MISSING = [1, 4, 5, 6]


def batches() -> list[dict]:
    """The joint batches of an epoch."""
    gen = torch.Generator().manual_seed(0)
    made = []
    for number in range(STEPS_AN_EPOCH):
        speech = torch.randn(len(FRAMES), 60, INPUT_SIZE, generator=gen)
        text = torch.randint(2, 10, (len(LABELS), 4), generator=gen)
        for row, (frames, labels) in enumerate(zip(FRAMES, LABELS, strict=True)):
            speech[row, frames:] = 0
            text[row, labels:] = -1
        lengths = torch.tensor(FRAMES), torch.tensor(LABELS)
        made.append(
            {
                "speech": speech,
                "speech_lengths": lengths[0],
                "text": text,
                "text_lengths": lengths[1],
                "utt_id": [f"{number}-{row}" for row in range(len(FRAMES))],
            }
        )
    return made


def rows(batch: dict, keep: list[int]) -> dict:
    """A part of a batch; features stay padded as they were."""
    utts = [batch["utt_id"][i] for i in keep]
    parts = {k: v[keep].clone() for k, v in batch.items() if k != "utt_id"}
    return {**parts, "utt_id": utts}


def models(width: int = 8) -> list[torch.nn.Module]:
    """Student and teacher without dropout, alike in every process."""
    encoder = {"attention_heads": 2, "linear_units": 16, "dropout_rate": 0.0}
    encoder |= {"positional_dropout_rate": 0.0, "attention_dropout_rate": 0.0}
    decoder = {"attention_heads": 2, "linear_units": 16, "num_blocks": 1}
    decoder |= {"dropout_rate": 0.0, "positional_dropout_rate": 0.0}
    shapes = ((width, 2), (12, 3))
    return [
        build_asr(
            seed=seed,
            encoder_conf=encoder | {"output_size": width, "num_blocks": blocks},
            decoder_conf=decoder,
        )
        for seed, (width, blocks) in enumerate(shapes)
    ]


def write_cache(folder: Path) -> None:
    """The teacher's targets of all batches, nothing left out."""
    teacher = models()[1]
    guest = LiveTeacher(teacher)
    vocabulary = len(teacher.token_list)
    header = Header(
        "exp/t",
        "t",
        tuple(teacher.token_list),
        0,
        ("ctc", "decoder"),
        tolerance=0.0,
        temperatures={"decoder": (1.0, 2.0)},
        max_k=vocabulary,
        dtype="float32",
    )
    shard = Shard(folder, 1, header)
    utts = []
    for batch in batches():
        labels = torch.full((len(LABELS), 5), 10)
        labels[:, 1:] = batch["text"].masked_fill(batch["text"] < 0, 10)
        lens = batch["text_lengths"] + 1
        said = guest(Question(batch, Request(ctc=True, decoder=True), Labels(labels, lens)))
        said.ys_in_pad, said.ys_in_lens = labels, lens
        for entry in entries_of(said, batch["utt_id"], header):
            shard.add(entry)
        utts += batch["utt_id"]
    merge(folder, utts)


def attached(case: str, cache: Path) -> Attachment:
    """The student of a case, distilled."""
    student, teacher = models()
    conf = CASES[case]
    example = {k: batches()[0][k] for k in ("speech", "speech_lengths")}
    if case == "cached":
        return espnet_kd.attach(student, conf | {"targets": str(cache)})
    if case == "average":
        return espnet_kd.attach(student, conf)
    if case == "rarely":
        teacher = LiveTeacher(teacher, every=2)
    if case == "missing":
        teacher = LiveTeacher(teacher, hears="clean", skips=True)
    if case.startswith("fires"):
        say_blank(teacher, but_in_one=case == "fires on one")
    return espnet_kd.attach(student, conf, teacher, example=example)


@torch.no_grad()
def say_blank(teacher: torch.nn.Module, but_in_one: bool) -> None:
    """Let a teacher say blank everywhere, or in all but the first utterance of a batch."""
    batch = batches()[0]
    encoded, _ = teacher.eval().encode(batch["speech"], batch["speech_lengths"])
    logits = teacher.ctc.ctc_lo(encoded)
    surest = (logits[..., 1:].amax(-1) - logits[..., 0]).amax(1)  # (B,)
    limit = (surest[0] + surest[1:].max()) / 2 if but_in_one else surest.max() + 1
    teacher.ctc.ctc_lo.bias[0] += limit


def epochs(case: str, cache: Path, part: list[int]) -> list[list[dict]]:
    """A process's part of the batches of two epochs."""
    joint = batches()
    if case.startswith("fires"):
        joint = joint[:1] * STEPS_AN_EPOCH
    if case == "missing":
        joint = [batch | heard_apart(batch) for batch in joint]
    mine = [rows(batch, part) for batch in joint]
    if case == "cached":
        reader = Cache([cache])
        mine = [batch | batch_of(reader.read(batch["utt_id"])) for batch in mine]
    return [mine, mine]


def heard_apart(batch: dict) -> dict:
    """A second stream of a batch, which some of its utterances lack."""
    lengths = batch["speech_lengths"].clone()
    lengths[MISSING] = 0
    return {"clean": batch["speech"].flip(2), "clean_lengths": lengths}


def trained(case: str, accum_grad: int, cache: Path, part: list[int]) -> dict:
    """What a process has after two epochs, or the sentence that ended it."""
    attachment = attached(case, cache)
    try:
        stats = train(attachment, accum_grad, epochs(case, cache, part))
    except KDError as error:
        return {"said": str(error)}
    model = attachment.model.state_dict()
    parts = attachment.state_dict()
    return {"model": model, "parts": parts, "stats": stats, "updates": attachment.step}


def train(attachment: Attachment, accum_grad: int, epochs: list[list[dict]]) -> dict:
    """Train by ESPnet's trainer; the last epoch's stats of the losses."""
    from espnet2.tasks.asr import ASRTask
    from espnet2.train.distributed_utils import DistributedOption
    from espnet2.train.reporter import Reporter
    from espnet2.train.trainer import Trainer

    from espnet_kd.tasks.trainer import with_distillation

    args = ["--output_dir", "unused", "--accum_grad", str(accum_grad), "--ngpu", "0"]
    options = Trainer.build_options(ASRTask.get_parser().parse_args(args))
    model, reporter = attachment.model, Reporter()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    several = dist.is_initialized()
    for number, batches in enumerate(epochs, 1):
        reporter.set_epoch(number)
        with reporter.observe("train") as observed:
            with_distillation(Trainer).train_one_epoch(
                model=torch.nn.parallel.DistributedDataParallel(model)
                if several
                else model,
                optimizers=[optimizer],
                schedulers=[None],
                scaler=None,
                iterator=[(b["utt_id"], clone(b)) for b in batches],
                reporter=observed,
                summary_writer=None,
                options=options,
                distributed_option=DistributedOption(distributed=several),
            )
    stats = reporter.stats[len(epochs)]["train"]
    # Not 'loss': by itself ESPnet divides it by the accumulated batches, in one process.
    return {k: float(v) for k, v in stats.items() if "loss_" in k or "grad_" in k}


def worker(rank: int, world: int, folder: Path, accum_grad: int) -> None:
    """One process of several: train every case and keep what came of it."""
    file, wait = f"file://{folder}/store", timedelta(seconds=120)
    dist.init_process_group("gloo", file, wait, world_size=world, rank=rank)
    for case in CASES:
        found = trained(case, accum_grad, folder / "cache", PARTS[world][rank])
        torch.save(found, folder / f"{case}-{rank}.pt")
        dist.barrier()
    dist.destroy_process_group()


def train_in(world: int, folder: Path, accum_grad: int) -> None:
    """Train every case in several processes, which have imported everything already."""
    write_cache(folder / "cache")
    given = (world, folder, accum_grad)
    mp.start_processes(worker, args=given, nprocs=world, start_method="fork")


def result(folder: Path, case: str, rank: int) -> dict:
    """What a process kept of a case."""
    return torch.load(folder / f"{case}-{rank}.pt", weights_only=True)
