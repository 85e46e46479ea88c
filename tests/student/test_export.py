"""The exported graph beside the model that it was made of, and what logging it silences."""

import json
import logging
import sys
import warnings

import onnx
import pytest
import torch
from conftest import INPUT_SIZE, TOKENS, build_asr

from espnet_kd.errors import KDError
from espnet_kd.student import export
from espnet_kd.student.export import (
    EncoderCTC,
    export_onnx,
    open_onnx,
    quantize_onnx,
    run_onnx,
)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """A float graph on disk."""
    path = tmp_path_factory.mktemp("graph") / "ctc.onnx"
    model = EncoderCTC(build_asr(1, encoder="conformer", width=16))
    export_onnx(model, torch.randn(1, 50, INPUT_SIZE), path)
    return path


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("conformer", {}),
        ("transformer", {}),
        ("e_branchformer", {"encoder_conf": {"output_size": 16, "num_blocks": 2}}),
        ("conformer", {"normalize": "utterance_mvn"}),
    ],
)
def test_a_padded_batch_of_any_size_and_length(encoder, options, batch, tmp_path):
    model = build_asr(1, encoder=encoder, width=16, **options).eval()
    with torch.no_grad():
        hidden, expected_lens = model.encode(
            batch["speech"].clone(), batch["speech_lengths"]
        )
        expected = model.ctc.log_softmax(hidden)
    graph = EncoderCTC(model)
    export_onnx(graph, torch.randn(1, 50, INPUT_SIZE), tmp_path / "ctc.onnx")
    found, lens = run_onnx(
        open_onnx(tmp_path / "ctc.onnx"), batch["speech"], batch["speech_lengths"]
    )
    assert lens.tolist() == expected_lens.tolist()
    for row, count in enumerate(lens):
        torch.testing.assert_close(
            found[row, :count], expected[row, :count], atol=1e-4, rtol=0
        )


def test_the_graph_names_its_tokens_blank_and_encoder(graph):
    facts = {entry.key: entry.value for entry in onnx.load(graph).metadata_props}
    assert json.loads(facts["token_list"]) == TOKENS
    assert facts["blank_id"] == "0"
    assert facts["encoder"] == "ConformerEncoder"


def test_only_matrix_products_become_integers(graph, tmp_path):
    quantize_onnx(graph, tmp_path / "int8.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert "MatMulInteger" in kinds
    assert "ConvInteger" not in kinds


def test_other_loggers_speak_while_a_graph_is_quantised(
    graph, tmp_path, caplog, monkeypatch
):
    """A graph is quantised: only onnxruntime's advice is dropped."""
    real = export.keep

    def kept(made, path):
        logging.warning("a message by the root logger")
        logging.getLogger("somebody.else").warning("a message of another logger")
        real(made, path)

    monkeypatch.setattr(export, "keep", kept)
    before = (logging.root.manager.disable, list(logging.root.filters))
    with caplog.at_level(logging.INFO):
        quantize_onnx(graph, tmp_path / "int8.onnx")
    assert [record.getMessage() for record in caplog.records] == [
        "a message by the root logger",
        "a message of another logger",
    ]
    assert (logging.root.manager.disable, list(logging.root.filters)) == before


def test_the_quantisers_errors_are_not_dropped(tmp_path):
    quiet = export._ExceptPackage(tmp_path)
    source = str(tmp_path / "deep" / "quantize.py")

    def record(level, path):
        return logging.LogRecord("root", level, path, 1, "text", None, None)

    assert not quiet.filter(record(logging.WARNING, source))
    assert quiet.filter(record(logging.ERROR, source))
    assert quiet.filter(record(logging.INFO, "/elsewhere/quantize.py"))


def test_other_warnings_and_loggers_speak_while_a_model_is_traced(tmp_path, caplog):
    class Talks(torch.nn.Module):
        token_list = TOKENS
        encoder = torch.nn.Identity()

        def __init__(self):
            super().__init__()
            self.ctc = torch.nn.Module()
            self.ctc.ctc_lo = torch.nn.Linear(4, 3)

        def encode(self, feats, lens):
            warnings.warn("something to know", stacklevel=1)
            logging.getLogger("somebody.else").warning("heard as well")
            return feats, lens if feats.shape[1] > 0 else lens + 1

    model = EncoderCTC(Talks())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        export_onnx(model, torch.randn(1, 5, 4), tmp_path / "ctc.onnx")
    assert "something to know" in {str(warning.message) for warning in told}
    assert not any("Tracer" in warning.category.__name__ for warning in told)
    assert "heard as well" in caplog.messages


def test_what_cannot_be_exported_is_refused(tmp_path, monkeypatch):
    with pytest.raises(KDError, match="no CTC layer"):
        EncoderCTC(build_asr(1, ctc_weight=0.0))
    model = EncoderCTC(build_asr(1))
    with pytest.raises(KDError, match=r"TransformerEncoder cannot be exported \("):
        export_onnx(model, torch.randn(1, 50, 2 * INPUT_SIZE), tmp_path / "ctc.onnx")
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for call in (lambda: quantize_onnx(tmp_path, tmp_path), lambda: open_onnx(tmp_path)):
        with pytest.raises(KDError, match=r"pip install 'espnet_kd\[deploy\]'"):
            call()
