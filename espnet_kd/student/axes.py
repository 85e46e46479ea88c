"""Which units lie along each dimension of an ESPnet model's parameters.

A unit of a width (a channel of the residual stream, a hidden unit of a feed-forward layer,
a dimension of an attention head) is a row of one parameter and a column of another. The
table below says which, so that cutting a width cuts it everywhere alike.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

VOCABULARY = "vocabulary"
# CTC's, which in speech translation are the source language's.
CTC_VOCABULARY = "ctc.vocabulary"
VOCABULARIES = (VOCABULARY, CTC_VOCABULARY)
POSITION = "encoder.position"
LAYER = re.compile(r"(encoder\.encoders(?:\.blocks)?|decoder\.decoders)\.(\d+)\.")


@dataclass(frozen=True)
class Dim:
    """One dimension of a parameter.

    Attributes:
        axis: Name of the width whose units lie here; empty where there are none.
        repeat: How often all units come one after the other (gates, halves).
        inner: Whether a unit is a run of neighbours (the features of a channel).
    """

    axis: str = ""
    repeat: int = 1
    inner: bool = False


# Module -> (axis of its outputs, axis of its inputs), by which rows and columns of its
# weight are named. {l} is the layer, {s} its side, {m} what a group 'm' matched. '*2' says
# that the units lie there twice, one whole copy after the other (the two halves that a GLU
# multiplies); '/' that each unit is a run of neighbours (all the features that a channel
# of the last convolution flattens to).
_ENCODER, _STREAM = "encoder.stream", "{s}.stream"
_RULES = [
    (r"(?:encoder|decoder)\.after_norm", _STREAM, ""),
    (r"encoder\.encoders\.norm_blocks", _ENCODER, ""),
    (r"{l}\.norm\w*", _STREAM, ""),
    (r"{l}\.(?P<m>src_attn)\.linear_k", "{l}.{m}.qk", _ENCODER),
    (r"{l}\.(?P<m>src_attn)\.linear_v", "{l}.{m}.v", _ENCODER),
    (r"{l}\.(?P<m>\w*attn?)\.linear_[qk]", "{l}.{m}.qk", _STREAM),
    (r"{l}\.(?P<m>\w*attn?)\.linear_v", "{l}.{m}.v", _STREAM),
    (r"{l}\.(?P<m>\w*attn?)\.linear_pos", "{l}.{m}.qk", POSITION),
    (r"{l}\.(?P<m>\w*attn?)\.linear_out", _STREAM, "{l}.{m}.v"),
    (r"{l}\.(?P<m>feed_forward\w*)\.w_1", "{l}.{m}", _STREAM),
    (r"{l}\.(?P<m>feed_forward\w*)\.w_2", _STREAM, "{l}.{m}"),
    (r"{l}\.conv_mod(?:ule)?\.pointwise_conv1", "{l}.conv*2", _STREAM),
    (r"{l}\.conv_mod(?:ule)?\.(?:depthwise_conv|norm)", "{l}.conv", ""),
    (r"{l}\.conv_mod(?:ule)?\.pointwise_conv2", _STREAM, "{l}.conv"),
    (r"{l}\.cgmlp\.channel_proj1\.0", "{l}.cgmlp*2", _STREAM),
    (r"{l}\.cgmlp\.csgu\.(?:norm|conv)", "{l}.cgmlp", ""),
    (r"{l}\.cgmlp\.channel_proj2", _STREAM, "{l}.cgmlp"),
    (r"{l}\.depthwise_conv_fusion", _STREAM + "*2", ""),
    (r"{l}\.merge_proj", _STREAM, _STREAM + "*2"),
    (r"encoder\.embed\.conv\.0", "encoder.embed.0", ""),
    (r"encoder\.embed\.conv\.2", "encoder.embed.2", "encoder.embed.0"),
    (r"encoder\.embed\.conv\.4", "encoder.embed.4", "encoder.embed.2"),
    (r"encoder\.embed\.out(?:\.0|put)?", _ENCODER, "encoder.embed.{last}/"),
    (r"encoder\.embed\.[01]", _ENCODER, ""),
    (r"encoder\.conditioning_layer", _ENCODER, CTC_VOCABULARY),
    (r"ctc\.ctc_lo", CTC_VOCABULARY, _ENCODER),
    (r"st_ctc\.ctc_lo|ctc_lin", VOCABULARY, _ENCODER),
    (r"lm_lin|am_proj|lm_proj|decoder\.output", VOCABULARY, ""),
    (r"extra_mt_decoder\.(?:embed\.0|output_layer)", VOCABULARY, ""),
    (r"extra_asr_decoder\.(?:embed\.0|output_layer)", CTC_VOCABULARY, ""),
    (r"decoder\.embed\.0", VOCABULARY, "decoder.stream"),
    (r"decoder\.output_layer", VOCABULARY, "decoder.stream"),
    (r"decoder\.embed", VOCABULARY, "predictor.embed"),
    (r"joint_network\.lin_enc", "joint", _ENCODER),
    (r"joint_network\.lin_dec", "joint", "predictor.{deepest}"),
    (r"joint_network\.lin_out", VOCABULARY, "joint"),
]
_LAYER = r"(?P<l>(?:encoder\.encoders(?:\.blocks)?|decoder\.decoders)\.\d+)"
RULES = [(re.compile(p.replace("{l}", _LAYER)), out, into) for p, out, into in _RULES]
_RNN = r"decoder\.(?:decoder|rnn)\.(\d+)"
LINEAR = re.compile(r"((?:decoder|extra_\w+)\.embed\.0)\.bias")
RECURRENT = re.compile(_RNN + r"\.(weight_ih|weight_hh|bias_\w\w)_l0")


class Axes:
    """The axes of one model's parameters.

    Args:
        state: The model's parameters and buffers.

    Attributes:
        dims: Name of a parameter to its dimensions; None where no rule knows it.
        sizes: Name of an axis to its number of units.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._last = _greatest(r"encoder\.embed\.conv\.(\d+)\.weight", state)
        layers = [int(match[1]) for name in state if (match := RECURRENT.fullmatch(name))]
        self._deepest = max(layers) if layers else "embed"  # of a stateless predictor
        # Inputs that are no tokens have a linear layer where others have an embedding.
        found = (LINEAR.fullmatch(name) for name in state)
        self._linear = {match[1] for match in found if match}
        self._gates = next((_gates(v) for k, v in state.items() if "weight_hh_l0" in k), 1)
        self.dims = {name: self._dims(name, value) for name, value in state.items()}
        self.sizes: dict[str, int] = {}
        for name, dims in self.dims.items():
            for dim, length in zip(
                dims or (), _flat(state[name], name).shape, strict=False
            ):
                if dim.axis and not dim.inner:
                    self.sizes.setdefault(dim.axis, length // dim.repeat)

    def take(self, value: Tensor, name: str, units: Mapping[str, Tensor]) -> Tensor:
        """Cut a parameter down to the rows and columns of chosen units.

        Args:
            value: The parameter.
            name: The parameter's name.
            units: Axis to the indices of the units that are kept, (k,); an axis that is
                not named stays whole.
        """
        for place, dim in enumerate(self.dims[name] or ()):
            if dim.axis in units:
                flat = _flat(value, name)
                index = self._index(dim, units[dim.axis], flat.shape[place])
                value = flat.index_select(place, index)
        return value

    def spread(self, value: Tensor, name: str, units: Mapping[str, Tensor]) -> Tensor:
        """Spread flags of units over a parameter's values.

        Args:
            value: The parameter.
            name: The parameter's name.
            units: Axis to the flags of its units, (n,) bool.

        Returns:
            bool of the parameter's shape, set where the flags of all units are that the
            value belongs to.
        """
        flags = torch.ones(value.shape, dtype=torch.bool, device=value.device)
        for place, dim in enumerate(self.dims[name] or ()):
            if dim.axis in units:
                run = value.shape[place] // (dim.repeat * self.sizes[dim.axis])
                along = units[dim.axis].repeat_interleave(run).repeat(dim.repeat)
                shape = [-1 if i == place else 1 for i in range(value.dim())]
                flags &= along.to(value.device).reshape(shape)
        return flags

    def sums(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sum values over every parameter's part of each unit, by axis, (n,) float64."""
        total: dict[str, Tensor] = {}
        for name, value in values.items():
            flat = _flat(value.double(), name)
            for place, dim in enumerate(self.dims.get(name) or ()):
                if dim.axis:
                    rows = flat.transpose(0, place).reshape(flat.shape[place], -1)
                    found = self.by_unit(rows.sum(1), dim)
                    accumulate(total, dim.axis, found)
        return total

    def by_unit(self, values: Tensor, dim: Dim) -> Tensor:
        """Sum the values along a dimension over each unit's places.

        Args:
            values: One value for each place, (repeat * n * run,).
            dim: The dimension, with an axis.

        Returns:
            One sum for each unit, (n,).
        """
        size = self.sizes[dim.axis]
        return values.reshape(dim.repeat, size, -1).sum((0, 2))

    def _index(self, dim: Dim, units: Tensor, length: int) -> Tensor:
        """Indices of the units along a dimension, of every copy and of every run."""
        size = self.sizes[dim.axis]
        run = length // (dim.repeat * size)
        # (repeat, 1, 1) + (1, k, 1) + (run,): copy by copy, unit by unit, run by run.
        copies = torch.arange(dim.repeat)[:, None, None] * size * run
        return (copies + units[None, :, None] * run + torch.arange(run)).flatten()

    def _dims(self, name: str, value: Tensor) -> tuple[Dim, ...] | None:
        """The parameter's dimensions; None without a rule, so that it is copied whole."""
        if recurrent := RECURRENT.fullmatch(name):
            return self._recurrent(int(recurrent[1]), recurrent[2])
        module, _, kind = name.rpartition(".")
        if kind in ("pos_bias_u", "pos_bias_v") and LAYER.match(name):
            return (Dim(f"{module}.qk"),)
        if value.dim() == 0 or module in self._linear:
            return None
        for pattern, out, into in RULES:
            if match := pattern.fullmatch(module):
                found = (self._dim(out, match), self._dim(into, match))
                return found if value.dim() > 1 else found[:1]
        return None

    def _dim(self, text: str, match: re.Match[str]) -> Dim:
        groups = {name: value for name, value in match.groupdict().items() if value}
        side = match[0].partition(".")[0]
        places = {"s": side, "last": self._last, "deepest": self._deepest}
        axis = text.format(**groups, **places)
        inner, repeat = axis.endswith("/"), 2 if axis.endswith("*2") else 1
        return Dim(axis.removesuffix("/").removesuffix("*2"), repeat, inner)

    def _recurrent(self, layer: int, kind: str) -> tuple[Dim, ...]:
        own = f"predictor.{layer}"
        below = f"predictor.{layer - 1}" if layer else "predictor.embed"
        gates = Dim(own, self._gates)
        into = {"weight_hh": (Dim(own),), "weight_ih": (Dim(below),)}
        return (gates, *into.get(kind, ()))


def _gates(weight_hh: Tensor) -> int:
    """The number of gates stacked in a weight: four of an LSTM, three of a GRU."""
    return weight_hh.shape[0] // weight_hh.shape[-1]


def _flat(value: Tensor, name: str) -> Tensor:
    """A parameter with its heads and their dimensions in one row."""
    return value.flatten() if ".pos_bias_" in name else value


def _greatest(pattern: str, names: Iterable[str]) -> int:
    found = (re.fullmatch(pattern, name) for name in names)
    return max((int(match[1]) for match in found if match), default=0)


def accumulate(total: dict[str, Tensor], axis: str, found: Tensor) -> None:
    """Add to an axis's sum, which may not be there yet."""
    total[axis] = total[axis] + found if axis in total else found
