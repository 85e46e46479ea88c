"""Two systems beside each other, by hand."""

import pytest

from espnet_kd.bin.compare import main


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "ref").write_text("u1 a b\nu2 c d\n")
    (tmp_path / "good").write_text("u1 a b\nu2 c x\n")
    (tmp_path / "bad").write_text("u1 a x\nu2 c x\n")
    return tmp_path


def command(texts, *names):
    systems = [word for n in names for word in ("--system", f"{n}={texts / n}")]
    return ["--reference", str(texts / "ref"), *systems, "--draws", "200"]


def test_rates_agreement_and_intervals(texts, capsys):
    main(command(texts, "good", "bad"))
    said = capsys.readouterr().out
    assert "| good | 25.00 | 100.00 |" in said
    # Of the teacher's four words one is another; of the reference's two are wrong.
    assert "| bad | 50.00 | 75.00 |" in said
    assert "| good - bad | -25.00 | -50.00 to +0.00 | no |" in said


def test_what_was_not_decoded_is_named(texts):
    (texts / "bad").write_text("u1 a\n")
    with pytest.raises(SystemExit, match="lacks 1 utterances of the reference, first 'u2'"):
        main(command(texts, "good", "bad"))
    with pytest.raises(SystemExit, match="'x' is not NAME=TEXT"):
        main(["--reference", str(texts / "ref"), "--system", "x"])
