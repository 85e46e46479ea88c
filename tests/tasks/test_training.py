"""Whole trainings by ESPnet's own trainer, on random features."""

import subprocess
import sys

import pytest
import torch
import yaml
from conftest import REPO
from training import arguments, equal, kill_in_epoch, weights, write_kd

from espnet_kd.config.parse import parse_config
from espnet_kd.errors import ConfigError, KDError, TeacherError

COLLECT = ["--collect_stats", "true"]


def stock(*args, **options):
    from espnet2.tasks.asr import ASRTask

    ASRTask.main(cmd=arguments(*args, **options))


def distil(kd_conf, *args, extra=(), **options):
    from espnet_kd.tasks.variants import KDASRTask

    kd = ["--kd_conf", kd_conf] if kd_conf else []
    KDASRTask.main(cmd=[*arguments(*args, **options), *kd, *extra])


@pytest.fixture(scope="module")
def runs(features, tmp_path_factory):
    """A teacher, a stock student, and distilled students in one directory."""
    root = tmp_path_factory.mktemp("exp")
    stock(features, root / "teacher", role="teacher", seed=5)
    stock(features, root / "stock", seed=7)
    kd = write_kd(root / "kd.yaml", root / "teacher")
    distil(kd, features, root / "kd", seed=7)
    return root


def test_without_kd_conf_it_is_the_stock_run_bit_for_bit(runs, features):
    distil(None, features, runs / "plain", seed=7)
    assert equal(weights(runs / "plain"), weights(runs / "stock"))


def test_with_all_weights_zero_it_is_the_stock_run_bit_for_bit(runs, features):
    zero = {"weight": 0}
    kd = write_kd(runs / "kd0.yaml", runs / "teacher", zero, zero, zero)
    distil(kd, features, runs / "kd0", seed=7)
    assert equal(weights(runs / "kd0"), weights(runs / "stock"))


def test_distillation_does_change_the_student(runs):
    assert not equal(weights(runs / "kd"), weights(runs / "stock"))


def hearing(features, stream):
    """Options by which a stream called clean is read beside the student's speech."""
    options = ["--allow_variable_data_keys", "true"]
    for split, prefix in (("train", "train"), ("dev", "valid")):
        scp = f"{features}/{split}/{stream},clean,kaldi_ark"
        options += [f"--{prefix}_data_path_and_name_and_type", scp]
    return options


def test_a_teacher_that_hears_the_same_audio_as_another_stream_is_the_same(runs, features):
    teachers = [{"exp": str(runs / "teacher"), "hears": "clean"}]
    kd = write_kd(runs / "hears.yaml", runs / "teacher", teachers=teachers)
    extra = hearing(features, "feats.scp")
    distil(kd, features, runs / "hears", seed=7, extra=extra)
    assert equal(weights(runs / "hears"), weights(runs / "kd"))


def test_checkpoints_hold_exactly_the_stock_keys(runs):
    names = ("1epoch.pth", "2epoch.pth", "valid.acc.ave_2best.pth")
    for name in names:
        ours, stocks = (torch.load(runs / d / name) for d in ("kd", "stock"))
        assert list(ours) == list(stocks), name
        size = (runs / "kd" / name).stat().st_size
        assert size == pytest.approx((runs / "stock" / name).stat().st_size, abs=2000)
    resume = torch.load(runs / "kd" / "checkpoint.pth", weights_only=False)
    assert resume["model"].keys() == weights(runs / "stock").keys()


def test_the_student_loads_in_stock_espnet(runs):
    from espnet2.tasks.asr import ASRTask

    model, args = ASRTask.build_model_from_file(
        runs / "kd" / "config.yaml", runs / "kd" / "valid.acc.ave.pth"
    )
    model.load_state_dict(weights(runs / "kd"), strict=True)
    assert args.kd_conf["teachers"][0]["exp"] == str(runs / "teacher")


def test_loading_by_our_own_task_attaches_nothing(runs):
    from espnet_kd.hook.attach import attachment_of
    from espnet_kd.tasks.variants import KDASRTask

    model, _ = KDASRTask.build_model_from_file(runs / "kd" / "config.yaml")
    assert attachment_of(model) is None


def test_the_log_shows_every_term(runs):
    state = torch.load(runs / "kd" / "checkpoint.pth", weights_only=False)
    for phase in ("train", "valid"):
        stats = state["reporter"]["stats"][2][phase]
        kd = {k: v for k, v in stats.items() if k.startswith(("loss_kd", "loss_task"))}
        assert set(kd) == {
            "loss_kd",
            "loss_kd_ctc_frame_kl",
            "loss_kd_token_kl",
            "loss_kd_hidden_l1_cosine",
            "loss_task",
        }
        assert stats["loss"] == pytest.approx(kd["loss_task"] + kd["loss_kd"], rel=1e-4)


def test_the_configuration_is_parsed_once_and_written_as_a_plain_mapping(
    features, tmp_path, monkeypatch
):
    parsed = []

    def parse(raw, *args, **options):
        parsed.append(raw)
        return parse_config(raw, *args, **options)

    for module in ("espnet_kd.tasks.arguments", "espnet_kd.hook.attach"):
        monkeypatch.setattr(f"{module}.parse_config", parse)
    (tmp_path / "kd.yaml").write_text("losses: [{type: token_kl, weight: 1}]\n")
    extra = ["--kd_conf", "teachers.0.ema=0.9"]
    distil(str(tmp_path / "kd.yaml"), features, tmp_path / "once", extra=extra, max_epoch=1)
    assert len(parsed) == 1
    written = yaml.safe_load((tmp_path / "once" / "config.yaml").read_text())["kd_conf"]
    assert type(written) is dict
    assert written == {
        "losses": [{"type": "token_kl", "weight": 1}],
        "teachers": [{"ema": 0.9}],
    }


def test_accumulated_gradients_and_raw_weights(runs, features):
    kd = str(runs / "kd.yaml")
    distil(kd, features, runs / "accum", seed=7, accum_grad=2)
    assert all(v.isfinite().all() for v in weights(runs / "accum").values())


def test_adapters_train_with_their_projections(runs, features):
    pytest.importorskip("loralib")
    lora = {"use_adapter": True, "adapter": "lora", "save_strategy": "all"}
    lora |= {"adapter_conf": {"target_modules": ["linear_q"], "rank": 2}}
    lora |= {"freeze_param": ["encoder", "decoder", "ctc"]}
    distil(str(runs / "kd.yaml"), features, runs / "lora", seed=7, **lora)
    saved = weights(runs / "lora")
    assert any("lora_" in key for key in saved)
    assert not any("kd_" in key for key in saved)
    one, two = (torch.load(runs / "lora" / f"{e}epoch.pth") for e in (1, 2))
    changed = {k for k in one if not torch.equal(one[k], two[k])}
    # A layer's own weight moves too: evaluation merges the adapter into it.
    assert changed
    assert all(".linear_q." in key for key in changed)
    optimizer = torch.load(runs / "lora" / "checkpoint.pth", weights_only=False)
    assert optimizer["optimizers"][0]["espnet_kd"]["kd_projections"]


def test_statistics_are_collected_without_the_teacher_that_is_there(runs, features):
    distil(str(runs / "kd.yaml"), features, runs / "stats", extra=COLLECT)
    assert (runs / "stats" / "train" / "speech_shape").exists()


def test_a_missing_teacher_is_named_before_statistics_are_collected(runs, features):
    """As in asr.sh, whose stage 10 has the arguments of stage 11."""
    kd = write_kd(runs / "gone.yaml", runs / "no_teacher_yet")
    with pytest.raises(TeacherError, match=r"no_teacher_yet"):
        distil(kd, features, runs / "stats0", extra=COLLECT)
    exp = f"teachers.0.exp={runs / 'teacher'}"
    more = ["--kd_conf", exp, "--kd_conf", "teachers.0.file=9epoch.pth", *COLLECT]
    with pytest.raises(TeacherError, match=r"checkpoint .*teacher/9epoch.pth does not ex"):
        distil(kd, features, runs / "stats0", extra=more)
    assert not (runs / "stats0").exists()


def test_a_dry_run_builds_everything(runs, features):
    distil(str(runs / "kd.yaml"), features, runs / "dry", extra=["--dry_run", "true"])
    assert not (runs / "dry" / "1epoch.pth").exists()


def test_two_processes_of_the_trainer_on_the_cpu(runs, features):
    rank_options = ["--dist_backend", "gloo", "--dist_world_size", "2", "--ngpu", "0"]
    rank_options += ["--dist_init_method", f"file://{runs}/ddp_store"]
    rank_options += ["--multiprocessing_distributed", "true"]
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "espnet_kd", "-m", "espnet2.bin.asr_train"),
                *arguments(features, runs / "ddp", seed=7, resume=False),
                *("--kd_conf", str(runs / "kd.yaml"), "--dist_rank", str(rank)),
                *rank_options,
            ],
            cwd=REPO,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=240)[1] for process in processes]
    assert [p.returncode for p in processes] == [0, 0], (
        errors[0][-2000:] + errors[1][-2000:]
    )
    assert "loss_kd_hidden_l1_cosine=" in errors[0]
    assert weights(runs / "ddp").keys() == weights(runs / "stock").keys()


# What a user can do wrong


def test_a_term_that_never_fires_stops_the_run_after_an_epoch(runs, features):
    blank = runs / "blank"
    blank.mkdir(exist_ok=True)
    state = weights(runs / "teacher")
    state["ctc.ctc_lo.bias"][0] = 100.0
    torch.save(state, blank / "1epoch.pth")
    (blank / "config.yaml").write_text((runs / "teacher" / "config.yaml").read_text())
    kd = write_kd(runs / "blank.yaml", blank, {"frames": "nonblank"})
    conf = yaml.safe_load((runs / "blank.yaml").read_text())
    conf["teachers"][0]["file"] = "1epoch.pth"
    (runs / "blank.yaml").write_text(yaml.safe_dump(conf))
    with pytest.raises(KDError, match="ctc_frame_kl: exactly 0 in every training step"):
        distil(kd, features, runs / "never")
    assert not (runs / "never" / "1epoch.pth").exists()


def test_data_parallel_is_refused_before_anything_runs(runs, features):
    ngpu = ["--ngpu", "2", "--multiprocessing_distributed", "false"]
    with pytest.raises(ConfigError, match="add --multiprocessing_distributed true"):
        distil(str(runs / "kd.yaml"), features, runs / "dp", extra=ngpu)


def test_deepspeed_is_refused(runs, features):
    extra = ["--use_deepspeed", "true"]
    with pytest.raises(ConfigError, match="use_deepspeed: is not supported"):
        distil(str(runs / "kd.yaml"), features, runs / "ds", extra=extra)


def test_a_missing_teacher_is_named(runs, features):
    kd = write_kd(runs / "missing.yaml", runs / "nowhere")
    with pytest.raises(TeacherError, match="no such directory or file"):
        distil(kd, features, runs / "missing")


def test_resuming_with_other_projections_is_refused(runs, features):
    distil(str(runs / "kd.yaml"), features, runs / "first", seed=7, max_epoch=1)
    narrow = {"student": "encoder.encoders.0", "name": "another"}
    kd = write_kd(runs / "other.yaml", runs / "teacher", {}, {}, narrow)
    with pytest.raises(KDError, match=r"other distillation parts.*--output_dir"):
        distil(kd, features, runs / "first", seed=7, max_epoch=2)


def test_an_average_and_balanced_weights_survive_a_resume(runs, features):
    conf = {
        "teachers": [{"ema": 0.8}],
        "losses": [{"type": "token_kl", "weight": 0.5}],
        "gradients": {"every": 4, "balance": True},
    }
    (runs / "ema.yaml").write_text(yaml.safe_dump(conf))
    kd = str(runs / "ema.yaml")
    distil(kd, features, runs / "ema", seed=7, max_epoch=3)
    distil(kd, features, runs / "ema_resumed", seed=7, max_epoch=2)
    state = torch.load(runs / "ema_resumed" / "checkpoint.pth", weights_only=False)
    ours = state["optimizers"][0]["espnet_kd"]
    assert ours["ema"]["updates"] == 11, "of 12 updates the last is not yet averaged"
    assert ours["balance"]["token_kl"] > 0
    assert not any("espnet_kd" in key for key in state["model"])
    distil(kd, features, runs / "ema_resumed", seed=7, max_epoch=3)
    assert equal(weights(runs / "ema_resumed", 3), weights(runs / "ema", 3))


@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
def test_holes_survive_a_resume(runs, features, importance):
    prune = {"sparsity": 0.5, "start": 2, "end": 14, "every": 2, "importance": importance}
    kd = write_kd(runs / f"{importance}.yaml", runs / "teacher", prune=prune)
    whole, resumed = runs / f"{importance}_whole", runs / f"{importance}_resumed"
    distil(kd, features, whole, seed=7, max_epoch=3)
    distil(kd, features, resumed, seed=7, max_epoch=1)
    assert 0 < sparsity(weights(resumed, 1)) < 0.45
    distil(kd, features, resumed, seed=7, max_epoch=3)
    assert equal(weights(resumed, 3), weights(whole, 3))
    assert list(weights(whole, 3)) == list(weights(runs / "stock"))
    assert sparsity(weights(whole, 3)) == pytest.approx(0.5, abs=2e-3)
    state = torch.load(whole / "checkpoint.pth", weights_only=False)
    stats = state["reporter"]["stats"][3]
    assert stats["valid"]["kd_sparsity"] == pytest.approx(0.5, abs=2e-3)


def sparsity(state):
    """Part of the weights of linear layers and convolutions that is 0."""
    found = [
        value.flatten()
        for name, value in state.items()
        if name.endswith(".weight") and value.dim() > 1 and name != "decoder.embed.0.weight"
    ]
    return float((torch.cat(found) == 0).float().mean())


@pytest.mark.slow
def test_validations_of_a_student_that_stands_still_are_all_alike(runs, features):
    """Whatever its schedule does meanwhile: models are selected by one function."""
    schedule = {"warmup_steps": 9, "decay": "linear", "decay_steps": 5, "final": 0.25}
    terms = [{"weight": 0.3}, {"weight": 0.7}, {"weight": 0.1}]
    kd = write_kd(runs / "still.yaml", runs / "teacher", *terms, schedule=schedule)
    still = {"optim": "sgd", "optim_conf": {"lr": 0.0}, "scheduler": None, "max_epoch": 3}
    distil(kd, features, runs / "still", seed=7, **still)
    state = torch.load(runs / "still" / "checkpoint.pth", weights_only=False)
    stats = state["reporter"]["stats"]
    valid, train = ([stats[n][part] for n in (1, 2, 3)] for part in ("valid", "train"))
    assert len({figures["loss"] for figures in valid}) == 1
    assert len({round(figures["loss_kd"], 3) for figures in train}) == 3
    names = ("ctc_frame_kl", "token_kl", "hidden_l1_cosine")
    values = [valid[0][f"loss_kd_{name}"] for name in names]
    counted = sum(0.25 * w * v for w, v in zip((0.3, 0.7, 0.1), values, strict=True))
    expected = valid[0]["loss_task"] + counted
    assert valid[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_two_views_train_without_a_teacher(runs, features):
    conf = {"losses": [{"type": "cr_ctc", "weight": 0.2}]}
    (runs / "cr.yaml").write_text(yaml.safe_dump(conf))
    distil(str(runs / "cr.yaml"), features, runs / "cr", seed=7)
    assert list(weights(runs / "cr")) == list(weights(runs / "stock"))
    state = torch.load(runs / "cr" / "checkpoint.pth", weights_only=False)
    stats = state["reporter"]["stats"][2]
    assert stats["train"]["loss_kd_cr_ctc"] > 0
    assert stats["valid"]["loss_kd_cr_ctc"] == 0


def test_killed_in_an_epoch_and_run_again_it_ends_the_same(runs, features):
    kd = str(runs / "kd.yaml")
    distil(kd, features, runs / "whole", seed=7, max_epoch=5)
    command = [
        *(sys.executable, "-m", "espnet_kd", "-m", "espnet2.bin.asr_train"),
        *arguments(features, runs / "killed", seed=7, max_epoch=5, log_interval=1),
        *("--kd_conf", kd),
    ]
    log = runs / "killed.log"
    kill_in_epoch(command, log, epoch=3)
    assert (runs / "killed" / "2epoch.pth").exists()
    assert not (runs / "killed" / "5epoch.pth").exists()
    again = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "The training was resumed" in again.stderr
    assert equal(weights(runs / "killed", 5), weights(runs / "whole", 5))
