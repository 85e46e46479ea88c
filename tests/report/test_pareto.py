"""The Pareto front, by hand."""

from espnet_kd.report.pareto import pareto_front


def test_the_pareto_front_by_hand():
    points = [(1, 9), (2, 9), (2, 5), (3, 6), (4, 1), (1, 9)]
    # (2, 9) and (3, 6) are beaten by (1, 9) and (2, 5)
    assert pareto_front(points) == [(1, 9), (2, 5), (4, 1)]


def test_of_no_points_there_is_none():
    assert pareto_front([]) == []
