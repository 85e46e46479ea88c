"""A map by the command: files, table, and what cannot be mapped."""

import pytest
import torch
from conftest import LETTERS, TOKENS, asr_options, build_asr, write_exp, write_features

from espnet_kd.bin import map_tokens
from espnet_kd.teachers.token_map import PosteriorMap

RENAMED = ["<blank>", "<unk>", *(f"{x}{x}" for x in LETTERS), "<sos/eos>"]


@pytest.fixture
def line(tmp_path):
    """A model that speaks, as teacher, and the same of other names, as student."""
    for name, tokens in (("teacher", RENAMED), ("student", TOKENS)):
        model = build_asr(1, tokens=tokens)
        with torch.no_grad():  # letters instead of blank and of what no text has
            model.ctc.ctc_lo.weight[2:-1] *= 20
            model.ctc.ctc_lo.bias[[0, 1, -1]] = -9
        write_exp(tmp_path / name, model, asr_options(tokens=tokens))
    speech = write_features(tmp_path, {f"u{i:02d}": 80 for i in range(12)})
    return [
        *("--teacher", str(tmp_path / "teacher"), "--student", str(tmp_path / "student")),
        *("--data_path_and_name_and_type", speech),
        *("--output", str(tmp_path / "map.npz"), "--context", "0"),
    ]


def test_one_model_under_two_names_is_mapped_to_itself(line, tmp_path, capsys):
    map_tokens.main([*line, "--iterations", "100"])
    said = capsys.readouterr().out.splitlines()
    learned = PosteriorMap.read(tmp_path / "map.npz")
    assert learned.teacher_tokens == tuple(RENAMED)
    assert said[0].startswith(f"{tmp_path}/map.npz: 11 tokens to 11, ")
    assert said[1:3] == ["| teacher's | frames | student's |", "|---|---|---|"]
    most = said[3].split("`")  # of the token that was heard most
    assert most[1] == most[3] * 2
    heard = [row for row in said[3:] if float(row.split("|")[2]) >= 20]
    assert heard
    assert all(row.split("`")[1] == row.split("`")[3] * 2 for row in heard)
    table = (tmp_path / "map.md").read_text().splitlines()
    assert table[0].startswith("# ")
    assert said[1:] == table[2:]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--context", "-1"], "--context needs a number of at least 0"),
        (["--iterations", "0"], "--iterations of at least 1"),
        (["--drawn", "0"], "holds no utterance, or --drawn asks for none"),
        (["--student", "nowhere"], "no such directory or file"),
    ],
)
def test_what_cannot_be_mapped_is_said(line, more, text):
    with pytest.raises(SystemExit, match=f"^map_tokens: .*{text}"):
        map_tokens.main([*line, *more])


def test_a_model_without_ctc_is_named(line, tmp_path):
    model = build_asr(1, ctc_weight=0.0)
    options = asr_options(ctc_weight=0.0)
    deaf = write_exp(tmp_path / "deaf", model, options)
    with pytest.raises(SystemExit, match="the student has no CTC layer"):
        map_tokens.main([*line, "--student", str(deaf)])
