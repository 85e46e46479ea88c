"""Tables, plots and the page show what they were given."""

import json
import math
import re
import shutil
import subprocess

import pytest
import yaml
from conftest import REPO, asr_options, build_asr

from espnet_kd.bin.report import Decoding, collect, main, parse_run
from espnet_kd.errors import KDError
from espnet_kd.report.figures import plot, spread
from espnet_kd.report.measure import gap_recovered, parameters_by_part, parameters_of
from espnet_kd.report.page import page
from espnet_kd.report.pareto import pareto_front
from espnet_kd.report.roles import colours_of, is_role
from espnet_kd.report.scores import Run, score_sections
from espnet_kd.report.section import Section, markdown

RUNS = [
    Run("teacher", 1, "beam", "test", 800_000, 10.0, 4.0),
    Run("control", 1, "beam", "test", 200_000, 30.0, 12.0),
    Run("control", 2, "beam", "test", 200_000, 34.0, 14.0),
    Run("distilled", 1, "beam", "test", 200_000, 20.0, 8.0),
    Run("distilled", 2, "beam", "test", 200_000, 24.0, 9.0),
]


def table(runs):
    return "\n".join(map(markdown, score_sections(runs)))


def test_gap_by_hand():
    assert gap_recovered(10, 30, 20) == 0.5
    assert gap_recovered(10, 30, 40) == -0.5
    assert math.isnan(gap_recovered(30, 30, 20))


def test_table_by_hand():
    rows = table(RUNS).splitlines()
    assert rows[0] == "#### test, beam"
    assert rows[4:] == [
        "| teacher | 0.800 M | 1/1.0 | **10.00** | 10.00 |  | 4.00 |  |",
        "| student, alone | 0.200 M | 1/4.0 | **32.00** | 30.00 | 34.00 | 13.00 |  |",
        "| student, distilled | 0.200 M | 1/4.0 | **22.00** | 20.00 | 24.00 | 8.50 | "
        "45 % |",
    ]
    widths = {row.count("|") for row in rows[2:]}
    assert widths == {9}


def test_further_students_stand_beside_with_a_gap_of_their_own():
    begun = [Run("distilled:begun", n, "beam", "test", 200_000, 15.5, 7.0) for n in (1, 2)]
    rows = table([*RUNS, *begun]).splitlines()
    assert rows[7].startswith("| student, distilled | ")
    assert rows[7].endswith("| 45 % |")
    # (32 - 15.5) / (32 - 10)
    assert rows[6] == (
        "| student, distilled (begun) | 0.200 M | 1/4.0 | **15.50** | 15.50 | 15.50 | "
        "7.00 | 75 % |"
    )
    assert len(rows) == 8


def test_roles_are_told_apart_by_colour_and_refused_if_unknown():
    roles = ["distilled:b", "control", "distilled", "distilled:a", "teacher"]
    colours = colours_of(roles)
    assert list(colours) == ["teacher", "control", *roles[::3], "distilled"]
    assert len(set(colours.values())) == 5
    assert colours_of(f"distilled:{n}" for n in range(20)).keys() > {"distilled:19"}
    assert all(map(is_role, roles))
    assert not any(map(is_role, ("student", "control:a", "distilled:", "")))


def test_without_a_gap_none_is_claimed():
    for wer in (9.0, 10.0, 10.9):  # of less than a point a share says nothing
        level = [
            Run("teacher", 1, "d", "t", 9, 10.0, 1.0),
            Run("control", 1, "d", "t", 9, wer, 1.0),
        ]
        rows = table([*level, Run("distilled", 1, "d", "t", 9, 9.0, 1.0)])
        assert "| no gap |" in rows


def test_plot_is_a_picture_of_every_panel(tmp_path):
    other = [Run(r.role, r.seed, "greedy", *list(vars(r).values())[3:]) for r in RUNS]
    plot([*RUNS, *other], tmp_path / "plot.png")
    data = (tmp_path / "plot.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    assert width > 2 * height > 0


def test_labels_of_close_values_do_not_meet():
    assert spread([40, 21, 20, 22], apart=5) == [20, 25, 30, 40]
    assert spread([], apart=5) == []


def test_parameters_are_counted_by_part():
    model = build_asr(width=8, blocks=1)
    parts = parameters_by_part(model)
    assert parts["ctc"] == 8 * 11 + 11
    assert sum(parts.values()) == sum(p.numel() for p in model.parameters())


def test_the_pareto_front_by_hand():
    points = [(1, 9), (2, 9), (2, 5), (3, 6), (4, 1), (1, 9)]
    # (2, 9) and (3, 6) are beaten by (1, 9) and (2, 5)
    assert pareto_front(points) == [(1, 9), (2, 5), (4, 1)]


def test_a_page_stands_alone_and_trusts_no_words():
    section = Section("Worst", ["who", "reference"], [["u|1", "<script>"]], strong=0)
    text = page("T", [section], ["python 3"], note="a < b")
    assert "<b>u|1</b>" in text
    assert "&lt;script&gt;" in text
    assert "a &lt; b" in text
    assert "<script" not in text
    assert "width=device-width" in text
    assert markdown(section).splitlines()[-1] == "| **u\\|1** | <script> |"


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
    import argparse

    with pytest.raises(argparse.ArgumentTypeError, match="role of teacher, control"):
        parse_run("boss,1,beam,test,a,b")
