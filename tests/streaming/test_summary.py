"""What a set came to, by hand."""

from espnet_kd.report.section import markdown
from espnet_kd.streaming.emission import Delays
from espnet_kd.streaming.summary import Streamed, latency_section, summary

SETTING = {
    "search": "beam",
    "chunk_ms": 200.0,
    "hears": "blocks (16, 8, 4) of 40 ms",
    "look_ahead_ms": 160.0,
    "longest_wait_ms": 440.0,
    "first_ms": 640.0,
    "reference": "exp/asr_teacher",
    "threads": 1,
    "versions": "espnet 1",
}
FOUND = {
    "a": Streamed(
        reference="A B",
        text="A C",
        tokens=["A", "C"],
        written_ms=[400, 600],
        delays=Delays([100, 300], first=100, last=50),
        is_aligned=True,
        revised=1,
        seconds=0.6,
        chunk_seconds=[0.02, 0.04, 0.06],
    ),
    "b": Streamed("D", "", [], [], Delays(), True, 0, 0.1, [0.08]),
    "c": Streamed("E", "E F", ["E", "F"], [200, 200], Delays(), False, 0, 0.3, [0.05] * 2),
}


def test_all_utterances_by_hand():
    found = summary(SETTING, FOUND)
    assert found["delay_ms"] == {"mean": 200, "median": 200, "p90": 280, "count": 2}
    assert found["first_token_ms"] == {"mean": 100, "median": 100, "p90": 100, "count": 1}
    assert found["last_token_ms"]["mean"] == 50
    assert found["revised"] == 0.25  # one of the four words that were written
    # Of chunks of 200 ms: .1 .2 .3 .4 .25 .25
    assert found["rtf_of_chunk"]["mean"] == 0.25
    assert found["rtf_of_chunk"]["median"] == 0.25
    assert found["rtf"] == 0.3  # .3 s of 1 s of audio
    # B by C, D missing, F too many: three errors in four words.
    assert found["wer"] == 75
    assert (found["utterances"], found["empty"], found["not_aligned"]) == (3, 1, 1)
    assert found["by_utterance"]["a"]["written_ms"] == [400, 600]
    assert found["setting"] == SETTING


def test_the_table_says_the_same():
    text = markdown(latency_section(summary(SETTING, FOUND)))
    assert "| beam | 75.00 | 200 | 200 | 280 | 100 | 50 | 25.0 % | 0.250 | 0.350 |" in text
    assert "blocks (16, 8, 4) of 40 ms: looks ahead 160 to 440 ms" in text
    assert "Delays of 2 right tokens against exp/asr_teacher" in text


def test_without_a_value_the_table_says_none():
    found = summary(SETTING, {"b": FOUND["b"]})
    assert found["delay_ms"] is None
    assert "| beam | 100.00 | none | none | none | none | none | 0.0 % |" in markdown(
        latency_section(found)
    )
    silent = summary(SETTING, {"z": Streamed("", "", [], [], Delays(), True, 0, 0, [0.1])})
    assert silent["rtf"] is None
