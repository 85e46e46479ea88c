"""How much of the future a model's encoder hears: streaming encoders, and their switch.

ESPnet streams in two ways. Contextual-block encoders (``block_size``, ``hop_size``,
``look_ahead``) hear an utterance block by block in training and evaluation; of 0 frames a
block is the whole utterance. The asr_transducer task's encoder, with
``dynamic_chunk_training``, hears chunks of random size. Either has one set of weights for
blocks and for whole utterances.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.model.parts import is_unidirectional

# Attribute of an encoder that limits what it hears -> its value for whole utterances.
SWITCHES = {"block_size": 0, "dynamic_chunk_training": False}


def limited_context(model: nn.Module) -> str:
    """What keeps an encoder from hearing all of the future, as words; empty if nothing."""
    encoder: Any = getattr(model, "encoder", None)
    if getattr(encoder, "block_size", 0):
        return f"hears blocks of {encoder.block_size} frames, {encoder.look_ahead} ahead"
    if getattr(encoder, "dynamic_chunk_training", False):
        return "is trained on chunks (dynamic_chunk_training)"
    return "has an encoder of one direction" if is_unidirectional(model) else ""


def has_two_modes(encoder: nn.Module | None) -> bool:
    """Whether an encoder hears less than it could, and can be told to hear all."""
    return any(getattr(encoder, name, whole) != whole for name, whole in SWITCHES.items())


@contextmanager
def full_context(encoder: nn.Module) -> Iterator[None]:
    """Let a streaming encoder hear whole utterances for a while, by the same weights."""
    limits = {name: getattr(encoder, name) for name in SWITCHES if hasattr(encoder, name)}
    for name in limits:
        setattr(encoder, name, SWITCHES[name])
    try:
        yield
    finally:
        for name, limit in limits.items():
            setattr(encoder, name, limit)


def check_blocks(model: nn.Module) -> None:
    """Require of blocks that their parts fit, of which ESPnet says nothing.

    Raises:
        KDError: If they do not.
    """
    encoder: Any = getattr(model, "encoder", None)
    if not getattr(encoder, "block_size", 0):
        return
    block, hop, ahead = encoder.block_size, encoder.hop_size, encoder.look_ahead
    if hop < 1 or ahead < 0 or hop + ahead > block:
        raise KDError(
            f"the student's encoder_conf does not fit: a block of {block} frames "
            f"(block_size) holds a step of at least 1 (hop_size: {hop}) and what is heard "
            f"ahead of it (look_ahead: {ahead}), together at most {block}; for example "
            "block_size 40, hop_size 16 and look_ahead 16"
        )
