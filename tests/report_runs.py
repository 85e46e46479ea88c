"""Error rates of a small experiment, for the tests of tables and figures."""

from espnet_kd.report.scores import Run

RUNS = [
    Run("teacher", 1, "beam", "test", 800_000, 10.0, 4.0),
    Run("control", 1, "beam", "test", 200_000, 30.0, 12.0),
    Run("control", 2, "beam", "test", 200_000, 34.0, 14.0),
    Run("distilled", 1, "beam", "test", 200_000, 20.0, 8.0),
    Run("distilled", 2, "beam", "test", 200_000, 24.0, 9.0),
]
