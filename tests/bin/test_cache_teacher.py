"""A teacher's targets on disk: written once, resumed, estimated, refused."""

import pytest
from conftest import write_features

from espnet_kd.bin import cache_teacher, merge_cache
from espnet_kd.cache.reader import Cache


def test_every_utterance_has_its_frames(shard, tmp_path):
    """Subsampled by four: (60 - 3) // 4, (45 - 3) // 4, (33 - 3) // 4."""
    merge_cache.main(["--cache", str(shard), "--key_file", str(tmp_path / "text")])
    entries = Cache([shard]).read(["a", "b", "c"])
    assert [entry.frames for entry in entries] == [14, 10, 7]


def test_what_is_there_is_not_written_again(shard, teacher_command, capsys):
    before = (shard / "targets.1.ark").read_bytes()
    cache_teacher.main(teacher_command)
    assert "3 of 3 are there" in capsys.readouterr().err
    assert (shard / "targets.1.ark").read_bytes() == before


def test_an_estimate_writes_nothing_and_is_the_size(teacher_command, tmp_path, capsys):
    cache_teacher.main([*teacher_command, "--estimate"])
    said = capsys.readouterr().out
    assert "MB for 3 utterances (from the first 3: " in said
    assert not (tmp_path / "cache").exists()


def test_the_layers_that_a_rule_pairs_are_written(teacher_command, tmp_path):
    more = ["--student_layers", "2", "--tap", "encoder", "--tap", "encoder.encoders.0"]
    cache_teacher.main([*teacher_command, *more])
    merge_cache.main(["--cache", str(tmp_path / "cache"), *teacher_command[4:6]])
    header = Cache([tmp_path / "cache"]).header
    assert header.taps == ("encoder", "encoder.encoders.0", "encoder.encoders.1")
    assert header.layers == 2


def test_an_utterance_without_audio_is_named(teacher_command, tmp_path):
    write_features(tmp_path, {"a": 60, "c": 33})
    with pytest.raises(SystemExit, match=r"^cache_teacher: 'b' is not in .*f\.scp, or"):
        cache_teacher.main(teacher_command)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--parts", "ctc,attention"], "'attention' is none of ctc, decoder, nbest"),
        (["--parts", "decoder"], "add --data_path_and_name_and_type PATH,text,text"),
        (["--student_layers", "-1"], "student_layers -1: needs a number of layers"),
        (["--tap", "decoder"], "hidden representations of encoders only"),
        (["--ctc_temperatures", "1,x"], "ctc_temperatures 1,x: needs numbers above 0"),
        (["--ctc_temperatures", "0,1"], "ctc_temperatures 0,1: needs numbers above 0"),
    ],
)
def test_what_cannot_be_written_is_said(teacher_command, more, text):
    with pytest.raises(SystemExit, match=f"cache_teacher: .*{text}"):
        cache_teacher.main([*teacher_command, *more])
