"""The teacher's hypotheses, by ESPnet's search, against enumeration."""

import itertools
import logging

import pytest
import torch
from conftest import build_asr, clone, transducer

import espnet_kd
from espnet_kd.model.forward import run_guest
from espnet_kd.model.request import Request
from espnet_kd.teachers.search import find_nbest


def outputs_of(model, batch):
    return run_guest(model.eval(), batch, Request(ctc=True))


def test_of_ctc_alone_the_best_is_the_most_probable(batch):
    """A vocabulary of two letters and four frames: every labelling can be summed."""
    tokens = ["<blank>", "a", "b", "<sos/eos>"]
    model = build_asr(seed=3, tokens=tokens, ctc_weight=1.0)
    short = {"speech": batch["speech"][:2, :19], "speech_lengths": torch.tensor([19, 19])}
    outputs = outputs_of(model, short)
    frames = int(outputs.encoder_out_lens[0])
    log_probs = outputs.ctc_logits.log_softmax(-1)
    nbest = find_nbest(model, outputs, 2)
    for row in range(2):
        totals = {}
        for path in itertools.product(range(3), repeat=frames):
            merged = tuple(s for s, _ in itertools.groupby(path) if s)
            score = sum(log_probs[row, t, s] for t, s in enumerate(path))
            totals.setdefault(merged, []).append(score)
        totals = {y: torch.stack(s).logsumexp(0).item() for y, s in totals.items()}
        best = max(totals, key=totals.get)
        length = int(nbest.lengths[row, 0])
        found = tuple(nbest.tokens[row, 0, :length].tolist())
        assert found == best
        # The search's score takes every path in, the end of sentence's share aside.
        assert nbest.log_probs[row, 0].item() == pytest.approx(totals[best], abs=0.3)


def recurrent(seed: int) -> torch.nn.Module:
    """A hybrid whose decoder scores one hypothesis at a time."""
    conf = {"hidden_size": 8, "num_layers": 1}
    return build_asr(seed=seed, decoder="rnn", decoder_conf=conf)


@pytest.mark.parametrize("build", [build_asr, transducer, recurrent])
def test_hybrids_and_transducers(build, batch):
    model = build(seed=2)
    nbest = find_nbest(model, outputs_of(model, batch), 3)
    assert nbest.tokens.shape[:2] == (3, 3)
    found = nbest.lengths >= 0
    assert found[:, 0].all()
    ordered = nbest.log_probs.diff(dim=1)[found[:, 1:]]
    assert (ordered <= 0).all()
    for row, place in found.nonzero().tolist():
        tokens = nbest.tokens[row, place, : nbest.lengths[row, place]]
        assert not ({0, len(model.token_list) - 1} & set(tokens.tolist()))


def test_it_keeps_quiet_and_leaves_random_numbers_alone(student, teacher, batch, caplog):
    terms = [{"type": "token_nbest", "weight": 0.1}, {"type": "ctc_nbest", "weight": 0.1}]
    espnet_kd.attach(student, {"losses": terms}, teacher)
    with caplog.at_level(logging.INFO):
        loss, stats, _ = student.train()(**clone(batch))
    told = {record.name for record in caplog.records}
    assert told == {"espnet_kd.hook.first_batch"}
    loss.sum().backward()
    assert stats["loss_kd_token_nbest"].item() > 0
    assert stats["loss_kd_ctc_nbest"].item() > 0
    assert student.decoder.output_layer.weight.grad.abs().sum() > 0
