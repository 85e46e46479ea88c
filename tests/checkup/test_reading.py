"""Which data a training would miss, and which batches are looked at."""

import argparse

import pytest
import torch

from espnet_kd.checkup.reading import data_problems, shortest, unknown_labels, utterances


@pytest.fixture
def args(tmp_path):
    """Three utterances, all of them there."""
    (tmp_path / "a.wav").touch()
    (tmp_path / "f.ark").touch()
    files = {
        "shape": "u 60,20\nv 45,20\nw 30,20\n",
        "wav.scp": f"u {tmp_path}/a.wav\nv {tmp_path}/a.wav\nw sox x.wav - |\n",
        "feats.scp": "".join(
            f"{u} {tmp_path}/f.ark:{n}[0:9]\n" for n, u in enumerate("uvw")
        ),
        "text": "u a\nv b\nw c\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    kinds = {"wav.scp": "sound", "feats.scp": "kaldi_ark", "text": "text"}
    data = [(str(tmp_path / name), name, kind) for name, kind in kinds.items()]
    return argparse.Namespace(
        train_shape_file=[str(tmp_path / "shape")], train_data_path_and_name_and_type=data
    )


def test_whole_data_have_no_problem(args):
    assert list(data_problems(args, "train")) == []


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "text",
            "u a\n",
            "text has no line of 2 of the 3 utterances that the shape file "
            "has, first 'v'; make both of the same utterances",
        ),
        (
            "wav.scp",
            "u no.wav\nv no.wav\nw no2.wav\n",
            "wav.scp names 2 files that are not "
            "there, first no.wav; start from the directory that the paths are relative to",
        ),
        (
            "feats.scp",
            "u no.ark:7\nv no.ark:9\nw no.ark:11\n",
            "names 1 files that are not",
        ),
        ("shape", "", None),
        ("feats.scp", "u f.ark[0:9]\nv f.ark[9:18]\nw f.ark:7[0:9]\n", None),
    ],
)
def test_what_is_missing_is_named(name, content, sentence, args, tmp_path, monkeypatch):
    (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    found = list(data_problems(args, "train"))
    assert len(found) == (sentence is not None)
    assert sentence is None or sentence in found[0]


def test_a_file_that_is_not_there_is_named(args, tmp_path):
    (tmp_path / "shape").unlink()
    (sentence,) = data_problems(args, "train")
    assert sentence.startswith("the train data: ")
    assert f"{tmp_path}/shape is missing" in sentence


def test_a_training_in_splits_is_left_to_espnet(args, tmp_path):
    (tmp_path / "splits").mkdir()
    args.train_shape_file = [str(tmp_path / "splits")]
    args.train_data_path_and_name_and_type = [(str(tmp_path / "splits"), "text", "text")]
    assert list(data_problems(args, "train")) == []


def test_the_shortest_batch_is_the_one_whose_longest_is_shortest(args):
    batches = [("u",), ("w", "u"), ("w", "v")]
    lengths = utterances(args, "train")
    assert shortest(lengths, batches, 9) == ["v", "w"]
    assert shortest(lengths, batches, 1) == ["v"]


def test_unknown_labels_are_counted_without_padding():
    batch = {"text": torch.tensor([[1, 2, 1], [3, 1, 1]])}
    batch["text_lengths"] = torch.tensor([3, 1])
    assert unknown_labels(batch, "text", 1) == (2, 4)
