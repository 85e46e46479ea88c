"""Costs as a table, by hand."""

from espnet_kd.report.cost import cost_section

SETTING = {
    **{"threads": 1, "warm_up": 2, "utterances": 3, "seconds": 6.0},
    **{"versions": "torch 2", "search": {}, "peak_memory": 5e6},
}


def costs(search_rtf):
    return {
        **{"parameters": 1234, "bytes": 1.5e6, "macs_a_second": 2e9},
        "encoder": {"rtf": 0.5, "latency": 0.01},
        "search": {"rtf": search_rtf, "latency": 0.02},
    }


def test_a_row_a_model_and_speed_beside_the_first():
    results = {"setting": SETTING, "models": {"exp/t": costs(0.75), "exp/s": costs(0.25)}}
    section = cost_section(results, {"exp/t": "teacher 1", "exp/s": "student 1"}, "<svg>")
    start = ["1,234", "1.50", "2.000", "0.5000", "10.0"]
    assert section.rows == [
        ["teacher 1", *start, "0.7500", "20.0", "1.00x"],
        ["student 1", *start, "0.2500", "20.0", "3.00x"],
    ]
    assert section.figure == "<svg>"
    assert section.text == (
        "3 utterances, 6.0 s; 1 thread(s), warm-up of 2; torch 2; search: the defaults of "
        "asr_inference; peak memory of all 5 MB."
    )


def test_without_names_the_directory_is_shown():
    section = cost_section({"setting": SETTING, "models": {"exp/t": costs(0.75)}})
    assert section.rows[0][0] == "exp/t"
