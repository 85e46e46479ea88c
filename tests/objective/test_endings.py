"""Terms that end when the validation shows no gain: by hand, in a training, resumed."""

from types import SimpleNamespace

import pytest
import torch
import yaml
from conftest import clone
from lightning.pytorch.trainer.states import TrainerFn
from training import arguments, equal, weights

import espnet_kd
from espnet_kd.config.parse import parse_config
from espnet_kd.config.schema import LossTermConfig
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.losses import LOSSES
from espnet_kd.objective.endings import Endings
from espnet_kd.tasks.lightning import DistillationCallback

CTC = {"type": "ctc_frame_kl", "weight": 0.3}
TOKEN = {"type": "token_kl", "weight": 0.7}


def endings(**patience):
    """Terms of these names, each with its patience; 0 for one that goes on."""
    return Endings(
        LossTermConfig(name, 1.0, name, {}, until="no_gain" * bool(most), patience=most)
        for name, most in patience.items()
    )


def validated(parts, **values):
    for name, value in values.items():
        parts.note({name: torch.tensor(value)}, 1)
    parts.judge()
    return parts.ended


def test_it_ends_after_so_many_validations_without_a_new_lowest(caplog):
    parts = endings(a=2, b=1, c=0)
    with caplog.at_level("INFO"):
        assert validated(parts, a=3.0, b=3.0, c=1.0) == set()
        assert validated(parts, a=3.0, b=2.0, c=1.0) == set(), "a: once"
        assert validated(parts, a=2.0, b=2.0, c=1.0) == {"b"}, "a has gained anew"
        assert validated(parts, a=2.5, b=1.0, c=1.0) == {"b"}, "for good"
        assert validated(parts, a=2.1, b=1.0, c=1.0) == {"a", "b"}
        validated(parts, a=1.0, b=1.0)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "b ends: in 1 validations one after the other it was not below 2, last 2",
        "a ends: in 2 validations one after the other it was not below 2, last 2.1",
    ]


def test_the_figure_is_the_mean_over_utterances():
    """2 of one utterance and 5 of two are 4: below 4.5, though the mean of both is not."""
    parts = endings(a=1)
    validated(parts, a=4.1)
    parts.note({"a": torch.tensor(2.0)}, torch.tensor([1]))
    parts.note({"a": torch.tensor(5.0)}, torch.tensor([2]))
    parts.judge()
    assert parts.ended == set()
    assert parts.lowest == {"a": 4.0}


def test_a_value_that_is_no_number_is_no_gain():
    assert validated(endings(a=1), a=float("nan")) == {"a"}


def test_what_was_no_validation_of_the_training_is_dropped():
    parts = endings(a=1)
    parts.note({"a": torch.tensor(0.0)}, 1)
    parts.forget()
    parts.judge()
    assert validated(parts, a=1.0) == set()


def test_a_resumed_run_goes_on_judging():
    first, second = endings(a=2), endings(a=2)
    for value in (1.0, 2.0):
        validated(first, a=value)
    second.load_state_dict(first.state_dict())
    assert validated(second, a=3.0) == {"a"}
    with pytest.raises(KDError, match="it has terms that end: a, this run b"):
        endings(b=1).load_state_dict(first.state_dict())


def passes(student, batch):
    """Stats of a validation and of the training pass behind it."""
    with torch.no_grad():
        valid = student.eval()(**clone(batch))[1]
    return valid, student.train()(**clone(batch))[1]


def test_in_the_training_alone_it_counts_nothing_any_more(student, teacher, batch):
    ran = []
    teacher.encoder.register_forward_hook(lambda *_: ran.append(1))
    terms = [CTC | {"until": "no_gain", "patience": 1}, TOKEN]
    attached = espnet_kd.attach(student, {"losses": terms}, teacher)
    first, before = passes(student, batch)
    for _ in range(2):  # the student stays as it is, so that nothing is gained
        valid, train = passes(student, batch)
        assert valid["loss_kd"] == first["loss_kd"], "one function in every epoch"
        assert train["loss_kd_ctc_frame_kl"] > 0, "the other term asks the teacher yet"
        wanted = TOKEN["weight"] * train["loss_kd_token_kl"].item()
        assert train["loss_kd"].item() == pytest.approx(wanted)
    assert before["loss_kd"] > before["loss_kd_token_kl"] * TOKEN["weight"]
    assert attached.objective.idle() == []
    assert len(ran) == 6


def test_when_all_have_ended_the_teacher_is_not_asked(student, teacher, batch):
    ran = []
    teacher.encoder.register_forward_hook(lambda *_: ran.append(1))
    terms = [CTC | {"until": "no_gain", "patience": 1}]
    conf = {"losses": terms, "gradients": {"every": 1}}
    attached = espnet_kd.attach(student, conf, teacher)
    passes(student, batch)
    attached.step = 1
    _, train = passes(student, batch)
    assert train["loss_kd"].item() == 0
    assert "loss_kd_ctc_frame_kl" not in train
    assert len(ran) == 3, "two validations and one pass of training"


@pytest.mark.slow
def test_a_training_ends_a_term_and_a_resume_knows(features, tmp_path):
    """Nothing is learned at a rate of 0, so that the second epoch gains nothing."""
    from espnet_kd.tasks.variants import KDASRTask

    KDASRTask.main(cmd=arguments(features, tmp_path / "t", role="teacher", max_epoch=1))
    terms = [CTC | {"until": "no_gain", "patience": 1}]
    conf = {"teachers": [{"exp": str(tmp_path / "t")}], "losses": terms}
    (tmp_path / "kd.yaml").write_text(yaml.safe_dump(conf))
    kd = ["--kd_conf", str(tmp_path / "kd.yaml")]
    for name, runs in (("whole", (3,)), ("resumed", (2, 3))):
        for epochs in runs:
            still = {"optim_conf": {"lr": 0.0}, "max_epoch": epochs}
            KDASRTask.main(cmd=[*arguments(features, tmp_path / name, **still), *kd])
        state = torch.load(tmp_path / name / "checkpoint.pth", weights_only=False)
        stats = state["reporter"]["stats"]
        assert [stats[n]["train"]["loss_kd"] > 0 for n in (1, 2, 3)] == [1, 1, 0]
        assert stats[3]["valid"]["loss_kd"] == pytest.approx(stats[1]["valid"]["loss_kd"])
        assert state["optimizers"][0]["espnet_kd"]["until"]["stale"] == {"ctc_frame_kl": 1}
    assert equal(weights(tmp_path / "whole", 3), weights(tmp_path / "resumed", 3))


def test_under_lightning_a_sanity_check_is_no_validation(student, teacher, batch):
    terms = [CTC | {"until": "no_gain", "patience": 1}]
    attached = espnet_kd.attach(student, {"losses": terms}, teacher)
    callback = DistillationCallback(lambda: attached)
    callback.on_validation_end(SimpleNamespace())  # before any fit
    callback._attachment = attached
    for checking, fn in (
        (True, "fit"),
        (False, "fit"),
        (False, "validate"),
        (False, "fit"),
    ):
        assert attached.objective.endings.ended == set()
        with torch.no_grad():
            student.eval()(**clone(batch))
        state = SimpleNamespace(fn=TrainerFn(fn))
        callback.on_validation_end(SimpleNamespace(sanity_checking=checking, state=state))
    assert attached.objective.endings.ended == {"ctc_frame_kl"}


@pytest.mark.parametrize(
    ("terms", "more", "text"),
    [
        ([CTC | {"until": "gain"}], {}, r"losses\[0\]\.until: got 'gain'.*known: no_gain"),
        ([CTC | {"patience": 2}], {}, r"patience: belongs to 'until: no_gain'"),
        ([CTC | {"until": "no_gain", "patience": 0}], {}, "validations of at least 1"),
        ([CTC | {"until": "no_gain", "weight": 0}], {}, "this one's 'weight' is 0"),
        ([{"type": "cr_ctc", "weight": 1, "until": "no_gain"}], {}, "'cr_ctc' has none"),
        ([CTC | {"until": "no_gain"}], {"task_weight": 0}, "every term may end by its"),
    ],
)
def test_what_cannot_end_is_said(terms, more, text):
    teachers = [] if terms[0]["type"] == "cr_ctc" else [{"exp": "a"}]
    with pytest.raises(ConfigError, match=text):
        parse_config({"teachers": teachers, "losses": terms, **more}, LOSSES)
