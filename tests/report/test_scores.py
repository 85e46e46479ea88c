"""Tables of error rates, by hand."""

from report_runs import RUNS

from espnet_kd.report.scores import Run, groups, of_role, score_sections, within
from espnet_kd.report.section import markdown


def table(runs):
    return "\n".join(map(markdown, score_sections(runs)))


def test_runs_are_picked_by_group_and_role():
    other = Run("teacher", 1, "greedy", "dev", 800_000, 12.0, 5.0)
    assert groups([*RUNS, other]) == [("test", "beam"), ("dev", "greedy")]
    assert within([*RUNS, other], ("dev", "greedy")) == [other]
    assert of_role(RUNS, "control") == RUNS[1:3]


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


def test_without_a_gap_none_is_claimed():
    for wer in (9.0, 10.0, 10.9):  # of less than a point a share says nothing
        level = [
            Run("teacher", 1, "d", "t", 9, 10.0, 1.0),
            Run("control", 1, "d", "t", 9, wer, 1.0),
        ]
        rows = table([*level, Run("distilled", 1, "d", "t", 9, 9.0, 1.0)])
        assert "| no gap |" in rows
