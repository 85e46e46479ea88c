"""A teacher's best hypotheses, by ESPnet's own beam search."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from espnet_kd.host.compat import beam_search
from espnet_kd.model.outputs import ModelOutputs, NBest
from espnet_kd.model.parts import view_of


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
    search = beam_search(model, max(count, 2))
    found = []
    with _quietly():
        for row, length in enumerate(outputs.encoder_out_lens.tolist()):
            frames = outputs.encoder_out[row, :length]
            hyps = search(frames)[:count] if length else []
            found.append([(_labels(model, hyp.yseq), float(hyp.score)) for hyp in hyps])
    return NBest.of(found).to(outputs.encoder_out.device)


def can_search(model: nn.Module) -> bool:
    """Whether ESPnet's search for the asr task is right for a model."""
    is_asr = hasattr(model, "use_transducer_decoder") and hasattr(model, "ctc")
    return is_asr and not hasattr(model, "src_vocab_size")


@contextmanager
def _quietly() -> Iterator[None]:
    """ESPnet's search reports on every utterance; in a training log that is too much."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


def _labels(model: nn.Module, yseq: Tensor | list[int]) -> list[int]:
    """A hypothesis without the start, end and blanks that ESPnet leaves in it."""
    view = view_of(model)
    tokens = [int(token) for token in yseq]
    return [token for token in tokens if token not in (view.blank_id, view.eos_id)]
