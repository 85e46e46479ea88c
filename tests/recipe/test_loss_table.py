"""The table of losses: rows, choice of weights, figures; the recipe is played."""

import json
import sys

import loss_table
import pytest
import table_rows
from table_runs import Place, Training

from espnet_kd.config.parse import parse_config
from espnet_kd.losses import LOSSES

# Plays the recipe: a model's error rates follow from its name, the weight and the seed.
RECIPE = """
import json, pathlib, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print(options)
tag, seed = options["--tag"], int(options["--seeds"])
with open("calls", "a") as calls:
    print(tag, seed, file=calls)
if tag.endswith(open("broken").read().strip() or "nothing"):
    sys.exit("it broke")
folder = pathlib.Path("exp") / f"asr_distilled_{tag}_s{seed}"
best = {"0.1": 0, "0.3": -4, "1": 2}.get(tag.rpartition("_")[2], 1)
for set_, more in (("dev", 0), ("test", 10)):
    for search, at in (("beam", 20), ("greedy", 30)):
        place = folder / search / set_
        place.mkdir(parents=True, exist_ok=True)
        wer = {"error_rate": at + more + best + seed, "deletions": 5}
        (place / "score.json").write_text(json.dumps({"wer": wer}))
line = "1epoch results: [train] loss=2.0, train_time=0.3, [valid] loss=1.0"
(folder / "train.log").write_text(line)
"""


@pytest.fixture
def played(tmp_path, monkeypatch):
    """A folder with the played recipe and its controls."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.py").write_text(RECIPE)
    (tmp_path / "broken").write_text("")
    for seed in (1, 2):
        folder = tmp_path / "exp" / f"asr_control_s{seed}"
        for name, rate in (("dev", 40.0), ("test", 50.0)):
            for search in ("beam", "greedy"):
                place = folder / search / name
                place.mkdir(parents=True)
                wer = {"wer": {"error_rate": rate, "deletions": 7}}
                (place / "score.json").write_text(json.dumps(wer))
        line = "1epoch results: [train] loss=2.0, train_time=0.2, [valid] loss=1.0"
        (folder / "train.log").write_text(line)
    return tmp_path


def make(*more):
    loss_table.main([
        *("--run", f"{sys.executable} recipe.py", "--decodings", "beam", "greedy"),
        *("--student_layer", "encoder.encoders.1", "--teacher_layer", "encoder.encoders.2"),
        *("--seeds", "1", "2", *more),
    ])  # fmt: skip


def test_the_best_weight_of_the_development_set_goes_on(played):
    make("--rows", "token_kl", "parameters")
    calls = (played / "calls").read_text().split("\n")
    assert sorted(calls[:4]) == [
        "table_parameters 1",
        *(f"table_token_kl_{weight} 1" for weight in ("0.1", "0.3", "1")),
    ]
    assert sorted(calls[4:6]) == ["table_parameters 2", "table_token_kl_0.3 2"]
    alone, parameters, token = sorted(
        json.loads((played / "exp/table.json").read_text()), key=lambda line: line["name"]
    )
    # Test, 0.3: 20 + 10 - 4 + seed by the beam, 30 + 10 - 4 + seed greedily.
    assert token["test"] == {"beam": [27, 28], "greedy": [37, 38]}
    assert token["weight"] == 0.3
    assert token["gain"] == 50 - 32.5
    assert token["cost"] == pytest.approx(1.5)
    assert (alone["gain"], alone["cost"], alone["mean"]) == (0, 1, 50)
    assert parameters["mean"] == 37.5
    text = (played / "exp/table.md").read_text()
    rows = [line.split(" | ")[0] for line in text.splitlines()[4:]]
    assert rows == ["| token_kl", "| parameters", "| alone"], "by what they gain"
    assert "| token_kl | 0.3 | 27.5 | 27.0, 28.0 | 37.5 | 37.0, 38.0 | +17.5 | 5 |" in text
    assert (played / "exp/table.png").stat().st_size > 5000


def test_a_second_run_trains_what_is_missing(played):
    make("--rows", "token_kl")
    (played / "calls").unlink()
    (played / "exp/asr_distilled_table_token_kl_0.3_s2/greedy/test/score.json").unlink()
    make("--rows", "token_kl")
    assert (played / "calls").read_text() == "table_token_kl_0.3 2\n"


def test_a_failure_is_named_when_the_others_are_through(played, capsys):
    (played / "broken").write_text("rkd_1")
    with pytest.raises(SystemExit, match=r"1 of the trainings failed: table_rkd_1 \(seed"):
        make("--rows", "rkd", "token_kl")
    assert "table_rkd_1, seed 1: failed, see exp/table" in capsys.readouterr().err
    assert len((played / "calls").read_text().splitlines()) == 6
    assert "it broke" in (played / "exp/table/table_rkd_1_s1.log").read_text()
    assert not (played / "exp/table.md").exists()


def test_a_damaged_score_is_named(played):
    make("--rows", "parameters")
    (played / "exp/asr_control_s2/beam/test/score.json").write_text('{"wer"')
    with pytest.raises(SystemExit, match=r"score.json cannot be read; run the scoring"):
        make("--rows", "parameters")


def test_targets_on_disk_are_written_once_and_before(played):
    """Two rows read the same hypotheses, and would write them into one place at once."""
    recipe = (played / "recipe.py").read_text()
    recorded = 'first = options["--stage"]; open("stages", "a").write(first + " ")'
    early = 'if first == "8": sys.exit()'
    recipe = recipe.replace("tag, seed", f"{recorded}\n{early}\ntag, seed", 1)
    (played / "recipe.py").write_text(recipe)
    make("--rows", "ctc_nbest", "token_nbest", "--weights", "1", "--jobs", "1")
    assert (played / "stages").read_text().split() == ["8", *["9"] * 4]


def test_an_unknown_row_and_a_missing_control_are_named(played):
    with pytest.raises(SystemExit, match=r"no row 'token_klo'; did you mean 'token_kl'\?"):
        make("--rows", "token_klo")
    (played / "exp/asr_control_s2/beam/test/score.json").unlink()
    with pytest.raises(
        SystemExit, match=r"asr_control_s2/beam/test/score.json; train, dec"
    ):
        make("--rows", "parameters")


def test_every_loss_has_a_row_that_the_parser_takes(tmp_path):
    """All but those of a transducer, and those that stand apart."""
    rows = table_rows.rows("encoder.encoders.0", "encoder.encoders.0")
    assert len({row.name for row in rows}) == len(rows)
    told = {row.name for row in rows}
    others = {n for n in LOSSES.names() if n.startswith("transducer_")}
    assert {*LOSSES.names()} - others - {*table_rows.APART} <= told
    place = Place("run", tmp_path, "t", "untagged", ("dev", "test"), ("beam",))
    for row in rows:
        conf = row.kd_conf(0.3)
        if conf is not None:
            parse_config(conf, LOSSES)
        words = Training(row, 0.3, 1, place).command()
        assert words[:5] == ["run", "--stage", "9", "--stop_stage", "13"]
        assert ("--kd_config" in words) == (bool(row.losses) or row.name == "parameters")
