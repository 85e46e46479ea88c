"""What a cache holds, as the command tells it."""

import pytest

from espnet_kd.bin import merge_cache
from espnet_kd.bin.cache_info import main


@pytest.fixture
def cache(shard, tmp_path, capsys):
    """A cache of three utterances, of 14, 10 and 7 frames."""
    merge_cache.main(["--cache", str(shard), "--key_file", str(tmp_path / "text")])
    capsys.readouterr()
    return shard


def test_facts_size_and_coverage_are_told(cache, tmp_path, capsys):
    main(["--cache", str(cache), "--key_file", str(tmp_path / "text")])
    lines = capsys.readouterr().out.splitlines()
    assert "utterances: 3" in lines
    assert "token_list: 11 tokens" in lines
    assert "parts: ('ctc',)" in lines
    size = (cache / "targets.1.ark").stat().st_size
    # Dense would be 2 bytes for each of 11 tokens in 31 frames.
    assert lines[-2] == (
        f"{size / 1e6:.2f} MB, 31 frames, {size / 31:.1f} bytes a frame, "
        f"{100 * size / 682:.2f} % of dense half-precision CTC posteriors"
    )
    assert lines[-1] == f"covers all 3 utterances of {tmp_path / 'text'}"


def test_what_is_missing_or_damaged_ends_in_a_sentence(cache, tmp_path):
    (tmp_path / "more").write_text("a\nz\n")
    with pytest.raises(SystemExit, match=r"^cache_info: .*no targets of 1 of 2 .*'z'"):
        main(["--cache", str(cache), "--key_file", str(tmp_path / "more")])
    ark = cache / "targets.1.ark"
    ark.write_bytes(ark.read_bytes()[:100])
    with pytest.raises(SystemExit, match=r"cache_info: the cached targets of '.' \("):
        main(["--cache", str(cache)])
    with pytest.raises(SystemExit, match="is no cache of targets"):
        main(["--cache", str(tmp_path)])
