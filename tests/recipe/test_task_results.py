"""The table of a task's recipe: means over seeds, and the gap in either direction."""

import json

import pytest
import scores_file
import task_results
from scores_file import Metric
from task_results import Measured, checked, gap_of, sections

from espnet_kd.errors import KDError
from espnet_kd.report.section import markdown


def run(role, seed, error, snr, parameters=1000):
    values = {"error": error, "SNR, dB": snr}
    return Measured(role, seed, "test", parameters, values, {"error": 1.0, "SNR, dB": -1.0})


RUNS = [
    run("teacher", 1, 10.0, 8.0, parameters=4000),
    run("control", 1, 19.0, 3.0),
    run("control", 2, 21.0, 5.0),
    run("distilled", 1, 14.0, 6.0),
    run("distilled", 2, 16.0, 7.0),
]


def test_rows_hold_means_seeds_and_the_gap_recovered():
    """Errors 10, 20, 15: half the way; decibels 8, 4, 6.5: five eighths of it."""
    errors, decibels = sections(RUNS)
    assert errors.title == "test, error"
    assert list(errors.rows[0]) == [
        "teacher",
        "0.004 M",
        "1/1.0",
        "10.000",
        "10.000",
        "",
        "",
    ]
    assert list(errors.rows[2])[2:] == ["1/4.0", "15.000", "14.000", "16.000", "50 %"]
    assert list(decibels.rows[2])[3:] == ["6.500", "6.000", "7.000", "62 %"]
    assert "| **15.000** |" in markdown(errors)


def test_a_control_that_is_no_worse_leaves_no_gap():
    runs = [
        run("teacher", 1, 9.0, 1.0),
        run("control", 1, 9.0, 2.0),
        run("distilled", 1, 8, 3),
    ]
    assert gap_of(runs, "distilled", "error") == "no gap"
    assert gap_of(runs, "distilled", "SNR, dB") == "no gap"


def test_what_an_evaluation_wrote_is_read_again(tmp_path):
    metrics = {"WER, %": Metric(4.5, "lower"), "SI-SNR, dB": Metric(-1.0, "higher")}
    scores_file.write_scores(tmp_path, metrics, 3)
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["utterances"] == 3
    values, signs = checked(found["metrics"], tmp_path)
    assert values == {"WER, %": 4.5, "SI-SNR, dB": -1.0}
    assert signs == {"WER, %": 1.0, "SI-SNR, dB": -1.0}


@pytest.mark.parametrize(
    ("value", "utterances", "sentence"),
    [
        (1.0, 0, "there was no utterance to measure"),
        (float("nan"), 2, "mel is nan; look into the log there"),
    ],
)
def test_an_evaluation_of_nothing_is_no_result(tmp_path, value, utterances, sentence):
    with pytest.raises(KDError, match=sentence):
        scores_file.write_scores(tmp_path, {"mel": Metric(value, "lower")}, utterances)
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.parametrize(
    "metrics",
    [
        None,
        {},
        {"x": 3},
        {"x": {"value": "much", "better": "lower"}},
        {"x": {"value": 1.0, "better": "left"}},
        {"x": {"value": float("inf"), "better": "lower"}},
    ],
)
def test_scores_without_figures_are_refused(tmp_path, metrics):
    with pytest.raises(KDError, match="run the evaluation stage again"):
        checked(metrics, tmp_path / "scores.json")


def test_a_run_that_is_none_is_named(capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        task_results.main(
            ["--task", "lm", "--output_dir", str(tmp_path), "--run", "pupil,1"]
        )
    assert "--run 'pupil,1' is not ROLE,SEED,TEST_SET,MODEL_DIR,DIR" in str(end.value)
