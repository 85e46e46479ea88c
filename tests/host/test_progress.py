"""How far a command is, by a clock that the test moves."""

from espnet_kd.host import progress
from espnet_kd.host.progress import Progress


def test_time_left_by_hand(monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    count = Progress(6)
    now = 104.0
    count.add()  # too soon to tell
    now = 112.0
    count.add(2)  # 3 in 12 s, so 12 s for the other 3
    now = 113.0
    count.add()
    now = 120.0
    count.add(2)  # the last is always told
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "3/6, 0.2 a second, 12 s left",
        "6/6, 0.3 a second, 0 s left",
    ]
