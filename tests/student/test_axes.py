"""Which units lie along the dimensions of a model's parameters."""

import pytest
import torch
from families import DECODERS, KINDS, WIDTH, build

from espnet_kd.student.axes import Axes


def test_a_width_is_found_wherever_it_appears():
    """Of two linear layers, one behind the other: out of one, into the next."""
    name = "encoder.encoders.0.feed_forward"
    state = {
        f"{name}.w_1.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        f"{name}.w_1.bias": torch.tensor([7.0, 8.0, 9.0]),
        f"{name}.w_2.weight": torch.tensor([[1.0, 10.0, 100.0], [2.0, 20.0, 200.0]]),
    }
    axes = Axes(state)
    assert axes.sizes == {name: 3, "encoder.stream": 2}
    kept = {name: torch.tensor([0, 2])}
    cut = {n: axes.take(value, n, kept).tolist() for n, value in state.items()}
    assert cut[f"{name}.w_1.weight"] == [[1, 2], [5, 6]]
    assert cut[f"{name}.w_1.bias"] == [7, 9]
    assert cut[f"{name}.w_2.weight"] == [[1, 100], [2, 200]]
    # Rows of the first, its bias, and columns of the second: 1 + 2 + 7 + 1 + 2 of unit 0.
    assert axes.sums(state)[name].tolist() == [13, 45, 320]
    # The stream: columns of the first and rows of the second.
    assert axes.sums(state)["encoder.stream"].tolist() == [1 + 3 + 5 + 111, 2 + 4 + 6 + 222]


def test_flags_of_units_are_spread_over_values():
    name = "encoder.encoders.0.feed_forward"
    state = {
        f"{name}.w_1.weight": torch.zeros(3, 2),
        f"{name}.w_2.weight": torch.zeros(2, 3),
    }
    flags = {name: torch.tensor([True, False, True])}
    rows = Axes(state).spread(state[f"{name}.w_1.weight"], f"{name}.w_1.weight", flags)
    columns = Axes(state).spread(state[f"{name}.w_2.weight"], f"{name}.w_2.weight", flags)
    assert rows.tolist() == [[True, True], [False, False], [True, True]]
    assert columns.tolist() == [[True, False, True]] * 2


def test_what_no_rule_knows_stays_whole():
    state = {"frontend.filters.weight": torch.ones(3, 4)}
    axes = Axes(state)
    assert axes.dims == {"frontend.filters.weight": None}
    assert axes.sizes == {}
    assert axes.take(*reversed(next(iter(state.items()))), {}).shape == (3, 4)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_part_has_a_rule(kind, decoder):
    axes = Axes(build(kind, decoder=decoder).state_dict())
    unknown = {name for name, dims in axes.dims.items() if dims is None}
    assert all("num_batches_tracked" in name for name in unknown)


def test_halves_gates_and_runs_of_neighbours_are_cut_alike():
    teacher = build("conformer", decoder="transducer")
    axes, weights = Axes(teacher.state_dict()), teacher.state_dict()
    units = torch.tensor([1, 4])
    glu = "encoder.encoders.0.conv_module.pointwise_conv1.weight"
    cut = axes.take(weights[glu], glu, {"encoder.encoders.0.conv": units})
    assert torch.equal(cut, weights[glu][[1, 4, 1 + WIDTH, 4 + WIDTH]])
    gates = "decoder.decoder.0.weight_ih_l0"
    cut = axes.take(weights[gates], gates, {"predictor.0": units})
    assert torch.equal(cut, weights[gates][[1, 4, 7, 10, 13, 16, 19, 22]])
    out = next(name for name in weights if name.startswith("encoder.embed.out"))
    run = weights[out].shape[1] // WIDTH
    cut = axes.take(weights[out], out, {"encoder.embed.2": units})
    assert torch.equal(
        cut, weights[out][:, [*range(run, 2 * run), *range(4 * run, 5 * run)]]
    )
