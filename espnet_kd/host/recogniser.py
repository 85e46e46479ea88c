"""ESPnet's own recognisers, which answer alike whatever task a model is of."""

import inspect
from typing import Any, Protocol

from torch import Tensor, nn

from espnet_kd.errors import KDError, suggest
from espnet_kd.host.quiet import quiet_import

# Task -> ESPnet's module and class that hears utterances whole, and chunk by chunk.
WHOLE = {
    "asr": ("asr_inference", "Speech2Text"),
    "asr_transducer": ("asr_transducer_inference", "Speech2Text"),
}
STREAMING = WHOLE | {"asr": ("asr_inference_streaming", "Speech2TextStreaming")}


class Recogniser(Protocol):
    """The part of ESPnet's recognisers that this package uses.

    Attributes:
        asr_model: The model.
    """

    asr_model: nn.Module

    def __call__(self, speech: Tensor) -> list[tuple[Any, ...]]:
        """Decode one utterance into ``(text, tokens, ids, hypothesis)``, best first."""


class WholeRecogniser:
    """ESPnet's recogniser of the asr task, without what intermediate CTC says beside.

    Args:
        stock: ESPnet's.
    """

    def __init__(self, stock: Any) -> None:
        self.stock = stock
        self.asr_model: nn.Module = stock.asr_model

    def __call__(self, speech: Tensor) -> list[tuple[Any, ...]]:
        """Decode one utterance as any recogniser does."""
        answer = self.stock(speech)
        found: list[tuple[Any, ...]] = answer[0] if isinstance(answer, tuple) else answer
        return found


class TransducerRecogniser:
    """ESPnet's recogniser of the asr_transducer task, which answers by hypotheses.

    Args:
        stock: ESPnet's.
    """

    def __init__(self, stock: Any) -> None:
        self.stock = stock
        self.asr_model: nn.Module = stock.asr_model

    def __call__(self, speech: Tensor) -> list[tuple[Any, ...]]:
        """Decode one utterance as any recogniser does."""
        found: list[tuple[Any, ...]] = self.stock.hypotheses_to_results(self.stock(speech))
        return found


def recogniser(
    config: str,
    weights: str | None,
    device: str,
    options: dict[str, Any],
    *,
    task: str = "asr",
    is_streaming: bool = False,
) -> Recogniser:
    """Build ESPnet's own recogniser of a task, as its inference does.

    Args:
        config: Path of the model's ``config.yaml``.
        weights: Path of the checkpoint; None leaves the model's weights random.
        device: Where the model runs.
        options: Options of ESPnet's inference.
        task: Name of the model's task.
        is_streaming: Whether it hears utterances chunk by chunk.

    Raises:
        KDError: If there is no such option, or no recogniser of such models.
    """
    known = STREAMING if is_streaming else WHOLE
    if task not in known:
        raise KDError(f"no recogniser of the task '{task}'; {suggest(task, known)}")
    module, name = known[task]
    stock = getattr(quiet_import(f"espnet2.bin.{module}"), name)
    taken = inspect.signature(stock.__init__).parameters
    if unknown := sorted(options.keys() - taken.keys()):
        raise KDError(f"no option of {module}: {suggest(unknown[0], taken)}")
    if task == "asr_transducer":
        more = options | {"streaming": is_streaming}
        return TransducerRecogniser(stock(config, weights, device=device, **more))
    found = stock(config, weights, device=device, **options)
    return found if is_streaming else WholeRecogniser(found)
