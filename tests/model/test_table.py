"""A part of a model's output is one row, from what a loss needs to what becomes of it."""

import dataclasses

import pytest
import torch
from conftest import build_asr, clone

import espnet_kd
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.losses import LOSSES, DistillationLoss, Needs
from espnet_kd.model.outputs import ModelOutputs
from espnet_kd.model.request import Request
from espnet_kd.model.table import (
    OUTPUTS,
    Row,
    lasting_posterior_rows,
    posterior_rows,
    rows_of,
)

FIELDS = {field.name for field in dataclasses.fields(ModelOutputs)}


def test_every_row_fills_a_field_and_names_its_lengths():
    for name, row in OUTPUTS.items():
        assert row.name == name
        assert row.field in FIELDS
        assert not row.lengths or row.lengths in FIELDS
        assert row.student or row.teacher
        assert not row.posterior or (row.lengths and (row.tokens or name == "classes"))


def test_rows_come_in_the_order_of_the_table():
    wanted = Request(taps=("encoder",), decoder=True, ctc=True)
    assert [row.name for row in rows_of(wanted)] == ["ctc", "decoder", "taps"]
    fields = ["ctc_logits", "decoder_logits"]
    rest = ["hyp_logits", "class_logits"]
    assert [row.field for row in posterior_rows()] == [*fields, *rest]
    # What follows the student's words changes with the student.
    assert [row.field for row in lasting_posterior_rows()] == fields


def test_a_part_that_no_row_gives_is_refused_with_the_nearest():
    with pytest.raises(KDError, match=r"needs 'ctcs', which is no output.*mean 'ctc'"):
        Needs(ctcs=True)


@pytest.fixture
def spoken(monkeypatch):
    """A row of a plug-in, the predicted length of a text, and a loss that reads it."""

    def collect(recorded, outputs):
        encoder_out, _ = recorded.encoded()
        outputs.joint_classes = encoder_out.mean((1, 2))[:, None, None, None]

    def missing(model, parts, request):
        return None if parts.ctc_lo else " has no CTC layer to tell lengths by"

    row = Row(
        "spoken",
        "joint_classes",
        missing=missing,
        records=lambda parts, request: (parts.ctc_lo,),
        collect=collect,
    )
    monkeypatch.setitem(OUTPUTS, "spoken", row)

    class Spoken(DistillationLoss):
        def needs(self):
            return Needs(spoken=True)

        def forward(self, student, teacher):
            apart = student.joint_classes - teacher.joint_classes
            return apart.square().mean()

    monkeypatch.setitem(LOSSES._components, "spoken", Spoken)


def test_a_new_row_is_checked_recorded_and_collected_of_both_models(
    spoken, student, teacher, batch
):
    student.eval(), teacher.eval()
    with torch.no_grad():
        means = [
            m.encode(batch["speech"].clone(), batch["speech_lengths"])[0].mean((1, 2))
            for m in (student, teacher)
        ]
    conf = {"losses": [{"type": "spoken", "weight": 1.0}]}
    attachment = espnet_kd.attach(student, conf, teacher)
    assert "ctc.ctc_lo" in attachment._taps.paths
    stats = student(**clone(batch))[1]
    expected = (means[0] - means[1]).square().mean()
    torch.testing.assert_close(stats["loss_kd_spoken"][0], expected)
    without = build_asr(seed=3, ctc_weight=0.0)
    with pytest.raises(ConfigError, match="the student has no CTC layer to tell"):
        espnet_kd.attach(without, conf, teacher)
