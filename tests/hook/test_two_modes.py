"""A streaming student in its blocks and whole, in one pass: each teaches the other."""

import pytest
import torch
from conftest import ENCODER, build_asr, clone, said_by_student, transducer
from training import MASKS, SPECAUG

import espnet_kd
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.hook.two_modes import TwoModes
from espnet_kd.losses import cr_ctc, transducer_mode_consistency
from espnet_kd.model.context import full_context
from espnet_kd.model.training_part import TrainingPass

MODES = {"losses": [{"type": "mode_consistency", "weight": 0.2}]}
LATTICE = {"losses": [{"type": "transducer_mode_consistency", "weight": 2.0}]}
BLOCKS = ENCODER | {"output_size": 8, "num_blocks": 2, "dropout_rate": 0.0}
BLOCKS |= {"block_size": 6, "hop_size": 3, "look_ahead": 2}
KINDS = ["contextual_block_transformer", "contextual_block_conformer"]
# No random number, so that a pass can be repeated by hand.
STILL = {"attention_heads": 2, "linear_units": 16, "num_blocks": 1, "dropout_rate": 0.0}
STILL |= {"positional_dropout_rate": 0.0, "self_attention_dropout_rate": 0.0}
STILL |= {"src_attention_dropout_rate": 0.0}


def streaming(kind=KINDS[0], **more):
    return build_asr(1, encoder=kind, encoder_conf=BLOCKS, decoder_conf=STILL, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_is_both_modes_run_by_hand(kind, batch, monkeypatch):
    model = streaming(kind)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    said = said_by_student(espnet_kd.attach(model, MODES), monkeypatch)
    loss, stats, weight = model.train()(**clone(batch))
    assert weight.tolist() == [3], "an utterance counts once"
    total = stats["loss_task"] + 0.2 * stats["loss_kd_mode_consistency"]
    torch.testing.assert_close(loss.detach(), total)
    alone = streaming(kind).train()
    alone.load_state_dict(state)
    speech, lens = batch["speech"], batch["speech_lengths"]
    blocks, out_lens = alone.encode(speech.clone(), lens)
    own = alone(**clone(batch))[0]
    with full_context(alone.encoder):
        whole, _ = alone.encode(speech.clone(), lens)
        other = alone(**clone(batch))[0]
    (outputs,) = said
    assert outputs.encoder_out_lens.tolist() == out_lens.tolist() * 2
    torch.testing.assert_close(outputs.encoder_out, torch.cat([blocks, whole]))
    assert not torch.allclose(blocks, whole)
    torch.testing.assert_close(stats["loss_task"], ((own + other) / 2).detach().reshape(1))
    logits = (alone.ctc.ctc_lo(blocks), alone.ctc.ctc_lo(whole))
    expected = cr_ctc(*logits, out_lens).detach()
    torch.testing.assert_close(stats["loss_kd_mode_consistency"][0], expected)
    # By one set of weights, and the gradients of both.
    assert model.state_dict().keys() == state.keys()
    loss.sum().backward()
    ((own + other).sum() / 2 + 0.2 * cr_ctc(*logits, out_lens)).backward()
    for (name, one), (_, two) in zip(
        model.named_parameters(), alone.named_parameters(), strict=True
    ):
        torch.testing.assert_close(one.grad, two.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_a_transducers_lattice_in_both_modes(batch, monkeypatch):
    model = transducer(encoder=KINDS[1], encoder_conf=BLOCKS)
    kd = {"losses": LATTICE["losses"] + MODES["losses"]}
    said = said_by_student(espnet_kd.attach(model, kd), monkeypatch)
    _, stats, _ = model.train()(**clone(batch))
    (outputs,) = said
    lattice = outputs.joint_logits
    assert len(lattice) == 6
    lens = outputs.encoder_out_lens[:3]
    given = (lens, batch["text"], batch["text_lengths"])
    expected = transducer_mode_consistency(lattice[:3], lattice[3:], *given)
    torch.testing.assert_close(
        stats["loss_kd_transducer_mode_consistency"][0], expected.detach()
    )
    assert stats["loss_kd_mode_consistency"] > 0


@pytest.mark.parametrize("conf", [MASKS, SPECAUG], ids=["masks", "warp"])
def test_both_modes_hear_the_same_features(conf, batch):
    model = streaming(specaug="specaug", specaug_conf=conf)
    espnet_kd.attach(model, MODES)
    heard, run = [], model.encoder.forward

    def keep(xs_pad, *more):
        heard.append((xs_pad.clone(), model.encoder.block_size))
        return run(xs_pad, *more)

    model.encoder.forward = keep
    model.train()(**clone(batch))
    (blocks, size), (whole, none) = heard
    assert (size, none) == (6, 0)
    assert torch.equal(blocks, whole)
    assert not torch.equal(blocks, batch["speech"]), "it is augmented"


def test_a_teacher_hears_the_time_warp_of_both_modes(batch):
    """The warp is of the first half; the teacher's batch is doubled as the student's is."""
    still = {"apply_freq_mask": False, "apply_time_mask": False}
    model = streaming(specaug="specaug", specaug_conf=SPECAUG | still)
    guest, heard = build_asr(2), {}
    kd = {"losses": [*MODES["losses"], {"type": "ctc_shift_kl", "weight": 0.3}]}
    espnet_kd.attach(model, kd, guest)
    for name, encoder in (("student", model.encoder), ("teacher", guest.encoder)):
        encoder.register_forward_pre_hook(
            lambda m, args, name=name: heard.update({name: args[0].clone()})
        )
    model.train()(**clone(batch))
    assert len(heard["student"]) == len(heard["teacher"]) == 6
    assert torch.equal(heard["teacher"][:3], heard["teacher"][3:])
    assert torch.equal(heard["teacher"][:3], heard["student"][:3])
    assert not torch.equal(heard["teacher"][:3], batch["speech"]), "it is warped"


def test_evaluation_has_the_students_own_mode(batch):
    model = streaming()
    plain = model.eval()(**clone(batch))[0]
    espnet_kd.attach(model, MODES)
    with torch.no_grad():
        loss, stats, weight = model(**clone(batch))
    torch.testing.assert_close(loss, plain.detach())
    assert stats["loss_kd_mode_consistency"].item() == 0
    assert weight.tolist() == [3]


def test_an_interrupted_pass_leaves_no_hook_and_no_switch(batch):
    model = streaming(specaug="specaug", specaug_conf=MASKS)
    attachment = espnet_kd.attach(model, MODES)
    model.train()
    with pytest.raises(TypeError):
        model(**clone({k: v for k, v in batch.items() if k != "text_lengths"}))
    model(**clone(batch))
    espnet_kd.detach(model)
    for module in (model.encoder, model.specaug):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert model.encoder.block_size == 6
    assert attachment.step == 1


def test_an_offline_teacher_may_teach_beside_it(teacher, batch, caplog):
    """Labels, shifted frames and the encoder's output are compared in both modes."""
    terms = [
        *MODES["losses"],
        {"type": "ctc_shift_kl", "weight": 0.3},
        {"type": "token_kl", "weight": 1.0},
        {"type": "hidden_mse", "weight": 0.1, "student": "encoder", "teacher": "encoder"},
    ]
    model = streaming()
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    espnet_kd.attach(model, {"losses": terms}, teacher, example=example)
    loss, stats, _ = model.train()(**clone(batch))
    loss.sum().backward()
    assert all(stats[f"loss_kd_{term['type']}"] > 0 for term in terms)
    assert "makes streaming students worse" not in caplog.text


def test_the_batch_is_doubled_in_training_only(batch):
    parts = TwoModes(streaming())
    still = TrainingPass(parts.model, batch, 0, False)
    parts.before_pass(still)
    assert still.batch is batch
    learns = TrainingPass(parts.model, batch, 0, True)
    parts.before_pass(learns)
    assert learns.batch["utt_id"] == batch["utt_id"] * 2
    assert learns.doubled
    parts.remove()


def test_a_student_of_one_mode_is_refused(student):
    with pytest.raises(ConfigError, match=r"encoder \(TransformerEncoder\) hears the same"):
        espnet_kd.attach(student, MODES)


def test_a_layer_that_runs_in_both_modes_is_no_tap(teacher, batch):
    tap = {"type": "hidden_mse", "weight": 0.1, "teacher": "encoder.encoders.1"}
    terms = [*MODES["losses"], tap | {"student": "encoder.encoders.0"}]
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    with pytest.raises(
        ConfigError, match=r"'encoder.encoders.0' is two things; tap its ou"
    ):
        espnet_kd.attach(streaming(), {"losses": terms}, teacher, example=example)


def test_modes_and_views_are_not_had_together():
    model = streaming(specaug="specaug", specaug_conf=MASKS)
    terms = [*MODES["losses"], {"type": "cr_ctc", "weight": 0.2}]
    with pytest.raises(KDError, match=r"put each batch twice into one pass, each in it"):
        espnet_kd.attach(model, {"losses": terms})
