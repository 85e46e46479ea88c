"""Systems beside each other, by hand."""

from espnet_kd.report.comparison import agreement_section, interval_section

REFERENCE = {"u1": "a b", "u2": "c d"}
SYSTEMS = {"teacher": {"u1": "a b", "u2": "c x"}, "student": {"u1": "a x", "u2": "c x"}}


def test_rates_and_agreement():
    section = agreement_section(REFERENCE, SYSTEMS)
    assert section.title == "Agreement with teacher"
    # Of the teacher's four words the student has three.
    assert section.rows == [["teacher", "25.00", "100.00"], ["student", "50.00", "75.00"]]


def test_every_pair_has_an_interval():
    systems = SYSTEMS | {"third": dict(REFERENCE)}
    section = interval_section(REFERENCE, systems, draws=200)
    pairs = [row[0] for row in section.rows]
    assert pairs == ["teacher - student", "teacher - third", "student - third"]
    assert section.rows[0][1:] == ["-25.00", "-50.00 to +0.00", "no"]
    assert section.rows[2][1:] == ["+50.00", "+50.00 to +50.00", "yes"]
    assert section.text.endswith("200 draws, seed 0.")
