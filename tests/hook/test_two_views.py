"""Two augmented views of a batch in one pass, for the control without a teacher."""

import pytest
import torch
from conftest import build_asr, clone
from training import SPECAUG

import espnet_kd
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.hook.two_views import TwoViews
from espnet_kd.model.training_part import TrainingPass

CR = {"losses": [{"type": "cr_ctc", "weight": 0.2}]}


@pytest.fixture
def model():
    return build_asr(seed=1, specaug="specaug", specaug_conf=SPECAUG)


def test_the_student_sees_each_utterance_twice_masked_differently(model, batch):
    heard = []
    model.specaug.register_forward_hook(lambda m, a, o: heard.append(o[0].clone()))
    espnet_kd.attach(model, CR)
    loss, stats, weight = model.train()(**clone(batch))
    loss.sum().backward()
    (features,) = heard
    assert len(features) == 6
    assert not torch.equal(features[:3], features[3:])
    assert stats["loss_kd_cr_ctc"].item() > 0
    assert weight.tolist() == [3], "an utterance counts once"
    # 0.2 of the consistency is added to the mean over both views.
    total = stats["loss_task"] + 0.2 * stats["loss_kd_cr_ctc"]
    torch.testing.assert_close(loss.detach(), total)


def test_both_views_share_one_time_warp(model, batch):
    warped = []
    views, one_pass = TwoViews(model), TrainingPass(model, batch, 0, True)
    views.before_pass(one_pass)
    doubled = one_pass.batch
    # A copy, for the masks that follow are made in place.
    model.specaug.time_warp.register_forward_hook(lambda m, a, o: warped.append(o[0] * 1))
    model.specaug(doubled["speech"].clone(), doubled["speech_lengths"])
    assert one_pass.doubled
    views.after_pass()
    assert torch.equal(warped[0][:3], warped[0][3:])
    assert not torch.equal(warped[0][:3], batch["speech"])


def test_everything_of_the_batch_is_doubled(model, batch):
    one_pass = TrainingPass(model, batch, 0, True)
    TwoViews(model).before_pass(one_pass)
    assert one_pass.batch["utt_id"] == batch["utt_id"] * 2
    assert one_pass.batch["text_lengths"].tolist() == [4, 3, 2, 4, 3, 2]
    assert len(batch["speech"]) == 3, "the caller's batch is left alone"


def test_evaluation_has_one_view_and_no_consistency(model, batch):
    espnet_kd.attach(model, CR)
    sizes = []
    model.encoder.register_forward_hook(lambda m, a, o: sizes.append(len(o[0])))
    with torch.no_grad():
        _, stats, weight = model.eval()(**clone(batch))
    assert sizes == [3]
    assert weight.tolist() == [3]
    assert stats["loss_kd_cr_ctc"].item() == 0


def test_an_interrupted_pass_leaves_no_hook(model, batch):
    espnet_kd.attach(model, CR)
    model.train()
    with pytest.raises(TypeError):
        model(**clone({k: v for k, v in batch.items() if k != "text_lengths"}))
    model(**clone(batch))
    assert not model.specaug.time_warp._forward_hooks


def test_a_teacher_may_teach_beside_it(model, teacher, batch):
    terms = [*CR["losses"], {"type": "token_kl", "weight": 1.0}]
    espnet_kd.attach(model, {"losses": terms}, teacher)
    _, stats, _ = model.train()(**clone(batch))
    assert stats["loss_kd_token_kl"].item() > 0
    assert stats["kd_agree_att"].isfinite()


def test_without_specaug_it_is_refused(student):
    with pytest.raises(ConfigError, match=r"no SpecAugment: give its config 'specaug"):
        espnet_kd.attach(student, CR)


def test_a_recurrent_encoder_is_refused():
    """It wants utterances by falling length, which a batch that is there twice has not."""
    conf = {"hidden_size": 8, "output_size": 8, "num_layers": 1, "subsample": [2, 2]}
    specaug = {"specaug": "specaug", "specaug_conf": SPECAUG}
    model = build_asr(seed=1, encoder="rnn", encoder_conf=conf, **specaug)
    with pytest.raises(ConfigError, match=r"cr_ctc.*recurrent.*Remove the term"):
        espnet_kd.attach(model, CR)


def test_a_teacher_handed_over_that_nobody_reads_is_refused(model, teacher):
    with pytest.raises(KDError, match=r"none of the losses reads a teacher; leave it out"):
        espnet_kd.attach(model, CR, teacher)


def test_a_teacher_that_nobody_reads_is_refused(model):
    with pytest.raises(ConfigError, match=r"teachers: none of the losses reads a teacher"):
        espnet_kd.attach(model, CR | {"teachers": [{"exp": "exp/teacher"}]})
