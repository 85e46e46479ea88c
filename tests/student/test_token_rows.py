"""Which rows of a teacher's belong to a student's tokens, by hand."""

from espnet_kd.student.axes import VOCABULARY
from espnet_kd.student.token_rows import TokenRows

TEACHER = ("<blank>", "a", "b", "c", "<sos/eos>")
STUDENT = ("<blank>", "c", "a", "b", "<sos/eos>")


def test_every_token_is_found_by_name():
    rows = TokenRows(STUDENT, TEACHER)
    for name in ("ctc.ctc_lo.weight", "decoder.embed.0.weight"):
        assert not rows.differ(name)
        assert rows.units(name)[VOCABULARY].tolist() == [0, 3, 1, 2, 4]


def test_without_a_list_they_are_as_they_are():
    rows = TokenRows()
    assert not rows.differ("ctc.ctc_lo.weight")
    assert rows.units("ctc.ctc_lo.weight") == {}


def test_other_tokens_have_no_rows():
    assert TokenRows((*STUDENT, "d"), TEACHER).differ("decoder.output_layer.bias")


def test_ctc_of_speech_translation_has_its_own_tokens():
    """And so has what its encoder reads of them."""
    rows = TokenRows((*STUDENT, "d"), TEACHER, of_ctc=False)
    for name in ("ctc.ctc_lo.bias", "encoder.conditioning_layer.weight"):
        assert not rows.differ(name)
        assert rows.units(name) == {}
    assert rows.differ("decoder.output_layer.bias")
