"""RESULTS.md and the page show what they were given, and the same."""

import argparse
import json
import re
import shutil
import subprocess

import pytest
import yaml
from conftest import REPO, asr_options

from espnet_kd.bin.report import Decoding, collect, main, parse_run
from espnet_kd.errors import KDError
from espnet_kd.report.measure import parameters_of
from espnet_kd.report.scores import Run

TRAINING = """\
[vm] INFO: 1epoch results: [train] loss_ctc=90.5, acc=0.1, loss_kd=5.0, kd_agree_ctc=0.3, \
time=1 minute and 3.2 seconds, total_count=8, [valid] loss_ctc=80.0, acc=0.2, loss_kd=4.0, \
kd_agree_ctc=0.4, time=2.0 seconds, total_count=8
[vm] INFO: 2epoch results: [train] loss_ctc=50.5, acc=0.5, loss_kd=3.0, kd_agree_ctc=0.5, \
time=3.2 seconds, total_count=16, [valid] loss_ctc=40.25, acc=0.5, loss_kd=2.0, \
kd_agree_ctc=0.75, time=2.0 seconds, total_count=16
"""


@pytest.fixture
def experiment(tmp_path):
    """A scored decoding of a tiny model."""
    kept = (str, int, float, bool, list, dict, type(None))
    settings = {
        k: v for k, v in asr_options(width=8, blocks=1).items() if isinstance(v, kept)
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    folder = tmp_path / "decode"
    (folder / "score_wer").mkdir(parents=True)
    (folder / "score_wer" / "ref.trn").write_text("A B (s-u1)\nC (s-u2)\n")
    (folder / "score_wer" / "hyp.trn").write_text("A X Y (s-u1)\nC (s-u2)\n")
    (tmp_path / "train.log").write_text(TRAINING)
    (folder / "score.json").write_text(
        '{"wer": {"error_rate": 5}, "cer": {"error_rate": 2}}'
    )
    return tmp_path


def test_collect_reads_scores_and_sizes(experiment):
    from espnet2.tasks.asr import ASRTask

    (run,) = collect(
        [Decoding("control", 3, "beam", "test", experiment, experiment / "decode")], "asr"
    )
    size = parameters_of(experiment / "config.yaml", ASRTask)
    assert run == Run("control", 3, "beam", "test", size, 5, 2)
    with pytest.raises(KDError, match="run the scoring stage first"):
        collect([Decoding("control", 3, "b", "t", experiment, experiment / "no")], "asr")


@pytest.fixture
def report(experiment, capsys):
    """What the command writes of one student: RESULTS.md, report.html, its output."""
    words = f"distilled,1,beam,test,{experiment},{experiment}/decode"
    cost = {
        "setting": {
            **{"threads": 1, "warm_up": 2, "utterances": 3, "seconds": 6.0},
            **{"versions": "torch 2", "search": {}, "peak_memory": 5e6},
        },
        "models": {
            str(experiment): {
                **{"parameters": 7, "bytes": 1e6, "macs_a_second": 2e9},
                "encoder": {"rtf": 0.5, "latency": 0.01},
                "search": {"rtf": 0.75, "latency": 0.02},
            }
        },
    }
    (experiment / "cost.json").write_text(json.dumps(cost))
    options = ["--corpus", "mini", "--cost", str(experiment / "cost.json")]
    out = experiment / "r"
    main(["--run", words, *options, "--command", "./run.sh", "--output_dir", str(out)])
    said = capsys.readouterr().out
    return (out / "RESULTS.md").read_text(), (out / "report.html").read_text(), said


def test_the_report_says_what_it_depends_on(report):
    for text in report[:2]:
        for part in ("espnet_kd 0", "torch 2.", "python version", "SYNTHETIC", "date: `"):
            assert part in text
        assert "command: `./run.sh`" in text
        checkout = (REPO / ".git").exists()
        assert bool(re.search(r"Git hash: `[0-9a-f]{40}`", text)) is checkout
    assert "SYNTHETIC" in report[2]


def test_every_number_of_the_page_is_in_results(report):
    results, html, _ = report
    rows = [
        ["distilled 1", "7", "1.00", "2.000", "0.5000", "10.0", "0.7500", "20.0", "1.00x"],
        ["distilled 1", "66.67", "100.00"],
        # two errors: a word replaced, a word inserted
        ["s-u1", "A B", "A X Y (2)"],
        ["distilled 1", "2", "40.250", "0.500", "2.000"],
        ["distilled 1", "2", "0.750"],
    ]
    for row in rows:
        assert f"| {' | '.join(row)} |" in results
        assert "".join(f"<td>{cell}</td>" for cell in row) in html
    # Of each (set, decoding), of speed, of the three training values, of the diagnosis.
    assert html.count("<svg ") == 1 + 1 + 3 + 1


def test_the_page_needs_no_network_and_is_small(report):
    html = report[1]
    assert not re.search(r"(?:src|href)=\"(?!#)", html)
    assert "@import" not in html
    assert "url(h" not in html
    assert len(html) < 1_000_000


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [500, 1200])  # its window is never narrower than 500
def test_a_browser_shows_it_without_sideways_scrolling(report, tmp_path, width):
    measure = "<script>document.title = document.documentElement.scrollWidth</script>"
    (tmp_path / "p.html").write_text(report[1].replace("</body>", f"{measure}</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},800"]
    page = f"file://{tmp_path}/p.html"
    answer = subprocess.run(
        ["chromium", *options, "--dump-dom", page], capture_output=True, text=True
    )
    assert int(re.search(r"<title>(\d+)</title>", answer.stdout)[1]) <= width


def test_costs_of_another_model_are_refused(report, experiment):
    (experiment / "cost.json").write_text('{"setting": {}, "models": {"exp/x": {}}}')
    words = f"distilled,1,beam,test,{experiment},{experiment}/decode"
    more = ["--cost", str(experiment / "cost.json"), "--output_dir", str(experiment)]
    with pytest.raises(SystemExit, match="is of 'exp/x', which no --run names"):
        main(["--run", words, *more])
    (experiment / "cost.json").unlink()
    with pytest.raises(SystemExit, match="run the cost stage first"):
        main(["--run", words, *more])


def test_a_malformed_run_is_named():
    with pytest.raises(argparse.ArgumentTypeError, match="role of teacher, control"):
        parse_run("boss,1,beam,test,a,b")
