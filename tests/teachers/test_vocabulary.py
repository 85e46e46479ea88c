"""The same tokens in another order: the same teacher under other names."""

import copy

import pytest
import torch
from conftest import TOKENS, build_asr, clone
from torch import nn

import espnet_kd
from espnet_kd.cache.entries import batch_of, entries_of
from espnet_kd.cache.header import Header
from espnet_kd.cache.reader import Cache
from espnet_kd.cache.writer import Shard, merge
from espnet_kd.errors import AlignmentError
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.live import LiveTeacher
from espnet_kd.teachers.vocabulary import (
    Vocabulary,
    match_vocabularies,
    match_vocabulary,
    vocabulary_of,
)

SHUFFLED = ["<blank>", *TOKENS[5:-1], *TOKENS[1:5], "<sos/eos>"]
HYBRID = [
    {"type": "ctc_frame_kl", "weight": 0.3},
    {"type": "token_kl", "weight": 0.7},
    {"type": "ctc_nbest", "weight": 0.2, "search": "greedy"},
    {"type": "token_nbest", "weight": 0.2, "nbest": 2},
]
LATTICE = [
    {"type": "transducer_collapsed_kl", "weight": 0.3},
    {"type": "transducer_lattice_kl", "weight": 0.3},
    {"type": "transducer_path_kl", "weight": 0.3},
]
TRANSDUCER = {
    "decoder": "transducer",
    "decoder_conf": {"rnn_type": "lstm", "num_layers": 1, "hidden_size": 8},
    "joint_net_conf": {"joint_space_size": 8},
}


def renamed(model: nn.Module) -> nn.Module:
    """The same model with its tokens in another order: every row of theirs moved."""
    order = torch.tensor([TOKENS.index(token) for token in SHUFFLED])
    twin = copy.deepcopy(model)
    twin.token_list = list(SHUFFLED)
    with torch.no_grad():
        for name, weight in twin.named_parameters():
            if weight.shape[0] == len(TOKENS):
                assert name.split(".")[0] in ("ctc", "decoder", "joint_network"), name
                weight.copy_(weight[order].clone())
    return twin


def taught(student, losses, guest, batch, **conf):
    espnet_kd.attach(student.eval(), {"losses": losses, **conf}, guest)
    student.zero_grad()
    loss, stats, _ = student(**clone(batch))
    loss.sum().backward()
    grads = [p.grad for p in student.parameters() if p.grad is not None]
    espnet_kd.detach(student)
    terms = {k: v for k, v in stats.items() if k.startswith("loss_kd") and v is not None}
    return terms, torch.cat([g.flatten() for g in grads])


@pytest.mark.parametrize("losses", [HYBRID, LATTICE])
def test_another_order_teaches_the_same(losses, batch):
    options = TRANSDUCER if losses is LATTICE else {}
    student, teacher = (build_asr(seed, **options) for seed in (1, 2))
    guests = (teacher, renamed(teacher))
    (terms, grads), (again, others) = (
        taught(student, losses, guest, batch) for guest in guests
    )
    assert terms["loss_kd"] > 0
    for name, value in terms.items():
        torch.testing.assert_close(again[name], value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(others, grads, rtol=1e-4, atol=1e-5)


def test_so_does_its_cache(student, teacher, batch, tmp_path):
    """Written by the teacher with the other order, along its own names of the labels."""
    twin, losses = renamed(teacher), HYBRID[:2]
    lens = batch["text_lengths"] + 1
    prefix = torch.full((3, 5), 10)
    for row, text in enumerate(batch["text"].tolist()):
        names = [SHUFFLED.index(TOKENS[t]) for t in text if t >= 0]
        prefix[row, 1 : len(names) + 1] = torch.tensor(names)
    request = Request(ctc=True, decoder=True)
    said = LiveTeacher(twin)(Question(batch, request, Labels(prefix, lens)))
    header = Header(
        *("exp/t", "t", tuple(SHUFFLED), 0, ("ctc", "decoder")),
        **{"tolerance": 0.0, "max_k": len(TOKENS), "dtype": "float32"},
    )
    shard = Shard(tmp_path, 1, header)
    for entry in entries_of(said, batch["utt_id"], header):
        shard.add(entry)
    merge(tmp_path, batch["utt_id"])
    live, _ = taught(student, losses, teacher, batch)
    batch |= batch_of(Cache([tmp_path]).read(batch["utt_id"]))
    read, _ = taught(student, losses, None, batch, targets=str(tmp_path))
    torch.testing.assert_close(read["loss_kd"], live["loss_kd"], rtol=1e-5, atol=1e-5)


def test_equal_lists_need_no_map():
    assert match_vocabulary(["a", "b"], ("a", "b")) is None


def test_differences_are_shown_with_the_ways_out():
    with pytest.raises(AlignmentError) as error:
        match_vocabulary(["<blank>", "a", "b"], ["<blank>", "b", "a", "c"])
    text = str(error.value)
    assert "3 and 4 tokens, 3 differ" in text
    assert "1: student 'a', teacher 'b'" in text
    assert "3: student nothing, teacher 'c'" in text
    assert "hidden_*" in text
    assert "espnet_kd.bin.pseudo_label" in text


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (["_", "a", "b", "#"], ["a", "_", "b", "#"]),
        (["_", "a", "b", "#"], ["_", "a", "#", "b"]),
        (["_", "a", "a", "b", "#"], ["_", "b", "a", "a", "#"]),
    ],
    ids=["blank", "end", "double"],
)
def test_what_cannot_be_told_apart_is_refused(ours, theirs):
    with pytest.raises(AlignmentError, match="different token lists"):
        match_vocabulary(ours, theirs)


SOURCE = ("_", "p", "q", "#")
TURNED = ("_", "q", "p", "#")
TARGET = ("_", "a", "b", "#")


def test_ctc_of_speech_translation_is_over_the_source_tokens(student):
    tokens = tuple(student.token_list)
    assert vocabulary_of(student) == Vocabulary(tokens, tokens)
    student.src_token_list = list(SOURCE)
    assert vocabulary_of(student) == Vocabulary(tokens, SOURCE)


def test_each_list_is_matched_for_itself_and_only_if_it_is_compared():
    student = Vocabulary(TARGET, SOURCE)
    maps = match_vocabularies(student, Vocabulary(TARGET, TURNED), {"text", "ctc"})
    assert maps.text is None
    assert maps.ctc.teacher_index.tolist() == [0, 2, 1, 3]
    maps = match_vocabularies(student, Vocabulary(("_", "x", "#"), SOURCE), {"ctc"})
    assert not maps
    with pytest.raises(AlignmentError, match="student 'p', teacher 'x'"):
        match_vocabularies(student, Vocabulary(TARGET, ("_", "x", "#")), {"ctc"})


def test_one_list_for_both_is_mapped_for_both():
    """What is forced along is renamed even where only CTC is compared."""
    maps = match_vocabularies(
        Vocabulary(SOURCE, SOURCE), Vocabulary(TURNED, TURNED), {"ctc"}
    )
    assert maps.text is maps.ctc
    labels = maps.to_teacher(Labels(ys_in_pad=torch.tensor([[3, 1, -1]])))
    assert labels.ys_in_pad.tolist() == [[3, 2, -1]]
