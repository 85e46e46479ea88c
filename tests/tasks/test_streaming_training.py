"""Streaming students of offline teachers, by the shipped configs and the stock command."""

import math

import pytest
import torch
import yaml
from conftest import INPUT_SIZE, REPO, write_corpus
from training import weights

from espnet_kd.host.compat import build_model, task_class

pytestmark = pytest.mark.slow
CONFIGS = REPO / "egs" / "an4" / "asr_kd1" / "conf"
# Utterances of twenty frames and more, so that blocks and chunks are less than all.
FRAMES = (90, 140)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("long"), FRAMES)


@pytest.fixture(scope="module")
def exps(tmp_path_factory):
    return tmp_path_factory.mktemp("exp")


def train(corpus, exps, name, config, *more):
    """Two epochs of two updates; the stats of the last one."""
    from espnet_kd.tasks import variants

    is_lattice = "transducer" in config
    task = variants.KDASRTransducerTask if is_lattice else variants.KDASRTask
    command = ["--config", f"{CONFIGS}/{config}.yaml", "--output_dir", f"{exps}/{name}"]
    command += ["--token_type", "char", "--token_list", f"{corpus}/tokens.txt"]
    for split, prefix in (("train", "train"), ("dev", "valid")):
        option = f"--{prefix}_data_path_and_name_and_type"
        command += [option, f"{corpus}/{split}/feats.scp,speech,kaldi_ark"]
        command += [option, f"{corpus}/{split}/text,text,text"]
        command += [f"--{prefix}_shape_file", f"{corpus}/{split}/feats_shape"]
    command += ["--input_size", str(INPUT_SIZE), "--batch_type", "unsorted"]
    command += ["--batch_size", "6", "--max_epoch", "2", "--num_iters_per_epoch", "2"]
    task.main(cmd=[*command, "--num_workers", "0", *more])
    state = torch.load(exps / name / "checkpoint.pth", weights_only=False)
    return state["reporter"]["stats"][2]["train"]


@pytest.fixture(scope="module")
def teachers(corpus, exps):
    """An offline teacher of each family."""
    for name in ("teacher", "teacher_transducer"):
        train(corpus, exps, name, name)
    return exps


def kd(*conf):
    return [word for value in conf for word in ("--kd_conf", str(value))]


def taught_by(folder):
    file = "valid.loss.ave.pth" if "transducer" in folder.name else "valid.acc.ave.pth"
    return (f"teachers.0.exp={folder}", f"teachers.0.file={file}")


def check(exps, name, stats, *terms):
    """Every term was heard, and stock ESPnet builds and loads what came of it."""
    for term in terms:
        value = stats[f"loss_kd_{term}"]
        assert value > 0, term
        assert math.isfinite(value), term
    config = yaml.safe_load((exps / name / "config.yaml").read_text())
    task = task_class("asr_transducer" if "transducer" in name else "asr")
    build_model(task, config).load_state_dict(weights(exps / name))


@pytest.mark.parametrize("kind", ["", "_transformer"])
def test_an_offline_teacher_of_a_contextual_block_student(kind, corpus, teachers, caplog):
    taught = taught_by(teachers / "teacher")
    conf = ("streaming", *taught, "losses.0.frame_shift_ms=40")
    modes = ("losses.3.type=mode_consistency", "losses.3.weight=0.2")
    name = f"student{kind}"
    config = f"student_streaming{kind}"
    stats = train(corpus, teachers, name, config, *kd(*conf, *modes))
    terms = ("ctc_shift_kl", "token_kl", "hidden_l1_cosine", "mode_consistency")
    check(teachers, name, stats, *terms)
    assert "makes streaming students worse" not in caplog.text


@pytest.mark.parametrize("config", ["student_streaming", "student_streaming_transducer"])
def test_the_students_own_full_context(config, corpus, exps):
    name = f"dual_{config}"
    stats = train(corpus, exps, name, config, *kd("dual_mode"))
    check(exps, name, stats, "mode_consistency")


def test_an_offline_transducer_of_a_chunk_trained_one(corpus, teachers, caplog):
    name, config = "lattice_transducer", "student_streaming_transducer"
    modes = ("losses.3.type=transducer_mode_consistency", "losses.3.weight=2.0")
    taught = taught_by(teachers / "teacher_transducer")
    conf = kd("streaming_transducer", *taught, *modes)
    stats = train(corpus, teachers, name, config, *conf)
    terms = ("transducer_token_kl", "transducer_fullsum", "hidden_l1_cosine")
    check(teachers, name, stats, *terms, "transducer_mode_consistency")
    assert "makes streaming students worse" not in caplog.text


def test_the_full_context_average_of_a_chunk_trained_transducer(corpus, exps, tmp_path):
    from espnet_kd.config.read import read_kd_conf

    conf = {**read_kd_conf("streaming_transducer"), "teachers": [{"ema": 0.9}]}
    (tmp_path / "kd.yaml").write_text(yaml.safe_dump(conf))
    name, config = "average_transducer", "student_streaming_transducer"
    stats = train(corpus, exps, name, config, *kd(tmp_path / "kd.yaml"))
    check(exps, name, stats, "transducer_token_kl", "transducer_fullsum")
