"""A model's encoder and CTC layer as an ONNX graph, in float and in 8 bits."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.model.parts import parts_of
from espnet_kd.model.taps import first_tensor

INPUTS = ("feats", "feats_lengths")
OUTPUTS = ("ctc_log_probs", "encoder_out_lens")
OPSET = 18
# Convolutions stay in float: as integers they are slower than before.
ROUNDED = ("MatMul", "Gemm")


@dataclass(frozen=True)
class Signature:
    """How a graph's inputs and outputs are called.

    Attributes:
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        axes: By name, the axes of any length and what they are called.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]


class EncoderCTC(nn.Module):
    """The part of a model that is exported, from features to CTC's log-probabilities.

    Args:
        model: An ESPnet model with CTC; its front end, whose features are the input,
            and its normalisation are taken off it.

    Raises:
        KDError: If the model has no CTC layer.
    """

    def __init__(self, model: Any) -> None:
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
        """Compute the log-probabilities of features.

        Args:
            feats: (B, T, D), as the front end gives them, before normalisation.
            feats_lengths: Numbers of frames, (B,).

        Returns:
            ``ctc_log_probs`` (B, T', V) and ``encoder_out_lens`` (B,).
        """
        # ESPnet normalises in place, after a slice: there the tracer would lose it.
        if self.normalize is not None:
            feats, feats_lengths = self.normalize(feats.clone(), feats_lengths)
        hidden, lens = self.model.encode(feats, feats_lengths)
        log_probs: Tensor = self.ctc_lo(first_tensor(hidden)).log_softmax(-1)
        return log_probs, lens


def export_onnx(graph: EncoderCTC, example: Tensor, path: Path) -> None:
    """Write a model's graph; any number of utterances of any length can be put to it.

    Args:
        graph: The model.
        example: (1, T, D) features to trace.
        path: The ``.onnx`` to write; its metadata name the tokens and blank.

    Raises:
        KDError: If onnx is missing, or the model cannot be traced.
    """
    lens = torch.tensor([example.shape[1]])
    axes = {name: {0: "batch"} for name in (*INPUTS, *OUTPUTS)}
    axes["feats"][1], axes["ctc_log_probs"][1] = "time", "frames"
    onnx_package()
    with TemporaryDirectory() as folder:
        traced = Path(folder) / "traced.onnx"
        try:
            trace(graph, (example, lens), traced, Signature(INPUTS, OUTPUTS, axes))
        except Exception as error:
            # Encoders of the zoo raise errors of many kinds; the user needs the name.
            kind = type(graph.model.encoder).__name__
            text = f"{kind} cannot be exported ({type(error).__name__}: {error})"
            raise KDError(text) from None
        content = onnx_package().load(traced)
        write_onnx(content, facts_of(graph.model), path)


def trace(
    module: nn.Module, example: tuple[Tensor, ...], path: Path, signature: Signature
) -> None:
    """Write what a module does with an example as an ONNX file.

    Args:
        module: In evaluation mode.
        example: Its arguments.
        path: The file.
        signature: How its inputs and outputs are called.
    """
    with _without_remarks(), torch.no_grad():
        torch.onnx.export(
            *(module, example, path),
            input_names=signature.inputs,
            output_names=signature.outputs,
            dynamic_axes=signature.axes,
            opset_version=OPSET,
            # torch.export cannot follow ESPnet's masks, which depend on values.
            dynamo=False,
        )


def facts_of(model: Any) -> dict[str, str]:
    """What the metadata of every graph of a model say: tokens, blank, encoder."""
    return {
        "token_list": json.dumps(list(model.token_list)),
        "blank_id": str(parts_of(model).blank_id),
        "encoder": type(model.encoder).__name__,
    }


def write_onnx(content: Any, facts: dict[str, str], path: Path) -> None:
    """Check a graph, give it metadata, and write it whole or not at all.

    Args:
        content: An ``onnx.ModelProto``.
        facts: The metadata.
        path: The file.

    Raises:
        KDError: If the file cannot be written.
    """
    onnx = onnx_package()
    onnx.helper.set_model_props(content, facts)
    onnx.checker.check_model(content)
    with whole_file(path, "wb") as file:
        file.write(content.SerializeToString())


def quantize_onnx(source: Path, path: Path) -> None:
    """Write a graph whose matrix products are of 8-bit integers (onnxruntime).

    Args:
        source: The graph in float.
        path: The file to write.

    Raises:
        KDError: If onnxruntime is missing, or the file cannot be written.
    """
    onnx_package()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with TemporaryDirectory() as folder, _without_advice():
        made = Path(folder) / "int8.onnx"
        quantize_dynamic(
            *(source, made),
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(ROUNDED),
            # A streaming graph's encoder is a branch, run where a block is complete.
            extra_options={"EnableSubgraph": True},
        )
        keep(made, path)


def run_onnx(session: Any, feats: Tensor, feats_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Run an exported graph on features.

    Args:
        session: The graph as ``open_onnx`` gives it.
        feats: (B, T, D) float32.
        feats_lengths: Numbers of frames, (B,) int64.

    Returns:
        ``ctc_log_probs`` (B, T', V) and ``encoder_out_lens`` (B,).
    """
    values = zip(INPUTS, (feats.numpy(), feats_lengths.numpy()), strict=True)
    log_probs, lens = session.run(None, dict(values))
    return torch.from_numpy(log_probs), torch.from_numpy(lens)


def open_onnx(path: Path) -> Any:
    """Open an exported graph in onnxruntime, on one CPU thread.

    Raises:
        KDError: If onnx or onnxruntime is missing.
    """
    onnx_package()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def keep(made: Path, path: Path) -> None:
    """Copy a finished graph to its place, whole or not at all.

    Raises:
        KDError: If the file cannot be written.
    """
    with whole_file(path, "wb") as file:
        file.write(made.read_bytes())


def onnx_package() -> Any:
    """Give the package ``onnx``, where onnxruntime is there as well.

    Raises:
        KDError: If one of them is missing.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError:
        raise KDError(
            "ONNX needs onnx and onnxruntime: python -m pip install 'espnet_kd[deploy]'"
        ) from None
    return onnx


class _ExceptPackage(logging.Filter):
    """Drop what one package logs below ERROR, and let everything else through."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is let through."""
        of_package = self.folder in Path(record.pathname).parents
        return record.levelno >= logging.ERROR or not of_package


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence onnxruntime's advice on quantising, and nothing else.

    It is logged by the root logger, as everybody's messages may be: hence by the file that
    a record comes from.
    """
    import onnxruntime

    quiet = _ExceptPackage(Path(onnxruntime.__file__).parent)
    root = logging.getLogger()
    root.addFilter(quiet)
    try:
        yield
    finally:
        root.removeFilter(quiet)


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Silence the tracer's warnings on every check of a shape, and nothing else."""
    with warnings.catch_warnings():
        for category in (TracerWarning, DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        yield
