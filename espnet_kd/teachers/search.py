"""A teacher's best hypotheses, by ESPnet's own beam search."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from espnet_kd.host.compat import beam_search
from espnet_kd.model.outputs import ModelOutputs, NBest
from espnet_kd.model.parts import parts_of


def find_nbest(model: nn.Module, outputs: ModelOutputs, count: int) -> NBest:
    """Search each utterance of a batch for its best hypotheses.

    One utterance after the other, as ESPnet does: it takes longer than a training step.
    For more than a trial, decode once and for all and train on the result.

    Args:
        model: The model, evaluating.
        outputs: Its encoder's output.
        count: Hypotheses wanted; also the beam.

    Returns:
        Up to ``count`` hypotheses, as int64 on the encoder's device.
    """
    search = _one_by_one_if_needed(beam_search(model, max(count, 2)))
    encoder_out = outputs.encoder_out
    assert encoder_out is not None, "every pass keeps its encoder's output"
    found = []
    with _quietly(search):
        for row, length in enumerate(outputs.encoder_out_lens.tolist()):
            frames = encoder_out[row, :length]
            hyps = search(frames)[:count] if length else []
            found.append([(_labels(model, hyp.yseq), float(hyp.score)) for hyp in hyps])
    return NBest.of(found).to(encoder_out.device)


def can_search(model: nn.Module) -> bool:
    """Whether ESPnet's search for the asr task is right for a model."""
    is_asr = hasattr(model, "use_transducer_decoder") and hasattr(model, "ctc")
    return is_asr and not hasattr(model, "src_vocab_size")


def _one_by_one_if_needed(search: Any) -> Any:
    """Let recurrent decoders, which know no batches, score one hypothesis after another.

    ESPnet takes the plain search's class for them in the same way; a transducer's search
    has no scorers.
    """
    scorers = getattr(search, "full_scorers", {}).values()
    if not all(hasattr(scorer, "batch_init_state") for scorer in scorers):
        search.__class__ = type(search).__base__
    return search


@contextmanager
def _quietly(search: object) -> Iterator[None]:
    """ESPnet's search reports on every utterance; in a training log that is too much.

    Only the search's own modules are silenced, and only for as long as it runs.
    """
    names = {kind.__module__ for kind in type(search).__mro__ if kind is not object}
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in levels:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _labels(model: nn.Module, yseq: Tensor | list[int]) -> list[int]:
    """A hypothesis without the start, end and blanks that ESPnet leaves in it."""
    parts = parts_of(model)
    no_labels = (parts.blank_id, parts.sos_id, parts.eos_id)
    return [int(token) for token in yseq if int(token) not in no_labels]
