"""Codebooks by the command, the cache that is written by them, and what is refused."""

import pytest
import torch
from conftest import asr_options, build_asr, write_exp, write_features

from espnet_kd.bin import cache_info, cache_teacher, merge_cache, train_codebooks
from espnet_kd.cache.entries import batch_of, targets_of
from espnet_kd.cache.reader import Cache
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.host.compat import task_class
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher

TAP = "encoder.encoders.1"
NAMES = [f"u{place:02d}" for place in range(12)]


@pytest.fixture
def world(tmp_path):
    """A teacher, the features of twelve utterances, and a table of them."""
    write_exp(tmp_path / "teacher", build_asr(1), asr_options())
    frames = {name: 40 + 3 * place for place, name in enumerate(NAMES)}
    speech = write_features(tmp_path, frames)
    (tmp_path / "text").write_text("".join(f"{name} ab\n" for name in NAMES))
    common = ["--exp", str(tmp_path / "teacher"), "--data_path_and_name_and_type", speech]
    return tmp_path, common


def train(world, *more, name="codebooks.npz"):
    folder, common = world
    given = [*common, "--tap", TAP, "--count", "2", "--centroids", "8"]
    train_codebooks.main([*given, "--output", str(folder / name), *more])
    return folder / name


def write(world, *more):
    folder, common = world
    keys = ["--key_file", str(folder / "text"), "--output_dir", str(folder / "cache")]
    cache_teacher.main([*common, *keys, *more])


def test_a_cache_holds_what_the_live_teacher_says(world, capsys):
    folder, _ = world
    file = train(world)
    said = capsys.readouterr().out
    assert f"2 codebooks of 8 centroids of {TAP}, which leave out " in said
    assert "on 1 utterances held out (trained on " in said
    write(world, "--parts", "codebooks", "--codebooks", str(file))
    merge_cache.main(["--cache", str(folder / "cache"), "--key_file", f"{folder}/text"])
    cache = Cache([folder / "cache"])
    batch = batch_of(cache.read(NAMES[:1]))
    read = targets_of(batch, cache.header).codes[TAP]
    config = TeacherConfig(str(folder / "teacher"), codebooks=(str(file),))
    guest = load_teacher(config, task_class("asr"))
    speech = read_speech(folder, NAMES[0])
    live = guest(Question(speech, Request(codebooks=(TAP,)))).codes[TAP]
    assert torch.equal(read.values, live.values)
    assert read.lengths.tolist() == [(40 - 3) // 4]
    assert batch[f"kd_codes.{TAP}"].dtype == torch.uint8, "a byte a codebook"
    assert read.centroids == 8
    capsys.readouterr()
    cache_info.main(["--cache", str(folder / "cache")])
    assert (
        f"2 codebooks of 8 centroids of {TAP}: 2 bytes a frame" in capsys.readouterr().out
    )


def read_speech(folder, name):
    import kaldiio

    values = torch.tensor(kaldiio.load_scp(str(folder / "f.scp"))[name])[None]
    return {"speech": values, "speech_lengths": torch.tensor([values.shape[1]])}


def test_shards_by_two_files_do_not_become_one_cache(world):
    folder, _ = world
    write(world, "--parts", "codebooks", "--codebooks", str(train(world)))
    other = train(world, "--seed", "1", name="other.npz")
    more = ["--parts", "codebooks", "--codebooks", str(other)]
    with pytest.raises(SystemExit, match="begun with another teacher or other settings"):
        write(world, *more)
    write(world, *more, "--shard", "2")
    with pytest.raises(SystemExit, match="are of different teachers or settings"):
        merge_cache.main(["--cache", f"{folder}/cache", "--key_file", f"{folder}/text"])


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--tap", "decoder"], "codebooks are of an encoder's layers"),
        (["--tap", "encoder.encoders.9"], "no module 'encoder.encoders.9'"),
        (["--centroids", "257"], "--centroids 257: needs 2 to 256"),
        (["--count", "0"], "--count and --frames need numbers above 0"),
        (["--drawn", "9"], "9 utterances are too few"),
        (["--count", "9"], "9 codebooks are more than the 8 units"),
        (["--tap", "encoder.encoders.0.self_attn:attn"], r"gives shape .*codebooks need"),
        (["--tap", "encoder.embed:1"], "gives 9 units here and 10 there"),
    ],
)
def test_what_cannot_be_trained_is_said(world, more, text):
    with pytest.raises(SystemExit, match=f"^train_codebooks: .*{text}"):
        train(world, *more)


@pytest.mark.parametrize("more", [["--parts", "codebooks"], ["--codebooks", "c.npz"]])
def test_the_part_and_its_file_go_together(world, more):
    with pytest.raises(SystemExit, match="give both '--parts codebooks' and '--codebooks"):
        write(world, *more)
