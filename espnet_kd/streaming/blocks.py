"""The blocks of a streaming encoder: which models have some, and what they mean in time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from espnet_kd.errors import KDError

ENCODERS = ("contextual_block_conformer", "contextual_block_transformer")
# Others repeat a frame at the seam of two chunks, for their buffer counts on a kernel.
INPUT_LAYERS = ("conv2d", "conv2d6", "conv2d8")
# ESPnet's defaults, which a config.yaml need not name.
DEFAULTS = {"block_size": 40, "hop_size": 16, "look_ahead": 16}


@dataclass(frozen=True)
class Blocks:
    """What a contextual-block encoder hears at a time.

    Attributes:
        block_size: Frames of a block.
        hop_size: Frames from one block to the next.
        look_ahead: Frames at a block's end that are written with the next one.
        frame_ms: Milliseconds of a frame of the encoder's.

    Source: Tsunoo et al. Transformer ASR with Contextual Block Processing. 2019, section 3.
    """

    block_size: int
    hop_size: int
    look_ahead: int
    frame_ms: float

    def __post_init__(self) -> None:
        """Require sizes by which an utterance can be cut.

        Raises:
            KDError: If they do not fit each other.
        """
        sizes = f"block_size {self.block_size}, hop_size {self.hop_size} and look_ahead"
        sizes += f" {self.look_ahead}"
        if self.block_size == 0:
            raise KDError(
                "an encoder of block_size 0 hears an utterance whole and streams nothing; "
                "train with blocks, such as block_size 40, hop_size 16, look_ahead 16"
            )
        if self.hop_size < 1 or self.look_ahead < 0:
            raise KDError(
                f"{sizes} are no blocks: hop_size is at least 1, look_ahead at least 0"
            )
        if self.block_size < self.hop_size + self.look_ahead:
            raise KDError(
                f"{sizes} do not fit: block_size has to hold hop_size and look_ahead, "
                f"which are {self.hop_size + self.look_ahead} frames"
            )

    @property
    def shown(self) -> str:
        """The sizes in words."""
        sizes = f"{self.block_size}, {self.hop_size}, {self.look_ahead}"
        return f"blocks ({sizes}) of {self.frame_ms:g} ms"

    @property
    def look_ahead_ms(self) -> float:
        """What is heard behind a block's last own frame before that is written."""
        return self.look_ahead * self.frame_ms

    @property
    def longest_wait_ms(self) -> float:
        """What is heard behind a block's first own frame, the rest of its hop included."""
        return (self.hop_size - 1 + self.look_ahead) * self.frame_ms

    @property
    def first_ms(self) -> float:
        """How much is heard before anything can be written."""
        return self.block_size * self.frame_ms


def check_streams(name: str, settings: Mapping[str, Any]) -> None:
    """Require a model that ESPnet can feed chunk by chunk.

    Args:
        name: What to call it.
        settings: Its configuration.

    Raises:
        KDError: Naming what of it cannot be streamed.
    """
    encoder = settings.get("encoder")
    if "joint_network_conf" in settings:
        raise KDError(f"{name} is a transducer; say so by --task asr_transducer")
    if settings.get("decoder") == "transducer":
        raise KDError(
            f"{name} is a transducer of the asr task, which is not fed in chunks here; "
            "name one of the asr_transducer task, or a model of CTC and attention with one "
            f"of the encoders {' and '.join(ENCODERS)}"
        )
    if encoder not in ENCODERS:
        raise KDError(
            f"{name} has the encoder '{encoder}', which hears utterances whole; those "
            f"that stream are {' and '.join(ENCODERS)}"
        )
    layer = (settings.get("encoder_conf") or {}).get("input_layer", INPUT_LAYERS[0])
    if layer not in INPUT_LAYERS:
        raise KDError(
            f"{name} has 'input_layer: {layer}', of which ESPnet repeats frames between "
            f"chunks; train with one of {', '.join(INPUT_LAYERS)}"
        )
    check_input(name, settings)


def check_input(name: str, settings: Mapping[str, Any]) -> None:
    """Require that features are made frame by frame.

    Args:
        name: What to call the model.
        settings: Its configuration.

    Raises:
        KDError: Naming what stands in the way.
    """
    if settings.get("normalize") == "utterance_mvn":
        raise KDError(
            f"{name} has 'normalize: utterance_mvn', by a mean that is known when one has "
            "spoken; train with --normalize global_mvn"
        )
    for part in ("preencoder", "postencoder"):
        if kind := settings.get(part):
            raise KDError(
                f"{name} has '{part}: {kind}', which ESPnet leaves out when it streams; "
                f"train without"
            )
    kind = settings.get("frontend")
    if not settings.get("input_size") and kind != "default":
        raise KDError(
            f"{name} has 'frontend: {kind}', which ESPnet cannot feed in chunks; train "
            "with 'frontend: default' or on features"
        )
