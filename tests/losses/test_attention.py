"""Attention losses on ESPnet's own attention modules."""

import pytest
import torch
from conftest import ENCODER, build_asr, clone, said_by_student

import espnet_kd
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.losses.attention import bridge_maps
from espnet_kd.model.outputs import Hidden

LAYER = {
    "student": "encoder.encoders.1.self_attn",
    "teacher": "encoder.encoders.2.self_attn",
}


def example(batch):
    return {key: batch[key] for key in ("speech", "speech_lengths")}


def attach(student, teacher, batch, **term):
    conf = {"losses": [{"weight": 1.0, **LAYER, **term}]}
    return espnet_kd.attach(student, conf, teacher, example=example(batch))


def test_the_map_is_the_softmax_of_the_module(student, teacher, batch):
    """Recorded as it was in this pass, by hand from the module's own projections."""
    seen = {}
    layer = student.encoder.encoders[1].self_attn
    for name in ("linear_q", "linear_k"):
        getattr(layer, name).register_forward_hook(
            lambda m, a, o, name=name: seen.setdefault(name, o.detach())
        )
    attachment = attach(student, teacher, batch, type="attention_kl")
    values = {}
    term = attachment.objective.terms[0].loss
    run = term.forward

    def spy(ours, theirs):
        values["maps"] = ours.hidden["encoder.encoders.1.self_attn:attn"]
        return run(ours, theirs)

    term.forward = spy
    student.eval()(**clone(batch))
    maps = values["maps"].values
    q, k = (z.unflatten(-1, (2, 4)).transpose(1, 2) for z in seen.values())
    scores = q @ k.transpose(2, 3) / 4**0.5
    length = int(values["maps"].lengths[1])
    expected = scores[1, :, :length, :length].softmax(-1)
    torch.testing.assert_close(maps[1, :, :length, :length], expected)


@pytest.mark.parametrize("kind", ["attention_kl", "relation_kl"])
def test_other_head_counts_and_widths_teach(kind, batch):
    heads = {"attention_heads": 4, "linear_units": 16, "output_size": 12, "num_blocks": 3}
    student, teacher = build_asr(seed=1), build_asr(seed=2, encoder_conf=heads)
    more = {"heads": 4} if kind == "relation_kl" else {}
    attach(student, teacher, batch, type=kind, **more)
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    assert stats[f"loss_kd_{kind}"].item() > 0
    grad = student.encoder.encoders[1].self_attn.linear_q.weight.grad
    assert grad.isfinite().all()
    assert grad.abs().sum() > 0


def test_a_faster_teacher_is_bridged_in_both_axes():
    """Four teacher frames for two of the student's: means of 2 x 2."""
    maps = torch.tensor([[[[0.4, 0.4, 0.1, 0.1]] * 2 + [[0.0, 0.2, 0.2, 0.6]] * 2]])
    bridged = bridge_maps(Hidden(maps, torch.tensor([4])), torch.tensor([2]))
    expected = torch.tensor([[[[0.4, 0.1], [0.1, 0.4]]]])
    torch.testing.assert_close(bridged, expected)


def test_a_module_without_a_map_is_named(student, teacher, batch):
    term = {"student": "encoder.after_norm", "teacher": LAYER["teacher"]}
    conf = {"losses": [{"type": "attention_kl", "weight": 1.0, **term}]}
    message = r"the student's 'encoder.after_norm:attn' gives no attention map.*flash"
    with pytest.raises(KDError, match=message):
        espnet_kd.attach(student, conf, teacher, example=example(batch))


def test_relation_heads_must_divide_both_widths(student, teacher, batch):
    with pytest.raises(
        KDError, match=r"5 relation heads do not divide the student's width of 8"
    ):
        attach(student, teacher, batch, type="relation_kl", heads=5)


def test_intermediate_heads_of_ctc(teacher, batch, monkeypatch):
    layers = {"output_size": 8, "num_blocks": 3, "attention_heads": 2, "linear_units": 16}
    student = build_asr(
        seed=1,
        encoder_conf=layers | {"interctc_layer_idx": [1, 2]},
        model_conf={"ctc_weight": 0.3, "interctc_weight": 0.3},
    )
    heads = []
    student.ctc.ctc_lo.register_forward_hook(lambda m, a, o: heads.append(o.detach()))
    terms = [
        {"type": "ctc_frame_kl", "weight": 1.0, "head": n, "name": f"h{n}"} for n in (1, 2)
    ]
    attachment = espnet_kd.attach(student, {"losses": terms}, teacher)
    said = said_by_student(attachment, monkeypatch)
    _, stats, _ = student.train()(**clone(batch))
    # ESPnet applies the layer to the final output first, then to each of the others.
    torch.testing.assert_close(said[0].interctc_logits[1].detach(), heads[1])
    torch.testing.assert_close(said[0].interctc_logits[2].detach(), heads[2])
    assert stats["loss_kd_h1"].item() != stats["loss_kd_h2"].item()


def test_a_head_that_is_not_there_is_named(student, teacher):
    conf = {"losses": [{"type": "ctc_frame_kl", "weight": 1.0, "head": 4}]}
    with pytest.raises(
        ConfigError, match=r"the student has no intermediate CTC .*'head: 4'.*none"
    ):
        espnet_kd.attach(student, conf, teacher)


@pytest.mark.parametrize("kind", ["attention_kl", "relation_kl"])
def test_a_layer_that_runs_over_blocks_is_refused(kind, teacher):
    """Of a streaming encoder: a row is a block there, of which an utterance has several."""
    streaming = ENCODER | {"output_size": 8, "num_blocks": 2, "look_ahead": 2}
    streaming |= {"block_size": 8, "hop_size": 4}
    model = build_asr(encoder="contextual_block_transformer", encoder_conf=streaming)
    module = "encoder.encoders.0.self_attn"
    term = {"type": kind, "weight": 1.0, "student": module, "teacher": module}
    term |= {"heads": 2} if kind == "relation_kl" else {}
    example = {"speech": torch.zeros(1, 200, 20), "speech_lengths": torch.tensor([200])}
    with pytest.raises(KDError, match=r"the student's tap .*blocks.*tap 'encoder'"):
        espnet_kd.attach(model, {"losses": [term]}, teacher, example=example)
