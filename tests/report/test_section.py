"""A section as Markdown, by hand."""

from espnet_kd.report.section import Section, markdown


def test_a_table_with_a_strong_column_and_a_remark():
    section = Section(
        "T", ["a", "b|c"], [["1", "x|y"]], strong=0, figure="<svg>", text="so"
    )
    assert markdown(section) == (
        "#### T\n\n| a | b\\|c |\n|---|---|\n| **1** | x\\|y |\n\nso\n"
    )


def test_without_rows_there_is_the_remark_alone():
    assert markdown(Section("T", ["a"], [], text="nothing")) == "#### T\n\nnothing\n"
