"""Distances of changed models, by hand."""

import numpy as np
import pytest
import torch

from espnet_kd.errors import KDError
from espnet_kd.student.distance import GraphDistance, graph_distance, sqnr


def test_sqnr_by_hand():
    class Says(torch.nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def encode(self, speech, lens):
            return self.factor * speech, lens

    speech = [torch.ones(1, 4, 2), torch.full((1, 3, 2), 2.0)]
    # noise is a tenth of the signal everywhere: 10 log10(1 / 0.01)
    assert sqnr(Says(1.0), Says(1.1), speech) == pytest.approx(20, abs=1e-4)
    assert sqnr(Says(1.0), Says(1.0), speech) == float("inf")


def test_sqnr_of_an_encoder_with_an_intermediate_ctc_is_of_its_last_layer():
    class Says(torch.nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def encode(self, speech, lens):
            # As ESPnet gives it: the output, then (layer, its output) of each head.
            between = torch.full_like(speech, 7.0)
            return (torch.full_like(speech, self.value), [(1, between)]), lens

    speech = [torch.zeros(1, 4, 2)]
    assert sqnr(Says(1.0), Says(1.1), speech) == pytest.approx(20, abs=1e-4)


@pytest.fixture
def says(monkeypatch):
    """Let the graph answer what it is told to."""

    def set_answer(log_probs, frames):
        answer = (log_probs, torch.tensor([frames]))
        monkeypatch.setattr("espnet_kd.student.distance.open_onnx", lambda _: None)
        monkeypatch.setattr("espnet_kd.student.distance.run_onnx", lambda *_: answer)

    return set_answer


def test_a_graphs_distance_by_hand(tmp_path, says):
    model_probs = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]])
    graph_probs = torch.tensor([[[0.25, 0.75], [0.9, 0.1]]])
    says(graph_probs.log(), 2)
    answer = (model_probs.log(), torch.tensor([2]))
    found = graph_distance(lambda *_: answer, tmp_path, [torch.zeros(1, 9, 1)])
    kl = 0.5 * (0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert found == GraphDistance(
        pytest.approx(np.log(2)), pytest.approx(kl), pytest.approx(0.5), 2
    )
    assert str(found) == (
        "beside PyTorch, over 2 frames: log-probabilities differ by at most 0.69, "
        "KL 0.072 nats a frame, best token the same in 50.00%"
    )


def test_another_number_of_frames_is_refused(tmp_path, says):
    says(torch.zeros(1, 3, 2), 3)
    answer = (torch.zeros(1, 2, 2), torch.tensor([2]))
    with pytest.raises(KDError, match="gives 3 frames where PyTorch gives 2"):
        graph_distance(lambda *_: answer, tmp_path, [torch.zeros(1, 9, 1)])
