"""Jobs of a teacher's beam search: their shares, their options, their confidence."""

import argparse
import os
from pathlib import Path

import pytest
import torch
import yaml
from conftest import INPUT_SIZE, asr_options, build_asr, write_exp, write_features
from streams import chunk_exp

from espnet_kd.errors import KDError
from espnet_kd.pseudo_labels import decoding
from espnet_kd.pseudo_labels.decoding import (
    decode_all,
    decode_job,
    jobs_of,
    open_recogniser,
    search_options,
)
from espnet_kd.pseudo_labels.hypotheses import Decoded, Hypothesis


def test_confidence_is_a_probability_of_a_token():
    """Two tokens and the end in e^-6; with a reward of 0.5 a token, e^-6 all the same."""
    found = argparse.Namespace(score=-6.0, scores={"length_bonus": 2.0})
    assert decoding._confidence([4, 5], found, 0.0) == pytest.approx(0.135335)
    found.score = -5.0
    assert decoding._confidence([4, 5], found, 0.5) == pytest.approx(0.135335)
    found.score = 1.0
    assert decoding._confidence([4, 5], found, 0.0) == 1.0


@pytest.fixture
def args(tmp_path):
    """Arguments of three jobs over four utterances, of which the teacher sees nothing."""
    write_exp(tmp_path / "teacher", build_asr(blocks=1), asr_options(blocks=1))
    data = tmp_path / "data"
    data.mkdir()
    (data / "feats.scp").write_text("".join(f"u{n} nowhere.ark\n" for n in range(1, 5)))
    return argparse.Namespace(
        task="asr",
        exp=str(tmp_path / "teacher"),
        file=None,
        data_dir=data,
        output_dir=tmp_path / "out",
        inference_config=None,
        nbest=1,
        nj=3,
        job=None,
    )


def test_every_third_utterance_is_a_job_of_three(args):
    jobs = jobs_of(args, (1, 2, 3))
    assert [job.utts for job in jobs] == [["u1", "u4"], ["u2"], ["u3"]]
    assert [job.number for job in jobs] == [1, 2, 3]
    assert [job.done for job in jobs] == [0, 0, 0]


def test_a_job_that_is_done_needs_no_teacher(args, capsys):
    """All that there is to decode lies in the logs, and the audio is nowhere."""
    jobs = jobs_of(args, (1, 2, 3))
    for job in jobs:
        for utt in job.utts:
            job.log().add(Decoded(utt, 7, (Hypothesis("A", 0.5),)))
        decode_job(job, ngpu=0)
        assert job.done == len(job.utts)
    decode_all(jobs, ["--none"])
    assert "4 of 4 are there" in capsys.readouterr().err


def test_options_are_those_of_the_file(tmp_path):
    path = tmp_path / "decode.yaml"
    assert search_options(None) == {}
    path.write_text("beam_size: 3\nctc_weight: 0.5\n")
    assert search_options(path) == {"beam_size": 3, "ctc_weight": 0.5}
    path.write_text("")
    assert search_options(path) == {}
    path.write_text("[1]")
    with pytest.raises(KDError, match=r"decode\.yaml holds no 'option: value' lines"):
        search_options(path)
    with pytest.raises(KDError, match=r"--inference_config .*No such file"):
        search_options(Path("nowhere.yaml"))


def test_a_recogniser_has_the_weights_and_leaves_the_batch_size_out(tmp_path):
    model = build_asr(3, blocks=1)
    exp = write_exp(tmp_path / "exp", model, asr_options(blocks=1))
    search = {"beam_size": 2, "lm_weight": 0.0, "batch_size": 8}
    settings = yaml.safe_load((exp / "config.yaml").read_text())
    found = open_recogniser(settings, exp / "valid.acc.ave.pth", search, "cpu")
    expected = model.state_dict()
    for name, value in found.asr_model.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_transducers_recogniser_answers_as_any_other(tmp_path):
    """Text, tokens, labels and a hypothesis; of tasks without one nothing is opened."""
    exp = chunk_exp(tmp_path / "exp")
    settings = yaml.safe_load((exp / "config.yaml").read_text())
    given = (settings, exp / "valid.acc.ave.pth")
    found = open_recogniser(*given, {"beam_size": 1}, "cpu", task="asr_transducer")
    noise = torch.randn(400, INPUT_SIZE, generator=torch.Generator().manual_seed(0))
    ((text, tokens, labels, hypothesis),) = found(noise)
    assert labels
    assert [settings["token_list"][label] for label in labels] == tokens
    assert text == "".join(tokens)
    assert hypothesis.score < 0
    with pytest.raises(KDError, match="no option of asr_transducer_inference: did you me"):
        open_recogniser(*given, {"beam_sise": 1}, "cpu", task="asr_transducer")
    with pytest.raises(KDError, match="no recogniser of the task 'st'"):
        open_recogniser(*given, {}, "cpu", task="st")


def test_a_transducer_transcribes(args, tmp_path):
    """And what is too short for a frame has no hypothesis."""
    write_features(tmp_path, {"u1": 400, "u2": 3})
    (tmp_path / "f.scp").rename(args.data_dir / "feats.scp")
    args.exp, args.task, args.nj = str(chunk_exp(tmp_path / "lattice")), "asr_transducer", 1
    (job,) = jobs_of(args, [1])
    job.search = {"beam_size": 1, "nbest": 1}
    decode_job(job, 0)
    found = job.log().found
    assert found["u2"].nbest == ()
    (best,) = found["u1"].nbest
    assert set(best.text) <= set("abcdefgh")
    assert best.text
    assert 0 <= best.confidence < 1


def test_code_in_a_checkpoint_is_refused_before_espnet_loads_it(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(KDError, match=r"w\.pth"):
        open_recogniser({}, tmp_path / "w.pth", {}, "cpu")


def test_a_pipe_in_place_of_a_checkpoint_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "w.pth")
    with pytest.raises(KDError, match="no checkpoint but a directory or a device"):
        open_recogniser({}, tmp_path / "w.pth", {}, "cpu")
