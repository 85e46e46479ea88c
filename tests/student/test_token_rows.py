"""Which rows of a teacher's belong to a student's tokens, by hand."""

import torch

from espnet_kd.student.axes import CTC_VOCABULARY, VOCABULARY, Axes
from espnet_kd.student.token_rows import TokenRows

TEACHER = ("<blank>", "a", "b", "c", "<sos/eos>")
STUDENT = ("<blank>", "c", "a", "b", "<sos/eos>")


def test_every_token_is_found_by_name():
    rows = TokenRows(STUDENT, TEACHER)
    for axis in (CTC_VOCABULARY, VOCABULARY):
        assert not rows.differ(axis)
        assert rows.units(axis)[axis].tolist() == [0, 3, 1, 2, 4]


def test_without_a_list_they_are_as_they_are():
    rows = TokenRows()
    assert not rows.differ(VOCABULARY)
    assert rows.units(VOCABULARY) == {}


def test_other_tokens_have_no_rows():
    assert TokenRows((*STUDENT, "d"), TEACHER).differ(VOCABULARY)


def test_ctc_of_speech_translation_has_its_own_tokens():
    rows = TokenRows((*STUDENT, "d"), TEACHER, of_ctc=False)
    assert not rows.differ(CTC_VOCABULARY)
    assert rows.units(CTC_VOCABULARY) == {}
    assert rows.differ(VOCABULARY)


def test_every_row_of_a_token_is_known_as_one():
    """Of all families of models: decoders of three kinds, transducers, translation."""
    text = ("decoder.embed.0", "decoder.embed", "decoder.output", "decoder.output_layer")
    text += ("joint_network.lin_out", "ctc_lin", "lm_lin", "st_ctc.ctc_lo")
    text += ("extra_mt_decoder.embed.0", "extra_mt_decoder.output_layer")
    source = ("ctc.ctc_lo", "extra_asr_decoder.embed.0", "extra_asr_decoder.output_layer")
    state = {f"{name}.weight": torch.zeros(5, 2) for name in (*text, *source)}
    axes = Axes(state)
    for names, axis in ((text, VOCABULARY), (source, CTC_VOCABULARY)):
        assert {axes.dims[f"{name}.weight"][0].axis for name in names} == {axis}
    linear = Axes(state | {"decoder.embed.0.bias": torch.zeros(8)})
    assert linear.dims["decoder.embed.0.weight"] is None  # its inputs are no tokens
    assert linear.sizes[VOCABULARY] == 5
    read = Axes({"encoder.conditioning_layer.weight": torch.zeros(2, 5)})
    assert read.dims["encoder.conditioning_layer.weight"][1].axis == CTC_VOCABULARY
