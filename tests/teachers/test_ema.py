"""The student's own average as its teacher."""

import pytest
import torch
from conftest import build_asr, clone
from training import transducer_arguments

import espnet_kd
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.model.context import full_context
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.ema import EMATeacher

EMA = {
    "teachers": [{"ema": 0.9}],
    "losses": [{"type": "token_kl", "weight": 1.0}],
}


def test_the_average_by_hand():
    model = torch.nn.Linear(1, 1, bias=False)
    model.register_buffer("seen", torch.tensor([0]))
    average = EMATeacher(model, 0.5)

    def follow(weight, step):
        model.weight.data.fill_(weight)
        model.seen.fill_(step)
        average.update(model, step)
        return average.model.weight.item()

    assert follow(1.0, 0) == 1.0, "the first time it takes the weights over"
    # min(0.5, (1 + 1) / (10 + 1)) = 2/11 of the old
    assert follow(12.0, 1) == pytest.approx(1 * 2 / 11 + 12 * 9 / 11)
    assert follow(99.0, 1) == pytest.approx(10.0), "once an update"
    # from step 8 on the decay itself: 9/18
    assert follow(20.0, 8) == pytest.approx(15.0)
    assert average.model.seen.item() == 8, "buffers are copied"


def test_it_teaches_and_stays_out_of_the_student(batch):
    student = build_asr(seed=1)
    keys = set(student.state_dict())
    espnet_kd.attach(student, EMA)
    optimizer = torch.optim.SGD(student.parameters(), 0.1)
    values = []
    for _ in range(3):
        loss, stats, _ = student.train()(**clone(batch))
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        values.append(stats["loss_kd_token_kl"].item())
    assert min(values) > 0, "dropout alone sets the first pass apart"
    assert set(student.state_dict()) == keys
    assert len(list(student.parameters())) == len(list(build_asr().parameters()))


def test_it_follows_only_in_training(batch):
    student = build_asr(seed=1)
    attachment = espnet_kd.attach(student, EMA)
    with torch.no_grad():
        student.eval()(**clone(batch))
    assert attachment.teacher.updates == -1
    student.train()(**clone(batch))
    assert attachment.teacher.updates == 0


def test_its_state_goes_on_where_it_was():
    one, other = (EMATeacher(build_asr(seed=seed), 0.9) for seed in (1, 2))
    one.update(build_asr(seed=3), 0)
    one.update(build_asr(seed=4), 5)
    other.load_state_dict(one.state_dict())
    assert other.updates == 5
    for name, value in one.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], value)


def test_a_changed_student_is_refused():
    average = EMATeacher(build_asr(), 0.9)
    with pytest.raises(KDError, match=r"^'ema': the student has .*adapters\?"):
        average.update(build_asr(blocks=1), 0)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"ema": 1.5}, r"teachers\[0\]\.ema: must be between 0 and 1"),
        ({"ema": 0.9, "exp": "exp/t"}, r"needs 'exp'.*or 'ema'"),
        ({"ema": 0.9, "file": "x.pth"}, r"teachers\[0\]\.file: unknown key"),
    ],
)
def test_bad_settings_are_named(teacher, message):
    with pytest.raises(ConfigError, match=message):
        espnet_kd.attach(build_asr(), EMA | {"teachers": [teacher]})


def test_statistics_are_the_students_newest_and_not_an_average():
    """A variance between two is not the variance of either's activations."""
    student = torch.nn.BatchNorm1d(2)
    teacher = EMATeacher(student, 0.5)
    for step, mean in enumerate((4.0, 8.0)):
        with torch.no_grad():
            student.weight.fill_(mean)
        student.running_mean.fill_(mean)
        teacher.update(student, step)
    assert teacher.model.running_mean.tolist() == [8.0, 8.0]
    # min(0.5, 2 / 11) of the first, the rest of the second.
    expected = 4.0 * 2 / 11 + 8.0 * 9 / 11
    assert teacher.model.weight.tolist() == pytest.approx([expected] * 2)


@pytest.fixture
def chunked(features, tmp_path):
    """A transducer that is trained on random chunks."""
    from espnet_kd.tasks.variants import KDASRTransducerTask

    command = transducer_arguments(features, tmp_path / "chunked", 8, chunks=True)
    torch.manual_seed(1)
    args = KDASRTransducerTask.get_parser().parse_args(command)
    return KDASRTransducerTask.build_model(args)


def test_a_chunk_trained_student_has_a_full_context_average(chunked, batch, caplog):
    """Its teacher hears whole utterances by the weights that learn chunks."""
    term = {"type": "ctc_frame_kl", "weight": 0.5}
    kd = {"teachers": [{"ema": 0.9}], "losses": [term]}
    teacher = espnet_kd.attach(chunked, kd).teacher
    assert not [r for r in caplog.records if r.levelname == "WARNING"], "one delay for both"
    loss, stats, _ = chunked.train()(**clone(batch))
    loss.sum().backward()
    assert stats["loss_kd_ctc_frame_kl"] > 0
    assert chunked.encoder.dynamic_chunk_training, "the student goes on with chunks"
    assert not teacher.model.encoder.dynamic_chunk_training
    teacher.update(chunked, 1)  # the pass moved the statistics of the student's batch norms
    inputs = {key: batch[key] for key in ("speech", "speech_lengths")}
    question = Question(inputs, Request(ctc=True), Labels())
    said = [teacher(question).ctc_logits for _ in range(4)]
    assert all(torch.equal(one, said[0]) for one in said), "no chunk is drawn"
    chunked.eval()

    def own():
        with torch.no_grad():
            return chunked.ctc_lin(chunked.encode(*map(torch.clone, inputs.values()))[0])

    with full_context(chunked.encoder):
        torch.testing.assert_close(own(), said[0])
    assert any(not torch.allclose(own(), said[0], atol=1e-4) for _ in range(8))
