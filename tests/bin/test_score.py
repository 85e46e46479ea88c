"""A decoding scored by command, and what is refused."""

import json
import shutil

import pytest

from espnet_kd.bin.score import main
from espnet_kd.report import score as scoring

needs_sclite = pytest.mark.skipif(
    not any(map(shutil.which, scoring.PLACES)), reason="sclite is not installed"
)


@pytest.fixture
def place(tmp_path):
    """Two utterances, of which one was not recognised; gives the arguments."""
    data, decode = tmp_path / "data", tmp_path / "decode"
    data.mkdir(), decode.mkdir()
    (data / "text").write_text("u1 the cat sat\nu2 a dog\n")
    (data / "utt2spk").write_text("u1 s\nu2 s\n")
    (decode / "text").write_text("u1 the cat sat\nu2\n")
    return tmp_path, ["--data_dir", str(data), "--decode_dir", str(decode)]


@needs_sclite
def test_a_directory_is_scored_into_json(place, capsys):
    folder, command = place
    main(command)
    saved = json.loads((folder / "decode" / "score.json").read_text())
    # Two of five words are missing; 5 of 16 characters with the spaces between words.
    assert saved["wer"]["error_rate"] == 40.0
    assert saved["cer"]["deletions"] == 5
    assert json.loads(capsys.readouterr().out) == saved


def test_what_cannot_be_scored_is_refused(place):
    folder, command = place
    text = folder / "decode" / "text"
    text.write_text("u9 hello\n")
    with pytest.raises(SystemExit, match=r"^score: .*'u9' is not in"):
        main(command)
    text.unlink()
    with pytest.raises(SystemExit, match="run the stage that makes it"):
        main(command)
    with pytest.raises(SystemExit, match="name what is to be scored by --data_dir"):
        main([])


def test_a_check_says_where_sclite_is_or_how_to_get_it(monkeypatch, tmp_path, capsys):
    program = tmp_path / "sclite"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    main(["--check", "--sclite", str(program)])
    assert capsys.readouterr() == ("", f"{program}\n")
    monkeypatch.setattr(scoring, "PLACES", ("no_such_sclite_kd",))
    with pytest.raises(SystemExit, match="score: sclite is not installed"):
        main(["--check"])
