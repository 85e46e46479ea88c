"""Figures: what is drawn can be found in them."""

import math
import re

from report_runs import RUNS

from espnet_kd.report.figures import cost_figure, curves_figure, plot, size_figure, spread
from espnet_kd.report.scores import Run


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


def test_sizes_are_labelled_by_their_mean_rate_and_on_the_front():
    svg = size_figure(RUNS)
    assert svg.startswith("<svg")
    for text in ("10.0", "32.0", "22.0", "student, alone", "Pareto front", "WER (%)"):
        assert f">{text}<" in svg, text


def test_costs_name_every_model_and_show_the_front():
    points = {"t 1": ("teacher", 0.5, 10.0), "s 1": ("distilled", 0.1, 12.0)}
    svg = cost_figure(points, "real-time factor")
    for text in ("t 1", "s 1", "real-time factor", "Pareto front"):
        assert f">{text}<" in svg, text


def test_a_cost_may_be_negative_or_nothing():
    svg = cost_figure({"a": ("control", -40.0, 9.0), "b": ("distilled", 0.0, 9.0)}, "delay")
    assert ">a<" in svg
    assert ">Pareto front<" not in svg  # a is as good and sooner


def test_a_figure_for_every_name_and_none_without_values():
    curves = {
        "train": {"acc": [0.1, 0.5]},
        "valid": {"acc": [0.2, None], "cer": [math.nan]},
    }
    svg = curves_figure({"control 1": curves}, ["acc", "cer"])
    assert svg.count("<svg ") == 2
    assert re.search(r">acc<.*>cer<", svg, re.DOTALL)
    assert curves_figure({"control 1": curves}, []) == ""


def test_the_same_results_make_the_same_file():
    assert size_figure(RUNS) == size_figure(RUNS)
