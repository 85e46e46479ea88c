"""Shards become a cache, or what they lack is named."""

import pytest

from espnet_kd.bin.merge_cache import main


def test_a_cache_is_made_and_counted(shard, tmp_path, capsys):
    capsys.readouterr()
    main(["--cache", str(shard), "--key_file", str(tmp_path / "text")])
    said = capsys.readouterr().out
    assert said == f"{shard}: 3 utterances of {tmp_path / 'teacher'}\n"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("a\nb\nc\nd\n", "1 of 4 utterances are missing, first 'd'"),
        ("a\nc\n", "1 utterances are not of this data, first 'b'"),
    ],
)
def test_gaps_and_strangers_are_refused(shard, tmp_path, keys, text):
    (tmp_path / "keys").write_text(keys)
    with pytest.raises(SystemExit, match=f"^merge_cache: .*cache: {text}"):
        main(["--cache", str(shard), "--key_file", str(tmp_path / "keys")])


def test_a_directory_without_shards_is_refused(tmp_path):
    (tmp_path / "keys").write_text("a\n")
    with pytest.raises(SystemExit, match=r"merge_cache: .*holds no shards"):
        main(["--cache", str(tmp_path), "--key_file", str(tmp_path / "keys")])
