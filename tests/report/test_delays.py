"""Delays of streamed models as a table, by hand."""

import json
from types import SimpleNamespace

import pytest

from espnet_kd.errors import KDError
from espnet_kd.report.delays import StreamedRun, delay_section, read_streamed

SETTING = {
    **{"chunk_ms": 320.0, "look_ahead_ms": 160.0, "longest_wait_ms": 480.0},
    "reference": "exp/teacher",
}


def spread(mean):
    return {"mean": mean, "median": mean - 10.0, "p90": mean + 100.0, "count": 9}


def latency(delay, revised=0.02):
    return {
        "setting": SETTING,
        "delay_ms": None if delay is None else spread(delay),
        "first_token_ms": spread(500.0),
        "last_token_ms": spread(50.0),
        "revised": revised,
        "rtf_of_chunk": spread(0.25),
    }


def test_a_row_a_role_with_means_over_its_seeds():
    runs = [
        StreamedRun("distilled", 1, 10.0, latency(200.0)),
        StreamedRun("control", 1, 20.0, latency(300.0, 0.04)),
        StreamedRun("distilled", 2, 12.0, latency(220.0, 0.0)),
    ]
    section = delay_section("test, beam: delay", runs)
    ends = ["500", "50"]
    assert section.rows == [
        [
            "student, alone",
            "1",
            "20.00",
            "300",
            "300",
            "290",
            "400",
            *ends,
            "4.0 %",
            "0.250",
        ],
        [
            *("student, distilled", "2", "11.00", "210", "200, 220", "200", "310"),
            *(*ends, "1.0 %", "0.250"),
        ],
    ]
    assert section.text == (
        "Streamed in chunks of 320 ms; the encoders look ahead 160 to 480 ms. Delays of "
        "right tokens against exp/teacher, in the time of the audio."
    )
    for text in ("student, distilled", "mean delay of a token (ms)"):
        assert f">{text}<" in section.figure
    assert ">Pareto front<" not in section.figure  # distilled beats the control in both


def test_a_model_without_a_right_token_has_no_delay():
    section = delay_section("t", [StreamedRun("control", 1, 100.0, latency(None))])
    assert section.rows[0][3:7] == ["none"] * 4
    assert section.figure == ""


def test_only_what_was_streamed_is_read(tmp_path):
    run = SimpleNamespace(role="control", seed=3, wer=9.0)
    assert read_streamed(tmp_path, run) is None
    file = tmp_path / "latency.json"
    file.write_text(json.dumps(latency(100.0)))
    assert read_streamed(tmp_path, run) == StreamedRun("control", 3, 9.0, latency(100.0))
    file.write_text("{")
    with pytest.raises(KDError, match=r"latency\.json cannot be read; run the decoding"):
        read_streamed(tmp_path, run)
    for other in ({}, latency(100.0) | {"delay_ms": {"mean": "x"}}, {"setting": 1}):
        file.write_text(json.dumps(other))
        with pytest.raises(
            KDError, match=r"latency\.json was not written by espnet_kd\.bin"
        ):
            read_streamed(tmp_path, run)
