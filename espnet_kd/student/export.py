"""A model's encoder and CTC layer as an ONNX graph, in float and in 8 bits."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.model.parts import parts_of

INPUTS = ("feats", "feats_lengths")
OUTPUTS = ("ctc_log_probs", "encoder_out_lens")
OPSET = 18
# Convolutions stay in float: as integers they are slower than before.
ROUNDED = ("MatMul", "Gemm")


class EncoderCTC(nn.Module):
    """What is exported: features to CTC's log-probabilities.

    Args:
        model: An ESPnet model with CTC; its front end, whose features are the input,
            and its normalisation are taken off it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        path = parts_of(model).ctc_lo
        if path is None:
            raise KDError(
                "this model has no CTC layer (ctc_weight is 0), and only encoder and CTC "
                "are exported"
            )
        self.normalize = getattr(model, "normalize", None)
        model.frontend = model.normalize = None
        self.model, self.ctc_lo = model, model.get_submodule(path)
        self.eval()

    def forward(self, feats: Tensor, feats_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Hear features.

        Args:
            feats: (B, T, D), as the front end gives them, before normalisation.
            feats_lengths: (B,).

        Returns:
            ``ctc_log_probs`` (B, T', V) and ``encoder_out_lens`` (B,).
        """
        # ESPnet normalises in place, after a slice: there the tracer would lose it.
        if self.normalize is not None:
            feats, feats_lengths = self.normalize(feats.clone(), feats_lengths)
        hidden, lens = self.model.encode(feats, feats_lengths)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return self.ctc_lo(hidden).log_softmax(-1), lens


def export_onnx(graph: EncoderCTC, example: Tensor, path: Path) -> None:
    """Write a model's graph; any number of utterances of any length can be put to it.

    Args:
        graph: The model.
        example: (1, T, D) features to trace.
        path: The ``.onnx``; its metadata name the tokens and blank.

    Raises:
        KDError: If onnx is missing, or the model cannot be traced.
    """
    lens = torch.tensor([example.shape[1]])
    axes = {name: {0: "batch"} for name in (*INPUTS, *OUTPUTS)}
    axes["feats"][1], axes["ctc_log_probs"][1] = "time", "frames"
    _onnx()
    with TemporaryDirectory() as folder, _quietly(), torch.no_grad():
        traced = Path(folder) / "traced.onnx"
        try:
            torch.onnx.export(
                *(graph, (example, lens), traced),
                input_names=INPUTS,
                output_names=OUTPUTS,
                dynamic_axes=axes,
                opset_version=OPSET,
                # torch.export cannot follow ESPnet's masks, which depend on values.
                dynamo=False,
            )
        except Exception as error:
            # Whatever an encoder of the zoo raises, the user needs to know which it is.
            kind = type(graph.model.encoder).__name__
            text = f"{kind} cannot be exported ({type(error).__name__}: {error})"
            raise KDError(text) from None
        _describe(graph.model, traced)
        _keep(traced, path)


def quantize_onnx(source: Path, path: Path) -> None:
    """Write a graph's twin whose matrix products are of 8-bit integers (onnxruntime)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with TemporaryDirectory() as folder, _quietly():
        made = Path(folder) / "int8.onnx"
        quantize_dynamic(
            *(source, made),
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(ROUNDED),
        )
        _keep(made, path)


def run_onnx(session: Any, feats: Tensor, feats_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Hear features with an exported graph that ``open_onnx`` has opened."""
    values = zip(INPUTS, (feats.numpy(), feats_lengths.numpy()), strict=True)
    log_probs, lens = session.run(None, dict(values))
    return torch.from_numpy(log_probs), torch.from_numpy(lens)


def open_onnx(path: Path) -> Any:
    """An exported graph, ready to run by onnxruntime on one CPU thread."""
    _onnx()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _describe(model: nn.Module, path: Path) -> None:
    onnx = _onnx()
    content = onnx.load(path)
    facts = {
        "token_list": json.dumps(list(model.token_list)),
        "blank_id": str(parts_of(model).blank_id),
        "encoder": type(model.encoder).__name__,
    }
    onnx.helper.set_model_props(content, facts)
    onnx.checker.check_model(content)
    onnx.save(content, path)


def _keep(made: Path, path: Path) -> None:
    with whole_file(path, "wb") as file:
        file.write(made.read_bytes())


def _onnx() -> Any:
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError:
        raise KDError(
            "ONNX needs onnx and onnxruntime: python -m pip install 'espnet_kd[deploy]'"
        ) from None
    return onnx


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the tracer's remarks on every check of a shape."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
