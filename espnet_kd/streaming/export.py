"""An encoder that streams as an ONNX graph: a chunk and a state in, posteriors out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from espnet_kd.errors import KDError
from espnet_kd.streaming.blocks import Blocks
from espnet_kd.streaming.graph import ChunkFrames, ChunkPosteriors
from espnet_kd.student.export import (
    OPSET,
    EncoderCTC,
    Signature,
    facts_of,
    onnx_package,
    trace,
    write_onnx,
)

STATE = ("kept_feats", "kept_frames", "contexts", "blocks")
INPUTS = ("feats", "is_final", *STATE)
OUTPUTS = ("ctc_log_probs", *(f"next_{name}" for name in STATE))
# What the first half of a graph tells the second.
BETWEEN = ("frames", "new_blocks", "is_whole")
FRAMES = Signature(
    ("feats", "is_final", "kept_feats", "kept_frames", "blocks"),
    (*BETWEEN, "next_kept_feats", "next_kept_frames"),
    {
        name: {1: f"{name}_time"}
        for name in ("feats", "frames", *(p + k for p in ("", "next_") for k in STATE[:2]))
    },
)
POSTERIORS = Signature(
    (*BETWEEN, "is_final", "contexts", "blocks"),
    ("ctc_log_probs", "next_contexts", "next_blocks"),
    {"frames": {1: "frames_time"}, "ctc_log_probs": {1: "frames"}},
)


@dataclass(frozen=True)
class Heard:
    """What features a graph is given, which it tells whoever runs it.

    Attributes:
        size: Numbers of a frame.
        sample_rate: Samples a second of the audio that they are made of.
        shift_ms: Milliseconds from one frame to the next.
        frontend: How the model's own front end makes them; None if it has none.
    """

    size: int
    sample_rate: float
    shift_ms: float
    frontend: Mapping[str, Any] | None = None


def chunk_frames(encoder: Any) -> int:
    """Feature frames of a hop: each such chunk completes a block, once one was heard."""
    frames: int = encoder.hop_size * encoder.subsample
    return frames


def first_state(encoder: Any, size: int) -> dict[str, Tensor]:
    """What an utterance begins with.

    Args:
        encoder: A contextual-block encoder.
        size: Numbers of a frame of features.
    """
    width = encoder.output_size()
    return {
        "kept_feats": torch.zeros(1, 0, size),
        "kept_frames": torch.zeros(1, 0, width),
        "contexts": torch.zeros(len(encoder.encoders), width),
        "blocks": torch.zeros(1, dtype=torch.int64),
    }


def export_streaming(graph: EncoderCTC, heard: Heard, path: Path) -> None:
    """Write a model's graph that is fed chunk by chunk.

    Args:
        graph: The model, whose encoder is one of contextual blocks.
        heard: Its features.
        path: The ``.onnx`` to write.

    Raises:
        KDError: If onnx is missing, or the model cannot be exported.
    """
    onnx, encoder = onnx_package(), graph.model.encoder
    # Named by what is wrong with them; ESPnet stops in the middle of an utterance.
    sizes = (encoder.block_size, encoder.hop_size, encoder.look_ahead)
    Blocks(*sizes, encoder.subsample * heard.shift_ms)
    if not encoder.init_average:
        raise KDError(
            "an encoder of 'init_average: false' stops in ESPnet at its first block; train "
            "with 'init_average: true'"
        )
    with TemporaryDirectory() as folder:
        halves = [Path(folder) / name for name in ("frames.onnx", "posteriors.onnx")]
        try:
            _trace_halves(graph, heard.size, halves)
        except Exception as error:
            # Options of the layers fail in many ways; the user needs the encoder's name.
            kind = type(encoder).__name__
            text = f"{kind} cannot be exported ({type(error).__name__}: {error})"
            raise KDError(text) from None
        content = _joined(*[onnx.load(half) for half in halves])
    facts = facts_of(graph.model) | streaming_facts(encoder, heard)
    write_onnx(content, facts, path)


def streaming_facts(encoder: Any, heard: Heard) -> dict[str, str]:
    """What the metadata say, so that nothing else is needed to run a graph.

    Args:
        encoder: A contextual-block encoder.
        heard: Its features.
    """
    state = {
        name: {"shape": list(value.shape), "type": str(value.dtype).removeprefix("torch.")}
        for name, value in first_state(encoder, heard.size).items()
    }
    return {
        "feature_size": str(heard.size),
        "sample_rate": f"{heard.sample_rate:g}",
        "frame_shift_ms": f"{heard.shift_ms:g}",
        "frontend": json.dumps(heard.frontend),
        "chunk_frames": str(chunk_frames(encoder)),
        "subsampling": str(encoder.subsample),
        "block_size": str(encoder.block_size),
        "hop_size": str(encoder.hop_size),
        "look_ahead": str(encoder.look_ahead),
        "state": json.dumps(state),
    }


def _trace_halves(graph: EncoderCTC, size: int, paths: list[Path]) -> None:
    """Trace both halves with a chunk in the middle of an utterance."""
    encoder = graph.model.encoder
    state = first_state(encoder, size) | {"blocks": torch.ones(1, dtype=torch.int64)}
    ears, mouth = ChunkFrames(graph), ChunkPosteriors(graph)
    feats = torch.zeros(1, 3 * encoder.block_size * encoder.subsample, size)
    is_final = torch.tensor(False)
    kept = (state["kept_feats"], state["kept_frames"], state["blocks"])
    trace(ears, (feats, is_final, *kept), paths[0], FRAMES)
    with torch.no_grad():
        between = ears(feats, is_final, *kept)[: len(BETWEEN)]
    rest = (is_final, state["contexts"], state["blocks"])
    trace(mouth, (*between, *rest), paths[1], POSTERIORS)


def _joined(first: Any, second: Any) -> Any:
    """Make one graph of both halves, whose second is run where a block is complete.

    No block is a tensor of no rows, which onnxruntime cannot reshape; and a chunk that
    completes none costs next to nothing.
    """
    onnx = onnx_package()
    make, prefix = onnx.helper.make_node, onnx.compose.add_prefix
    values = {v.name: v for half in (first, second) for v in _ends(half.graph)}
    first = prefix(first, "frames/", rename_inputs=False, rename_outputs=False)
    second = prefix(second, "posteriors/", rename_inputs=False)
    zero = onnx.helper.make_tensor("zero", onnx.TensorProto.INT64, [], [0])
    branches = {
        # Its inputs are what it finds around it by their names.
        "then_branch": onnx.helper.make_graph(
            second.graph.node, "heard", [], second.graph.output, second.graph.initializer
        ),
        "else_branch": _silence([values[name] for name in POSTERIORS.outputs]),
    }
    nodes = [
        *first.graph.node,
        make("Constant", [], ["zero"], value=zero),
        make("Greater", [BETWEEN[1], "zero"], ["is_heard"]),
        make("If", ["is_heard"], POSTERIORS.outputs, **branches),
    ]
    ends = [[values[name] for name in names] for names in (INPUTS, OUTPUTS)]
    graph = onnx.helper.make_graph(nodes, "streaming", *ends, first.graph.initializer)
    opset = onnx.helper.make_opsetid("", OPSET)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=first.ir_version)


def _ends(graph: Any) -> tuple[Any, ...]:
    return (*graph.input, *graph.output)


def _silence(heard: list[Any]) -> Any:
    """Where no block is complete: posteriors of no frame, the state as it was."""
    onnx = onnx_package()
    make = onnx.helper.make_node
    outputs = [type(value).FromString(value.SerializeToString()) for value in heard]
    for value in outputs:
        value.name = f"silence/{value.name}"
    tokens = heard[0].type.tensor_type.shape.dim[2].dim_value
    shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [3], [1, 0, tokens])
    nodes = [
        make("Constant", [], ["silence/shape"], value=shape),
        make("ConstantOfShape", ["silence/shape"], [outputs[0].name]),
        make("Identity", ["contexts"], [outputs[1].name]),
        make("Identity", ["blocks"], [outputs[2].name]),
    ]
    return onnx.helper.make_graph(nodes, "silence", [], outputs)
