"""Targets of a made-up teacher, and a cache of them, for the tests of what reads one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from espnet_kd.cache.entries import entries_of
from espnet_kd.cache.header import Header
from espnet_kd.cache.writer import Shard
from espnet_kd.model.outputs import Hidden, NBest, TeacherTargets

V = 6
HEADER_OF = Header(
    teacher="exp/t",
    teacher_hash="t",
    token_list=tuple("_abcde"),
    blank_id=0,
    parts=("ctc", "decoder", "nbest"),
    taps=("encoder",),
    widths=(3,),
    nbest=2,
    tolerance=0.0,
    max_k=V,
    dtype="float32",
)
OTHER = replace(HEADER_OF, teacher_hash="other")


def targets(seed: int = 0, lengths: tuple[int, int] = (5, 3)) -> TeacherTargets:
    """What a teacher might say about two utterances."""
    gen = torch.Generator().manual_seed(seed)
    lens = torch.tensor(lengths)
    logits = torch.randn(2, 5, V, generator=gen)
    logits[0, 1:4] = logits[0, 1]  # frames alike
    return TeacherTargets(
        lens,
        ctc_logits=logits,
        decoder_logits=torch.randn(2, 3, V, generator=gen),
        ys_in_pad=torch.tensor([[5, 1, 2], [5, 3, 5]]),
        ys_in_lens=torch.tensor([3, 2]),
        hidden={"encoder": Hidden(torch.randn(2, 5, 3, generator=gen), lens)},
        nbest=NBest(
            torch.tensor([[[1, 2], [1, 0]], [[3, 0], [0, 0]]]),
            torch.tensor([[2, 1], [1, -1]]),
            torch.tensor([[-1.0, -2.0], [-3.0, float("-inf")]]),
        ),
    )


def write_shard(
    directory: Path,
    utts: Sequence[str] = ("a", "b"),
    number: int = 1,
    header: Header = HEADER_OF,
) -> None:
    """The targets of two utterances in a shard of a cache."""
    shard = Shard(directory, number, header)
    for entry in entries_of(targets(), utts, header):
        if entry.utt not in shard.done:
            shard.add(entry)
