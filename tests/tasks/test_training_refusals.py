"""What stands beside a kd_conf and cannot be honoured: refused, with advice that helps."""

import argparse

import pytest
import torch
from conftest import build_asr, clone
from lightning_runs import STILL

import espnet_kd
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.tasks.cached import check_cached_training
from espnet_kd.tasks.kd_task import KDTask

WARP = {"apply_time_warp": True, "apply_freq_mask": False, "apply_time_mask": False}


@pytest.mark.parametrize("option", ["use_deepspeed", "sharded_ddp"])
def test_training_of_sharded_parameters_is_refused(option):
    class Stock:
        @classmethod
        def check_required_command_args(cls, args):
            """Nothing is required."""

    task = type("Task", (KDTask, Stock), {})
    conf = {"teachers": [{"exp": "x"}], "losses": [{"type": "token_kl", "weight": 1}]}
    args = argparse.Namespace(kd_conf=conf, ngpu=1, **{option: True})
    with pytest.raises(ConfigError, match=f"{option}: is not supported together with"):
        task.check_required_command_args(args)
    setattr(args, option, False)
    task.check_required_command_args(args)


def test_live_targets_are_warped_as_the_student_is(batch):
    """The advice of a training that bends time beside a cache: its own teacher loses 0."""
    args = argparse.Namespace(specaug="specaug", specaug_conf=WARP)
    with pytest.raises(ConfigError, match=r"to false, or use 'targets: live'"):
        check_cached_training(args, [None])
    conf = {"output_size": 8, "num_blocks": 2, "attention_heads": 2, "linear_units": 16}
    warped = {"specaug": "specaug", "specaug_conf": WARP}
    student = build_asr(seed=1, encoder_conf=conf | STILL, **warped).train()
    teacher = build_asr(seed=1, encoder_conf=conf | STILL)
    term = {"type": "ctc_frame_kl", "weight": 1.0, "frames": "all"}
    espnet_kd.attach(student, {"losses": [term]}, teacher)
    torch.manual_seed(3)
    _, stats, _ = student(**clone(batch))
    torch.testing.assert_close(
        stats["loss_kd_ctc_frame_kl"], torch.zeros(1), rtol=0, atol=1e-4
    )


def test_a_task_without_distillation_refuses_arguments_that_no_parser_saw():
    """As espnetez hands them over."""
    pytest.importorskip("espnet2.tasks.abs_task")
    from espnet_kd.tasks.refusing import RefusingTask

    task = type("GANTTSTask", (RefusingTask,), {"__module__": "espnet2.tasks.gan_tts"})
    eager = type("ESPnetEZTask", (task,), {})
    args = eager.get_parser().parse_args(["--output_dir", "unused"])
    args.kd_conf = {"losses": []}
    with pytest.raises(KDError, match=r"^GANTTSTask has no distillation.* have it: asr, "):
        eager.check_required_command_args(args)
    args.kd_conf = None
    eager.check_required_command_args(args)
    # Nor has one that is derived from a task with distillation, as s2st is from st.
    derived = type("S2STTask", (KDTask, task), {"__module__": "espnet2.tasks.s2st"})
    args.kd_conf = {"losses": []}
    with pytest.raises(KDError, match=r"^S2STTask has no distillation"):
        derived.check_required_command_args(args)


def test_caches_need_the_names_of_the_utterances():
    args = argparse.Namespace(train_data_path_and_name_and_type=[])
    with pytest.raises(KDError, match=r"no train_shape_file.* use 'targets: live'"):
        check_cached_training(args, [None])


def test_a_model_that_somebody_else_built_is_attached_before_its_optimizer(batch):
    """As by espnetez's build_model_fn."""
    from espnet_kd.hook.attach import attachment_of
    from espnet_kd.tasks.variants import KDASRTask

    conf = {"teachers": [{"ema": 0.9}], "losses": [{"type": "token_kl", "weight": 1}]}
    given = {"optim": "sgd", "optim_conf": {"lr": 0.1}, "exclude_weight_decay": False}
    given |= {"sharded_ddp": False}
    args = argparse.Namespace(kd_conf=conf, **given)
    model = build_asr()
    (optimizer,) = KDASRTask.build_optimizers(args, model)
    assert attachment_of(model) is not None
    assert "ema" in optimizer.state_dict()["espnet_kd"]
