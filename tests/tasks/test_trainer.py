"""Updates are counted as ESPnet makes them, and a resume goes on counting."""

from types import SimpleNamespace

import pytest
from processes import CTC, PARTS, batches, models, rows, train
from torch.optim.optimizer import register_optimizer_step_post_hook

import espnet_kd
from espnet_kd.tasks.trainer import updates_made, with_distillation

# Two epochs of five batches.
STATS = {1: {"train": {"total_count": 5}}, 2: {"train": {"total_count": 10}}}


@pytest.fixture
def attachment():
    """Of a student that learns from a teacher in the usual way."""
    student, teacher = models()
    return espnet_kd.attach(student, {"losses": [CTC]}, teacher)


def test_each_epoch_begins_a_window_of_batches_of_its_own(attachment):
    said, made = [], []
    attachment.model.register_forward_pre_hook(lambda *_: said.append(attachment.step))
    handle = register_optimizer_step_post_hook(lambda *_: made.append(len(said)))
    epoch = [rows(batch, PARTS[1][0][:2]) for batch in batches()]
    train(attachment, 3, [epoch, epoch])
    handle.remove()
    assert made == [3, 8], "ESPnet updates after the third batch of each epoch"
    assert said == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(("accum_grad", "updates"), [(1, 10), (2, 4), (3, 2), (6, 0)])
def test_updates_of_finished_epochs_by_hand(accum_grad, updates):
    assert updates_made(STATS, accum_grad) == updates
    assert updates_made({}, accum_grad) == 0


def test_a_resume_goes_on_from_the_updates_that_were_made(attachment):
    class Stock:
        @classmethod
        def run(cls, *, model, trainer_options):
            reporter = SimpleNamespace(stats=STATS)
            cls.resume(checkpoint="there", model=model, reporter=reporter)

        @staticmethod
        def resume(checkpoint, model, reporter):
            assert checkpoint == "there"

    options = SimpleNamespace(accum_grad=3)
    trainer = with_distillation(Stock)
    trainer.run(model=attachment.model, trainer_options=options)
    assert (attachment.step, attachment.accum_grad) == (2, 3)
