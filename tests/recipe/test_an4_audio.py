"""AN4 from audio: its lists, ESPnet's split of them, and the recipe's way to features."""

import importlib.util
import sys

import numpy as np
import pytest
import soundfile
import yaml
from conftest import REPO, SHARED
from recipe_options import OF_TASK
from recipe_runs import WORDS, checkout, run

from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.student.layers import layer_map

AN4 = REPO / "egs" / "an4" / "asr_kd1"
AUDIO = SHARED / "an4_audio"


def load_script():
    """The recipe's local/prepare_audio.py, as a module."""
    path = AN4 / "local" / "prepare_audio.py"
    spec = importlib.util.spec_from_file_location("prepare_audio", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


prepare_audio = load_script()


def write_list(folder, name, speakers, fs=16000):
    """A list of two short recordings a speaker, the last speaker first."""
    rows, random = [], np.random.default_rng(0)
    for speaker in sorted(speakers, reverse=True):
        for number in (1, 2):
            utterance = f"{speaker}-an{number}-b"
            path = folder / name / f"{utterance}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, random.uniform(-0.5, 0.5, 8000 + number), fs)
            text = "  ".join(random.choice(WORDS, 3))
            rows.append(f"{utterance}\t{name}/{utterance}.flac\t{text}\n")
    (folder / f"{name}.tsv").write_text("".join(rows))


@pytest.fixture
def corpus(tmp_path):
    """Six speakers to train on, one to test on."""
    write_list(tmp_path / "an4_audio", "train", ["fa", "fb", "mc", "md", "me", "mf"])
    write_list(tmp_path / "an4_audio", "test", ["fz"])
    return tmp_path / "an4_audio"


def test_the_first_utterances_by_name_are_for_validation(corpus, tmp_path):
    out = tmp_path / "data"
    prepare_audio.prepare(corpus, out, 3)
    assert list(read_table(out / "train_dev/text")) == ["fa-an1-b", "fa-an2-b", "fb-an1-b"]
    assert len(read_table(out / "train_nodev/text")) == 9
    assert read_table(out / "test/utt2spk") == {"fz-an1-b": "fz", "fz-an2-b": "fz"}
    wav = read_table(out / "train_dev/wav.scp")["fb-an1-b"]
    assert wav == str(corpus / "train" / "fb-an1-b.flac")


def test_blanks_in_a_transcript_are_single(corpus, tmp_path):
    prepare_audio.prepare(corpus, tmp_path / "data", 3)
    texts = read_table(tmp_path / "data/train_nodev/text").values()
    assert all(len(text.split(" ")) == 3 for text in texts)


def refusal(corpus, out, dev_utterances=3):
    with pytest.raises(KDError) as error:
        prepare_audio.prepare(corpus, out, dev_utterances)
    assert not (out / "train_nodev").exists()
    return str(error.value)


def test_what_cannot_be_prepared_is_named_with_a_remedy(corpus, tmp_path):
    out = tmp_path / "data"
    assert "give the whole corpus" in refusal(corpus, out, 12)
    (corpus / "train.tsv").write_text("fa-an1-b\ttrain/fa-an1-b.flac\n")
    assert "train.tsv, line 1 has 2 fields instead of 3" in refusal(corpus, out)
    (corpus / "train.tsv").unlink()
    assert "train.tsv is missing; --an4_audio names a folder" in refusal(corpus, out)


@pytest.mark.skipif(not AUDIO.is_dir(), reason="needs AN4 as audio")
def test_the_split_is_espnets(tmp_path):
    prepare_audio.main(["--source", str(AUDIO), "--output_dir", str(tmp_path)])
    sets = {
        name: read_table(tmp_path / name / "text") for name in ("train_nodev", "train_dev")
    }
    sets["test"] = read_table(tmp_path / "test" / "text")
    sizes = {name: len(table) for name, table in sets.items()}
    assert sizes == {"train_nodev": 848, "train_dev": 100, "test": 130}
    assert max(sets["train_dev"]) < min(sets["train_nodev"])
    assert sum(len(text.split()) for text in sets["test"].values()) == 773


@pytest.fixture
def recipe(tmp_path):
    """A copy of the recipe to run in, for a run writes beside its run.sh."""
    root = tmp_path / "checkout"
    root.mkdir()
    return checkout(root, "an4")


def test_the_folder_comes_first(recipe):
    answer = run(recipe, "audio", "--an4_dir", "somewhere")
    assert answer.returncode == 2
    assert "--an4_audio DIR comes first: train.tsv, test.tsv" in answer.stderr
    assert len((recipe / "run_audio.sh").read_text().splitlines()) <= 25


def test_streaming_students_are_trained_by_tags_and_then_streamed(recipe):
    """Every student before any is decoded; the last run shows them all."""
    said = recipe / "said"
    (recipe / "run_audio.sh").write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    folder = ("streaming", "--an4_audio")
    answer = run(recipe, *folder, "DIR WITH BLANKS", "--seeds", "1 2 3")
    assert answer.returncode == 0, answer.stderr
    lines = said.read_text().splitlines()
    tags = [line.split("--tag ")[1].split()[0] for line in lines]
    assert tags == ["streaming", "streaming_unshifted", "streaming_cr", "streaming"]
    for line in lines:
        assert line.startswith(
            "--an4_audio DIR WITH BLANKS --init_student true --streaming"
        )
        assert line.endswith(" --seeds 1 2 3")
    assert ["--stop_stage 11" in line for line in lines] == [True] * 3 + [False]
    others = [line for line in lines if "streaming_" in line.split("--tag ")[1].split()[0]]
    assert all(" --control_tag streaming " in line for line in others)
    assert f"--other_tags {' '.join(tags[1:3])} " in lines[-1]
    for line in lines:
        named = [word for word in line.split() if word.endswith(".yaml")]
        assert all((AN4 / name).is_file() for name in named)
    said.unlink()
    answer = run(recipe, *folder, "D", "--stage", "12")
    assert answer.returncode == 0, answer.stderr
    (decoded,) = said.read_text().splitlines()  # of stages 9 to 11 nothing is left
    assert "--tag streaming " in decoded
    assert decoded.endswith("--test_sets test --stage 12")
    said.unlink()
    answer = run(recipe, *folder, "D", "--stage", "ten", "--stop_stage", "9")
    assert answer.returncode == 0, answer.stderr  # that is for the stages
    assert len(said.read_text().splitlines()) == 3
    answer = run(recipe, "streaming")
    assert answer.returncode == 2
    assert "--an4_audio DIR comes first: train.tsv, test.tsv" in answer.stderr


def test_the_window_of_time_is_all_that_its_control_lacks():
    shifted, unshifted = (
        yaml.safe_load((AN4 / "conf" / f"kd_audio_streaming{name}.yaml").read_text())
        for name in ("", "_unshifted")
    )
    first, *rest = shifted["losses"]
    control, *others = unshifted["losses"]
    assert rest == others
    assert (first.pop("type"), control.pop("type")) == ("ctc_shift_kl", "ctc_frame_kl")
    del first["max_shift_ms"], first["frame_shift_ms"]
    assert first == control


@pytest.mark.slow
def test_from_audio_to_statistics(recipe, corpus):
    """Three speeds of the training set, one of the others, all as filter banks."""
    # A hundred utterances are for validation; here there are twelve in all.
    script = recipe / "run_audio.sh"
    small = "--dev_utterances 3 --source"
    script.write_text(script.read_text().replace("--source", small))
    answer = run(
        recipe, "audio", "--an4_audio", str(corpus), "--nbpe", "20", "--stop_stage", "6"
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    texts = read_table(recipe / "dump/audio/fbank/train_nodev_sp/final/text")
    plain = read_table(recipe / "data/audio/train_nodev/text")
    assert texts == {
        f"{speed}{utt}": text
        for speed in ("", "sp0.9-", "sp1.1-")
        for utt, text in plain.items()
    }
    stats = recipe / "exp/audio/asr_stats_fbank_bpe20/train_nodev_sp/train"
    shapes = read_table(stats / "speech_shape")
    assert {shape.split(",")[1] for shape in shapes.values()} == {"40"}
    assert (stats / "feats_stats.npz").is_file()


def test_transducers_are_told_apart_from_the_rest(recipe):
    """By task and expdir; what is said last holds."""
    said = recipe / "said"
    (recipe / "run_audio.sh").write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    answer = run(recipe, "transducer", "--an4_audio", "A DIR", "--streaming", "false")
    assert answer.returncode == 0, answer.stderr
    (line,) = said.read_text().splitlines()
    assert line.startswith("--an4_audio A DIR --task asr_transducer --expdir exp/transdu")
    assert line.endswith(" --streaming false")
    named = [word for word in line.split() if word.endswith(".yaml")]
    assert len(named) == 5
    assert all((AN4 / name).is_file() for name in named)
    ((_, criterion, _),) = yaml.safe_load((AN4 / named[0]).read_text())[
        "best_model_criterion"
    ]
    chosen = OF_TASK["asr_transducer"]["inference_model"]
    assert chosen == f"valid.{criterion}.ave.pth"  # no other is named
    assert "--inference_model" not in line
    answer = run(recipe, "transducer")
    assert answer.returncode == 2
    assert "--an4_audio DIR comes first: train.tsv, test.tsv" in answer.stderr


def test_the_transducers_layers_have_their_teachers_beside_them():
    """The student's middle layer starts as the teacher's that it is compared with."""
    kd, teacher, student = (
        yaml.safe_load((AN4 / "conf" / f"{name}_audio.yaml").read_text())
        for name in (
            "kd_transducer_streaming",
            "teacher_transducer",
            "student_transducer_streaming",
        )
    )
    depths = [
        conf["encoder_conf"]["body_conf"][0]["num_blocks"] for conf in (student, teacher)
    ]
    (middle,) = (loss for loss in kd["losses"] if loss.get("name") == "middle")
    own, origin = (middle[side].rpartition(".") for side in ("student", "teacher"))
    assert own[0] == origin[0] == "encoder.encoders.blocks"
    assert layer_map("uniform", *depths, "encoder")[int(own[2])] == int(origin[2])


def test_the_students_layers_have_their_teachers_beside_them():
    """What kd_audio.yaml compares exists in both models, at the same depth."""
    kd, teacher, student = (
        yaml.safe_load((AN4 / "conf" / f"{name}_audio.yaml").read_text())
        for name in ("kd", "teacher", "student")
    )
    blocks = [conf["encoder_conf"]["num_blocks"] for conf in (student, teacher)]
    for loss in kd["losses"]:
        layers = [loss.get(side, "").rpartition(".")[2] for side in ("student", "teacher")]
        if all(layer.isdigit() for layer in layers):
            assert all(int(layer) < n for layer, n in zip(layers, blocks, strict=True))
