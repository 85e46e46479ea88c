"""attach and detach on real ESPnet models."""

import copy

import pytest
import torch
from conftest import TOKENS, build_asr, clone, said_by_student

import espnet_kd
from espnet_kd.errors import AlignmentError, ConfigError, KDError, TeacherError
from espnet_kd.hook.attach import attachment_of
from espnet_kd.hook.projections import PROJECTIONS

CTC = {"type": "ctc_frame_kl", "weight": 0.3}
TOKEN = {"type": "token_kl", "weight": 0.7, "temperature": 2.0}
HIDDEN = {
    "type": "hidden_l1_cosine",
    "weight": 0.1,
    "student": "encoder.encoders.1",
    "teacher": "encoder.encoders.2",
}


def conf(*losses, **more):
    return {"losses": list(losses), **more}


def example(batch):
    return {key: batch[key] for key in ("speech", "speech_lengths")}


def test_terms_join_the_loss_and_the_stats(student, teacher, batch):
    student.eval()
    plain, _, weight = student(**clone(batch))
    espnet_kd.attach(student, conf(CTC, TOKEN), teacher)
    loss, stats, kd_weight = student(**clone(batch))
    assert loss.shape == plain.shape
    assert kd_weight.item() == weight.item() == 3
    torch.testing.assert_close(stats["loss_task"], plain)
    expected = 0.3 * stats["loss_kd_ctc_frame_kl"] + 0.7 * stats["loss_kd_token_kl"]
    torch.testing.assert_close(stats["loss_kd"], expected)
    torch.testing.assert_close(loss, plain + stats["loss_kd"])
    torch.testing.assert_close(stats["loss"], loss.detach())
    assert {"loss_ctc", "loss_att", "acc"} <= stats.keys()


def test_values_equal_the_models_run_by_hand(student, teacher, batch):
    student.eval(), teacher.eval()
    with torch.no_grad():
        logits = []
        for model in (student, teacher):
            out, lens = model.encode(batch["speech"].clone(), batch["speech_lengths"])
            logits.append(model.ctc.ctc_lo(out))
        total = 0.0
        for row, length in enumerate(lens.tolist()):
            q, p = (z[row, :length].log_softmax(-1) for z in logits)
            total += (p.exp() * (p - q)).sum().item()
    espnet_kd.attach(student, conf(CTC), teacher)
    _, stats, _ = student(**clone(batch))
    assert stats["loss_kd_ctc_frame_kl"].item() == pytest.approx(total / 3, rel=1e-4)


def test_same_keys_in_training_and_validation(student, teacher, batch):
    attachment = espnet_kd.attach(
        student, conf(CTC, TOKEN, HIDDEN), teacher, example=example(batch)
    )
    trained = student.train()(**clone(batch))[1].keys()
    with torch.no_grad():
        valid = student.eval()(**clone(batch))[1].keys()
    assert [k for k in trained if "kd" in k] == [k for k in valid if "kd" in k]
    assert attachment.passes == 1


def test_gradients_reach_the_student_and_never_the_teacher(student, teacher, batch):
    espnet_kd.attach(
        student,
        conf(CTC, TOKEN, HIDDEN, task_weight=0),
        teacher,
        example=example(batch),
    )
    before = copy.deepcopy(teacher.state_dict())
    student.train()(**clone(batch))[0].sum().backward()
    for name in ("encoder.encoders.0", "ctc.ctc_lo", "decoder.output_layer"):
        assert any(
            p.grad.abs().sum() > 0 for p in student.get_submodule(name).parameters()
        ), name
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert not teacher.training
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_teacher_is_in_no_part_of_the_student(student, teacher, batch):
    keys, count = list(student.state_dict()), len(list(student.modules()))
    parameters = len(list(student.parameters()))
    espnet_kd.attach(student, conf(CTC, TOKEN), teacher)
    student(**clone(batch))
    assert list(student.state_dict()) == keys
    assert len(list(student.modules())) == count
    assert len(list(student.parameters())) == parameters


def test_projections_train_but_are_in_no_state_dict(student, teacher, batch):
    keys = list(student.state_dict())
    espnet_kd.attach(student, conf(HIDDEN), teacher, example=example(batch))
    extra = [n for n, _ in student.named_parameters() if n.startswith(PROJECTIONS)]
    assert len(extra) == 2
    assert list(student.state_dict()) == keys
    student.load_state_dict(student.state_dict(), strict=True)
    student(**clone(batch))[0].sum().backward()
    assert all(p.grad is not None for p in student._modules[PROJECTIONS].parameters())


def test_detach_leaves_no_trace(student, teacher, batch):
    espnet_kd.attach(student, conf(HIDDEN), teacher, example=example(batch))
    student(**clone(batch))
    espnet_kd.detach(student)
    assert attachment_of(student) is None
    assert PROJECTIONS not in student._modules
    for module in student.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert "loss_kd" not in student(**clone(batch))[1]
    espnet_kd.detach(student)  # and again does no harm


def test_weights_of_zero_give_the_stock_gradients_bit_for_bit(teacher, batch):
    results = []
    for attached in (False, True):
        masks = {"time_mask_width_range": [1, 9]}
        model = build_asr(seed=1, specaug="specaug", specaug_conf=masks)
        if attached:
            terms = [term | {"weight": 0} for term in (CTC, TOKEN, HIDDEN)]
            espnet_kd.attach(model, conf(*terms), teacher, example=example(batch))
        torch.manual_seed(5)
        loss = model.train()(**clone(batch))[0]
        loss.sum().backward()
        results.append([loss, torch.rand(1), *(p.grad for p in model.parameters())])
    for stock, ours in zip(*results, strict=True):
        assert torch.equal(stock, ours)


def test_the_teacher_hears_the_batch_as_it_came(teacher, batch):
    # Without a front end the student normalises the batch in place.
    model = build_asr(seed=1, normalize="utterance_mvn")
    original = clone(batch)
    with torch.no_grad():
        expected = teacher.eval().encode(original["speech"], batch["speech_lengths"])[0]
    attachment = espnet_kd.attach(model, conf(CTC), teacher)
    heard = {}
    run = attachment.teacher.__call__

    def spy(question):
        heard["speech"] = question.batch["speech"].clone()
        return run(question)

    attachment.teacher = spy
    given = clone(batch)
    model(**given)
    assert not torch.equal(given["speech"], batch["speech"]), "the premise"
    assert torch.equal(heard["speech"], batch["speech"])
    assert expected.isfinite().all()


def test_view_same_gives_the_teacher_the_masked_features(teacher, batch):
    mask = {"freq_mask_width_range": [5, 9], "time_mask_width_range": [5, 9]}
    mask |= {"apply_time_warp": False}
    model = build_asr(seed=1, specaug="specaug", specaug_conf=mask)
    kinds = {}
    for view in ("clean", "same"):
        from espnet_kd.teachers.live import LiveTeacher

        guest = LiveTeacher(copy.deepcopy(teacher), view=view)
        espnet_kd.attach(model, conf(CTC | {"reduction": "token"}), guest)
        seen = []
        guest.model.encoder.register_forward_pre_hook(lambda m, a, s=seen: s.append(a[0]))
        torch.manual_seed(3)
        model.train()(**clone(batch))
        kinds[view] = seen[0]
        espnet_kd.detach(model)
    torch.testing.assert_close(kinds["clean"], batch["speech"])
    masked = kinds["same"] != batch["speech"]
    assert masked.any()
    assert (kinds["same"][masked] == 0).all()


def test_outputs_that_are_no_training_triple_pass_through(teacher):
    class Embedder(torch.nn.Module):
        """Gives an embedding, as speaker models do when asked for one."""

        def __init__(self):
            super().__init__()
            self.inner = build_asr(seed=1)
            self.token_list = TOKENS
            self.encoder, self.ctc = self.inner.encoder, self.inner.ctc

        def forward(self, speech, **kwargs):
            return speech * 2

    model = Embedder()
    espnet_kd.attach(model, conf(CTC), teacher)
    assert torch.equal(model(speech=torch.ones(2)), torch.full((2,), 2.0))


def test_the_dict_form_is_kept(student, teacher, batch):
    stock = student.forward
    student.forward = lambda **b: dict(
        zip(("loss", "stats", "weight"), stock(**b), strict=True), optim_idx=0
    )
    espnet_kd.attach(student, conf(CTC), teacher)
    result = student(**clone(batch))
    assert result["optim_idx"] == 0
    torch.testing.assert_close(
        result["loss"].detach(),
        result["stats"]["loss_task"] + result["stats"]["loss_kd"],
    )


def test_an_interrupted_pass_leaves_nothing_behind(student, teacher, batch):
    espnet_kd.attach(student, conf(CTC, TOKEN), teacher)
    bad = clone(batch) | {"text_lengths": torch.tensor([1])}
    with pytest.raises(AssertionError):
        student(**bad)
    assert "loss_kd" in student(**clone(batch))[1]
    assert not student.encoder._forward_hooks


def test_attention_plots_run_without_the_teacher(student, teacher, batch):
    attachment = espnet_kd.attach(student, conf(CTC), teacher)
    with attachment.paused():
        assert "loss_kd" not in student(**clone(batch))[1]
    assert "loss_kd" in student(**clone(batch))[1]


def test_intermediate_ctc_does_not_confuse_the_final_one(teacher, batch, monkeypatch):
    from conftest import ENCODER

    conf_ = ENCODER | {"output_size": 8, "num_blocks": 2, "interctc_layer_idx": [1]}
    model = build_asr(
        seed=1,
        encoder="conformer",
        encoder_conf=conf_ | {"interctc_use_conditioning": True},
        model_conf={"ctc_weight": 0.3, "interctc_weight": 0.5},
    )
    espnet_kd.attach(model, conf(CTC), teacher)
    final = []
    model.encoder.register_forward_hook(lambda m, a, o: final.append(o[0][0]))
    said = said_by_student(attachment_of(model), monkeypatch)
    model.train()(**clone(batch))
    torch.testing.assert_close(said[0].ctc_logits, model.ctc.ctc_lo(final[0]))


def test_bfloat16_autocast_stays_finite(student, teacher, batch):
    espnet_kd.attach(student, conf(CTC, TOKEN, HIDDEN), teacher, example=example(batch))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, stats, _ = student(**clone(batch))
    loss.sum().backward()
    assert all(v.isfinite().all() for k, v in stats.items() if "kd" in k)
    assert all(p.grad.isfinite().all() for p in student.parameters() if p.grad is not None)


def test_adapters_put_in_after_attaching_still_feed_the_taps(teacher, batch):
    pytest.importorskip("loralib")
    from espnet2.layers.create_adapter import create_adapter

    model = build_asr(seed=1)
    espnet_kd.attach(model, conf(HIDDEN), teacher, example=example(batch))
    create_adapter(model, "lora", {"target_modules": ["linear_q"], "rank": 2})
    loss, stats, _ = model(**clone(batch))
    assert stats["loss_kd_hidden_l1_cosine"].item() > 0
    loss.sum().backward()


def test_the_warm_up_counts_training_passes_only(student, teacher, batch):
    attachment = espnet_kd.attach(student, conf(CTC), teacher)
    attachment.count_from(2, accum_grad=3)
    steps = [attachment.step]
    for _ in range(4):
        student.train()(**clone(batch))
        steps.append(attachment.step)
    assert steps == [2, 2, 2, 3, 3]
    with torch.no_grad():
        student.eval()(**clone(batch))
    assert attachment.passes == 4


def test_an_utterance_without_text_is_taught_like_any_other(student, teacher, batch):
    batch["text"][2] = -1
    batch["text_lengths"][2] = 0
    espnet_kd.attach(student, conf(CTC, TOKEN), teacher)
    loss, stats, _ = student(**clone(batch))
    loss.sum().backward()
    assert all(v.isfinite().all() for k, v in stats.items() if "kd" in k)


# What a user can do wrong


def test_attaching_twice_is_refused(student, teacher):
    espnet_kd.attach(student, conf(CTC), teacher)
    with pytest.raises(KDError, match=r"distilled already; call detach\(model\) first"):
        espnet_kd.attach(student, conf(CTC), teacher)


def test_several_teachers_are_named_in_the_configuration(student, teacher):
    with pytest.raises(KDError, match="one model; name several under 'teachers'"):
        espnet_kd.attach(student, conf(CTC), [teacher, teacher])


def test_unknown_taps_of_both_sides_are_reported_together(student, teacher, batch):
    bad = HIDDEN | {"student": "encoder.encoders.7", "teacher": "encoder.encoders.9"}
    with pytest.raises(ConfigError) as error:
        espnet_kd.attach(student, conf(bad), teacher, example=example(batch))
    text = str(error.value)
    assert "the student: no module 'encoder.encoders.7'" in text
    assert "the teacher: no module 'encoder.encoders.9'; it has encoder.encoders.0" in text


def test_a_missing_decoder_or_ctc_is_named(teacher):
    ctc_only = build_asr(seed=1, ctc_weight=1.0)
    with pytest.raises(ConfigError, match="the student has no attention decoder"):
        espnet_kd.attach(ctc_only, conf(TOKEN), teacher)
    attention_only = build_asr(seed=1, ctc_weight=0.0)
    with pytest.raises(ConfigError, match="the student has no CTC layer"):
        espnet_kd.attach(attention_only, conf(CTC), teacher)


def test_another_token_list_is_refused_for_posteriors_only(teacher, batch):
    model = build_asr(seed=1, tokens=[*TOKENS[:-1], "z", "<sos/eos>"])
    with pytest.raises(AlignmentError, match="student 'z', teacher '<sos/eos>'"):
        espnet_kd.attach(model, conf(CTC), teacher)
    espnet_kd.attach(model, conf(HIDDEN), teacher, example=example(batch))
    assert "loss_kd" in model(**clone(batch))[1]


def test_a_whole_batch_of_training_is_an_example(student, teacher, batch):
    espnet_kd.attach(student, conf(HIDDEN), teacher, example=batch)
    assert "loss_kd" in student(**clone(batch))[1]


def test_features_without_example_are_asked_for(student, teacher):
    with pytest.raises(KDError, match=r"attach\(\.\.\., example=batch\)"):
        espnet_kd.attach(student, conf(HIDDEN), teacher)


def test_a_teacher_of_nan_is_named_with_its_utterance(student, teacher, batch):
    espnet_kd.attach(student, conf(CTC), teacher)
    batch["speech"][1, 3] = float("nan")
    with pytest.raises(TeacherError, match=r"CTC posteriors hold nan.*first utt-b"):
        student(**clone(batch))


def test_junk_in_the_padding_reaches_nobody(student, teacher, batch):
    espnet_kd.attach(student.eval(), conf(CTC, TOKEN), teacher)
    expected = student(**clone(batch))[0]
    # ESPnet's subsampling looks a few frames past an utterance's end, no further.
    batch["speech"][2, 45:] = 1e4
    torch.testing.assert_close(student(**clone(batch))[0], expected)


def test_replicas_of_data_parallel_are_refused(student, teacher, batch):
    espnet_kd.attach(student, conf(CTC), teacher)
    student._is_replica = True  # what DataParallel sets on its copies
    with pytest.raises(KDError, match="--multiprocessing_distributed true"):
        student(**clone(batch))
