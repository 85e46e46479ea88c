"""A teacher that is asked in every n-th batch, and one that computes in bfloat16."""

import pytest
import torch
import yaml
from conftest import clone
from training import arguments, equal, weights

import espnet_kd
from espnet_kd.errors import TeacherError
from espnet_kd.model.request import Labels, Request
from espnet_kd.model.training_part import TrainingPass
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.ema import EMATeacher
from espnet_kd.teachers.lessons import Lessons
from espnet_kd.teachers.live import LiveTeacher

TERMS = [
    {"type": "ctc_frame_kl", "weight": 0.3},
    {"type": "hidden_mse", "weight": 0.5, "student": "encoder", "teacher": "encoder"},
]


def one_pass(learns=True):
    return TrainingPass(torch.nn.Linear(1, 1), {}, 0, learns)


def test_every_third_batch_counts_three_times_and_a_validation_once():
    lessons, found = Lessons(3), []
    for learns in (True, True, False, True, True, False, True):
        lessons.before_pass(one_pass(learns))
        found.append(lessons.weight)
    assert found == [3, 0, 1, 0, 3, 1, 0]


def test_a_resumed_run_goes_on_where_it_was():
    first, second = Lessons(3), Lessons(3)
    for _ in range(4):
        first.before_pass(one_pass())
    second.load_state_dict(first.state_dict())
    for lessons in (first, second):
        lessons.before_pass(one_pass())
        assert lessons.weight == 0
        lessons.before_pass(one_pass())
        assert lessons.weight == 0
        lessons.before_pass(one_pass())
        assert lessons.weight == 3


def run(student, guest, batch, passes):
    """Loss, stats and gradients of some training passes of a student without dropout."""
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    torch.manual_seed(0)
    attached = espnet_kd.attach(student, {"losses": TERMS}, guest, example=example)
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    found = []
    for _ in range(passes):
        student.train().zero_grad()
        loss, stats, _ = student(**clone(batch))
        loss.sum().backward()
        grads = {name: p.grad for name, p in student.named_parameters()}
        found.append((loss.item(), stats, grads))
    espnet_kd.detach(student)
    return found, attached


def test_two_passes_add_up_to_two_of_a_teacher_that_is_always_asked(
    student, teacher, batch
):
    always, _ = run(student, LiveTeacher(teacher), batch, 1)
    rarely, _ = run(student, LiveTeacher(teacher, every=2), batch, 2)
    (loss, stats, _), (asked, said, grads), (alone, silent, rest) = (*always, *rarely)
    assert alone == pytest.approx(silent["loss_task"].item())
    assert asked + alone == pytest.approx(2 * loss, rel=1e-5)
    assert said["loss_kd"].item() == pytest.approx(2 * stats["loss_kd"].item(), rel=1e-5)
    assert silent["loss_kd"].item() == 0
    for term in TERMS:
        name = f"loss_kd_{term['type']}"
        assert said[name].item() == pytest.approx(stats[name].item(), rel=1e-5)
        assert name not in silent
    # The projection is in the graph of either pass, so that DDP need not look for it.
    (projection,) = [name for name in rest if name.endswith("projections.0.weight")]
    assert rest[projection].abs().sum() == 0
    assert grads[projection].abs().sum() > 0


def test_the_teacher_does_not_run_where_it_is_not_asked(student, teacher, batch):
    ran = []
    teacher.encoder.register_forward_hook(lambda *_: ran.append(1))
    run(student, LiveTeacher(teacher, every=3), batch, 5)
    assert len(ran) == 1 + 2, "the example, and passes 0 and 3"


def test_the_average_follows_in_every_update(student, batch):
    guest = EMATeacher(student, 0.5, every=3)
    found, attached = run(student, guest, batch, 4)
    assert guest.updates == 3
    assert attached.state_dict().keys() == {"ema", "lessons"}
    assert ["loss_kd_ctc_frame_kl" in stats for _, stats, _ in found] == [1, 0, 0, 1]


def test_a_training_goes_on_in_phase(features, tmp_path):
    """Six batches an epoch, every fourth: batches 0 and 4, then 8."""
    from espnet_kd.tasks.variants import KDASRTask

    KDASRTask.main(cmd=arguments(features, tmp_path / "t", role="teacher", max_epoch=1))
    teachers = [{"exp": str(tmp_path / "t"), "every": 4}]
    conf = {"teachers": teachers, "losses": TERMS[:1], "schedule": {"warmup_steps": 9}}
    (tmp_path / "kd.yaml").write_text(yaml.safe_dump(conf))
    kd = ["--kd_conf", str(tmp_path / "kd.yaml")]
    for name, runs in (("whole", (2,)), ("resumed", (1, 2))):
        for epochs in runs:
            line = arguments(features, tmp_path / name, max_epoch=epochs, seed=3)
            KDASRTask.main(cmd=[*line, *kd])
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "resumed"))
    state = torch.load(tmp_path / "whole" / "checkpoint.pth", weights_only=False)
    stats = state["reporter"]["stats"]
    assert state["optimizers"][0]["espnet_kd"]["lessons"] == {"batches": 12}
    for epoch in (1, 2):
        train = stats[epoch]["train"]
        assert train["loss_kd_ctc_frame_kl"] > 0
        # Batches 0 and 4, then 8, of six: n-fold weight in one of n is the mean's weight.
        assert 0 < train["loss_kd"] < 4 * train["loss_kd_ctc_frame_kl"]


def test_bfloat16_is_near_and_comes_back_in_float32(teacher, batch):
    ys_in = torch.full((3, 3), 10)
    asked = Request(ctc=True, decoder=True, taps=("encoder.encoders.0",))
    question = Question(batch, asked, Labels(ys_in, torch.full((3,), 3)))
    exact = LiveTeacher(teacher)(question)
    rounded = LiveTeacher(teacher, precision="bfloat16")(question)
    pairs = [
        (rounded.ctc_logits, exact.ctc_logits),
        (rounded.decoder_logits, exact.decoder_logits),
        (rounded.hidden[asked["taps"][0]].values, exact.hidden[asked["taps"][0]].values),
    ]
    for found, wanted in pairs:
        assert found.dtype == torch.float32
        assert not torch.equal(found, wanted), "the premise: it was rounded on its way"
        torch.testing.assert_close(found, wanted, rtol=0.1, atol=0.1)
    assert torch.equal(rounded.encoder_out_lens, exact.encoder_out_lens)
    assert next(teacher.parameters()).dtype == torch.float32


def test_what_overflows_in_bfloat16_is_named(teacher, batch):
    with torch.no_grad():
        teacher.ctc.ctc_lo.weight.fill_(3e38)
    guest = LiveTeacher(teacher, precision="bfloat16", name="exp/t")
    with pytest.raises(TeacherError, match=r"^teacher exp/t: its CTC post.* hold nan"):
        guest(Question(batch, Request(ctc=True)))


def test_the_log_tells_both(student, teacher, batch, caplog):
    guest = LiveTeacher(teacher, every=4, precision="bfloat16")
    with caplog.at_level("INFO"):
        espnet_kd.attach(student, {"losses": TERMS[:1]}, guest)
    assert "view: clean, precision: bfloat16" in caplog.text
    assert "asked in every 4th batch of the training alone" in caplog.text
