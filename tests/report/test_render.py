"""Tables and plots show what they were given."""

import math

import pytest
import yaml
from conftest import asr_options, build_asr

from espnet_kd.bin.report import Decoding, collect, main, parse_run
from espnet_kd.errors import KDError
from espnet_kd.report.measure import gap_recovered, parameters_by_part, parameters_of
from espnet_kd.report.render import Run, plot, table

RUNS = [
    Run("teacher", 1, "beam", "test", 800_000, 10.0, 4.0),
    Run("control", 1, "beam", "test", 200_000, 30.0, 12.0),
    Run("control", 2, "beam", "test", 200_000, 34.0, 14.0),
    Run("distilled", 1, "beam", "test", 200_000, 20.0, 8.0),
    Run("distilled", 2, "beam", "test", 200_000, 24.0, 9.0),
]


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


def test_without_a_gap_none_is_claimed():
    level = [Run(role, 1, "d", "t", 9, 10.0, 1.0) for role in ("teacher", "control")]
    rows = table([*level, Run("distilled", 1, "d", "t", 9, 9.0, 1.0)])
    assert "| no gap |" in rows


def test_plot_is_a_picture_of_every_panel(tmp_path):
    other = [Run(r.role, r.seed, "greedy", *list(vars(r).values())[3:]) for r in RUNS]
    plot([*RUNS, *other], tmp_path / "plot.png")
    data = (tmp_path / "plot.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    assert width > 2 * height > 0


def test_parameters_are_counted_by_part():
    model = build_asr(width=8, blocks=1)
    parts = parameters_by_part(model)
    assert parts["ctc"] == 8 * 11 + 11
    assert sum(parts.values()) == sum(p.numel() for p in model.parameters())


@pytest.fixture
def experiment(tmp_path):
    """A scored decoding of a tiny model."""
    kept = (str, int, float, bool, list, dict, type(None))
    settings = {
        k: v for k, v in asr_options(width=8, blocks=1).items() if isinstance(v, kept)
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    folder = tmp_path / "decode"
    folder.mkdir()
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


def test_the_report_says_what_it_depends_on(experiment, capsys):
    words = f"control,1,beam,test,{experiment},{experiment}/decode"
    main(["--run", words, "--corpus", "mini", "--output_dir", str(experiment / "r")])
    text = (experiment / "r" / "RESULTS.md").read_text()
    for part in ("espnet_kd 0", "torch 2.", "python 3.", "SYNTHETIC", "student, alone"):
        assert part in text
    assert "SYNTHETIC" in capsys.readouterr().out


def test_a_malformed_run_is_named():
    import argparse

    with pytest.raises(argparse.ArgumentTypeError, match="role of teacher, control"):
        parse_run("boss,1,beam,test,a,b")
