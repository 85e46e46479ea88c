"""The page stands alone and trusts no words."""

from espnet_kd.report.page import page
from espnet_kd.report.section import Section


def test_a_page_stands_alone_and_trusts_no_words():
    section = Section("Worst", ["who", "reference"], [["u|1", "<script>"]], strong=0)
    text = page("T", [section], ["python 3"], note="a < b")
    assert "<b>u|1</b>" in text
    assert "&lt;script&gt;" in text
    assert "a &lt; b" in text
    assert "<script" not in text
    assert "width=device-width" in text


def test_figures_stand_as_they_are_and_remarks_below():
    section = Section("T", ["a"], [["1"]], figure="<svg id='f'></svg>", text="x < y")
    text = page("T", [section], ["python 3", "torch 2"])
    assert "<svg id='f'></svg>" in text
    assert "x &lt; y" in text
    assert text.index("python 3") < text.index("torch 2")
