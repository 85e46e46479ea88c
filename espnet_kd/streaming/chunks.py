"""The chunks of a transducer's encoder: who is trained on them, and how long they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.streaming.blocks import check_input

# ESPnet's defaults, which an inference configuration need not name.
WINDOW_MS, LEFT_CONTEXT = 640.0, 32


@dataclass(frozen=True)
class Chunks:
    """What a chunk-trained encoder hears at a time.

    Attributes:
        hop_size: Frames from one chunk to the next.
        left_context: Frames behind a chunk that its frames attend to.
        frame_ms: Milliseconds of a frame of the encoder's.
    """

    hop_size: float
    left_context: int
    frame_ms: float

    @property
    def shown(self) -> str:
        """The sizes in words."""
        return (
            f"chunks of {self.hop_size:g} frames of {self.frame_ms:g} ms and "
            f"{self.left_context} behind them"
        )

    @property
    def look_ahead_ms(self) -> float:
        """A chunk's last frame is written with the next one, for it touches the seam."""
        return self.frame_ms

    @property
    def longest_wait_ms(self) -> float:
        """What is heard behind the first frame of a chunk, the rest of it included."""
        return self.hop_size * self.frame_ms

    @property
    def first_ms(self) -> float:
        """How much is heard before anything can be written."""
        return self.hop_size * self.frame_ms


def check_chunks(name: str, settings: Mapping[str, Any]) -> None:
    """Require a model of the asr_transducer task that can be fed chunk by chunk.

    Args:
        name: What to call it.
        settings: Its configuration.

    Raises:
        KDError: Naming what of it cannot be streamed.
    """
    conf = settings.get("encoder_conf") or {}
    body = conf.get("body_conf")
    if not body:
        raise KDError(
            f"{name} is no model of the asr_transducer task, whose encoder_conf has a "
            "body_conf; name its own by --task"
        )
    if not (conf.get("main_conf") or {}).get("dynamic_chunk_training"):
        raise KDError(
            f"{name} was trained without chunks and hears utterances whole; train with "
            "'dynamic_chunk_training: true' in main_conf of its encoder_conf"
        )
    if any(block.get("block_type") == "conv1d" for block in body):
        raise KDError(
            f"{name} has blocks 'conv1d', of which ESPnet keeps no positions between "
            "chunks; train with conformer or branchformer blocks"
        )
    check_input(name, settings)


def check_search(options: Mapping[str, Any]) -> None:
    """Require a search that goes on where the last chunk ended.

    Raises:
        KDError: If it begins anew.
    """
    conf = options.get("beam_search_config") or {}
    if conf.get("search_type") == "alsd":
        raise KDError(
            "--inference_config has 'search_type: alsd', which begins anew with every "
            "chunk; choose default, tsd or maes"
        )


def stride_of(embed: Any) -> int:
    """Feature frames from one frame of an encoder's to the next."""
    return prod(stride for _, stride, _, _ in _layers(embed))


def frames_of(embed: Any, frames: int) -> int:
    """Frames of an encoder's that so many of features become."""
    for kernel, stride, padding, rounded_up in _layers(embed):
        spare = frames + 2 * padding - kernel
        frames = max((spare + rounded_up * (stride - 1)) // stride + 1, 0)
    return frames


def _layers(embed: Any) -> list[tuple[int, int, int, bool]]:
    """Kernel, stride, padding in time, and whether an incomplete last window counts."""
    return [
        (_first(m.kernel_size), _first(m.stride), _first(m.padding), _rounds_up(m))
        for m in embed.conv
        if isinstance(m, nn.Conv2d | nn.MaxPool2d)
    ]


def _first(size: Any) -> int:
    return int(size[0] if isinstance(size, tuple) else size)


def _rounds_up(module: Any) -> bool:
    return bool(getattr(module, "ceil_mode", False))
