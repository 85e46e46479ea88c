"""How far a changed model is from the model that it was made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.model.taps import first_tensor
from espnet_kd.student.export import EncoderCTC, open_onnx, run_onnx


def sqnr(
    float_model: nn.Module, compressed_model: nn.Module, speech: list[Tensor]
) -> float:
    r"""Signal to quantisation noise ratio of encoder outputs, in dB.

    .. math:: 10 \log_{10} \frac{\sum h^2}{\sum (h - \hat h)^2}

    Args:
        float_model: Gives ``h``.
        compressed_model: The same model in a smaller form; gives ``h-hat``.
        speech: Utterances, (1, L) or (1, L, D).

    Returns:
        The ratio over all utterances; infinite if the two agree.
    """
    signal = noise = 0.0
    for audio in speech:
        float_hidden = _encoded(float_model, audio)
        compressed_hidden = _encoded(compressed_model, audio)
        signal += float(float_hidden.double().square().sum())
        noise += float((float_hidden - compressed_hidden).double().square().sum())
    return 10 * math.log10(signal / noise) if noise else math.inf


@dataclass(frozen=True)
class GraphDistance:
    """Distance of an exported graph from the PyTorch model that it was made of.

    Attributes:
        largest: Greatest absolute difference of a log-probability.
        kl: Kullback-Leibler divergence of the graph's posteriors, nats a frame.
        agreement: Share of the frames whose best token is the same, 0 to 1.
        frames: Number of frames compared.
    """

    largest: float
    kl: float
    agreement: float
    frames: int

    @classmethod
    def of(
        cls, model_log_probs: Sequence[Tensor], graph_log_probs: Sequence[Tensor]
    ) -> "GraphDistance":
        """Compare log-probabilities, (T, V) a piece, of at least one frame in all."""
        model_all = torch.cat(list(model_log_probs)).double()
        graph_all = torch.cat(list(graph_log_probs)).double()
        apart = model_all - graph_all
        same = model_all.argmax(-1) == graph_all.argmax(-1)
        return cls(
            largest=float(apart.abs().max()),
            kl=float((model_all.exp() * apart).sum(-1).mean()),
            agreement=float(same.double().mean()),
            frames=len(apart),
        )

    def __str__(self) -> str:
        """The distance as a sentence fragment that names PyTorch."""
        return (
            f"beside PyTorch, over {self.frames} frames: log-probabilities differ by at "
            f"most {self.largest:.2g}, KL {self.kl:.2g} nats a frame, best token the same "
            f"in {self.agreement:.2%}"
        )


def graph_distance(model: EncoderCTC, path: Path, feats: list[Tensor]) -> GraphDistance:
    """Compare a graph with its model on the same features.

    Args:
        model: The model that was exported.
        path: The graph.
        feats: Utterances, (1, T, D), as the front end gives them.

    Raises:
        KDError: If the two do not even agree in the number of frames.
    """
    session = open_onnx(path)
    pairs = [_both(model, session, utterance) for utterance in feats]
    return GraphDistance.of([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _both(model: EncoderCTC, session: Any, feats: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities (T, V) of the model and of its graph for one utterance."""
    lens = torch.tensor([feats.shape[1]])
    with torch.no_grad():
        model_log_probs, model_frames = model(feats, lens)
    graph_log_probs, graph_frames = run_onnx(session, feats, lens)
    if not torch.equal(model_frames, graph_frames):
        raise KDError(
            f"the graph gives {int(graph_frames)} frames where PyTorch gives "
            f"{int(model_frames)}"
        )
    return model_log_probs[0], graph_log_probs[0]


def _encoded(model: Any, audio: Tensor) -> Tensor:
    """The encoder's output for one utterance, (1, T, D)."""
    lens = torch.tensor([audio.shape[1]])
    with torch.no_grad():
        hidden = first_tensor(model.encode(audio.clone(), lens))
    assert hidden is not None, "an encoder gives vectors"
    return hidden
