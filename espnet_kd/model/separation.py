"""What a speech enhancer or separator says of each source: rows of the table of outputs.

The order of a separator's sources is its own, and another's is another. So the sources of
each model are put in the order of their references, in every utterance, before two models
are compared.
"""

from itertools import permutations
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.errors import KDError
from espnet_kd.masking import length_mask, widened
from espnet_kd.model.lengths import lengths_along
from espnet_kd.model.outputs import Hidden, ModelOutputs
from espnet_kd.model.parts import Parts
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Request
from espnet_kd.model.taps import first_tensor

TINY = 1e-12


def missing_waveforms(model: nn.Module, _parts: Parts, _request: Request) -> str | None:
    """Why there are no waveforms."""
    if getattr(model, "always_forward_in_48k", False):
        return (
            " resamples to 48 kHz and back (always_forward_in_48k), so that its waveforms "
            "are not those of the batch; set it to false, or use hidden_* losses"
        )
    return None


def missing_masks(model: nn.Module, parts: Parts, request: Request) -> str | None:
    """Why there are no masks that another model's could be compared with."""
    return missing_magnitudes(model, "mask_mse") or missing_waveforms(model, parts, request)


def missing_magnitudes(model: nn.Module, loss: str) -> str | None:
    """Why a model's features are no spectrum, by what is to be compared."""
    if getattr(getattr(model, "encoder", None), "stft", None) is not None:
        return None
    return (
        " has a learned encoder, whose features no other model shares; use "
        f"waveform_si_snr in place of {loss}, or 'encoder: stft'"
    )


def collect_waveforms(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the waveforms, each source where its reference is.

    Raises:
        KDError: If the model gave none in this pass.
    """
    waves, lens = _waveforms(recorded), lengths_along("samples", recorded)
    order = _order(recorded, waves, lens)
    outputs.waveforms = Hidden(_ordered(waves, order).transpose(1, 2), lens)


def collect_magnitudes(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the magnitudes of the spectrum of each source."""
    features = [_magnitude(values) for values in _separated(recorded)]
    outputs.spectrum = _by_frame(recorded, features)


def collect_masks(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the masks; of complex ones real and imaginary parts side by side.

    Raises:
        KDError: If the separator gives none: it maps, and does not mask.
    """
    output: Any = recorded.called("separator")[0].output
    others, count = output[2], len(_separated(recorded))
    names = [f"mask_spk{source + 1}" for source in range(count)]
    if any(name not in others for name in names):
        raise KDError(
            f"the separator ({type(recorded.model.separator).__name__}) gives no masks; "
            "use waveform_si_snr or spectrum_l1 in place of mask_mse"
        )
    masks = [_real(others[name]) for name in names]
    outputs.masks = _by_frame(recorded, masks)


def _by_frame(recorded: RecordedPass, sources: list[Tensor]) -> Hidden:
    """(B, T, F) of each source as (B, T, S F), in the order of the references."""
    values = torch.stack(sources, 1)  # (B, S, T, F)
    if values.dim() != 4:
        raise KDError(
            f"the separator gives sources of shape {tuple(sources[0].shape)}, not one "
            "channel of (batch, frames, bins); use waveform_si_snr, which compares the "
            "reference channel"
        )
    order = _order(recorded, _waveforms(recorded), lengths_along("samples", recorded))
    values = _ordered(values, order).transpose(1, 2).flatten(2)
    return Hidden(values, lengths_along("frames", recorded))


def _separated(recorded: RecordedPass) -> list[Any]:
    """What the separator gave of each source; of several stages, the last one's."""
    calls = recorded.called("separator")
    sources: Any = calls[0].output[0] if calls else None
    if sources is None:
        raise KDError("the separator gave no sources in this pass")
    return list(sources[-1] if isinstance(sources[0], list | tuple) else sources)


def _waveforms(recorded: RecordedPass) -> Tensor:
    """Waveforms in the separator's own order, (B, S, N), of the reference channel."""
    count = len(_separated(recorded))
    stages = len(recorded.called("separator")[0].output[0])
    stages = stages if _is_in_stages(recorded) else 1
    # ESPnet decodes the sources first, then noise and reverberation if it wants them.
    calls = recorded.called("decoder")[(stages - 1) * count : stages * count]
    waves = [first_tensor(call.output) for call in calls]
    if len(waves) < count or any(wave is None for wave in waves):
        raise KDError(
            "the model gave no waveforms in this pass, for it is trained on masks alone; "
            "give it a loss in the time domain, or use hidden_* losses"
        )
    channel = _channel(recorded.model)
    single = [w[..., channel] if w.dim() == 3 else w for w in waves if w is not None]
    return torch.stack(single, 1)


def _channel(model: Any) -> int:
    """The channel that is compared, of signals of several."""
    return int(model.ref_channel)


def _is_in_stages(recorded: RecordedPass) -> bool:
    sources: Any = recorded.called("separator")[0].output[0]
    return isinstance(sources[0], list | tuple)


def collected_references(recorded: RecordedPass) -> Tensor:
    """What the sources should be, (B, S, N), of the reference channel.

    Raises:
        KDError: If the batch has not as many as the model separates.
    """
    return _references(recorded, len(_separated(recorded)))


@torch.no_grad()
def _order(recorded: RecordedPass, waves: Tensor, lens: Tensor) -> Tensor:
    """For each reference the source that is it, (B, S): the best of all permutations."""
    count = waves.shape[1]
    if count == 1:
        return torch.zeros(len(waves), 1, dtype=torch.long, device=waves.device)
    references = _references(recorded, count)[..., : waves.shape[2]]
    ratios = si_snr(references[:, :, None], waves[:, None, :, : references.shape[2]], lens)
    ways = torch.tensor(list(permutations(range(count))), device=waves.device)  # (P, S)
    rows = torch.arange(count, device=waves.device)
    return ways[ratios[:, rows, ways].sum(-1).argmax(1)]


def _references(recorded: RecordedPass, count: int) -> Tensor:
    """What the sources should be, (B, S, N), of the reference channel."""
    names = [f"speech_ref{source + 1}" for source in range(count)]
    references = [recorded.batch[name] for name in names if name in recorded.batch]
    if len(references) < count:
        raise KDError(
            f"the model separates {count} sources and the batch has {len(references)} "
            "references, so that their order is not known; give a reference of each"
        )
    channel = _channel(recorded.model)
    return torch.stack([r[..., channel] if r.dim() == 3 else r for r in references], 1)


def si_snr(references: Tensor, waves: Tensor, lens: Tensor) -> Tensor:
    """Scale-invariant ratio of signal to noise in dB, over real samples.

    Args:
        references: (B, ..., N), broadcast against ``waves``.
        waves: (B, ..., N).
        lens: Real samples, (B,).

    Returns:
        (B, ...), at most 120 dB.

    Source: Le Roux et al. SDR, half-baked or well done? 2019, equation 2.
    https://arxiv.org/abs/1811.02508
    """
    size = min(references.shape[-1], waves.shape[-1])
    mask = length_mask(lens, size)
    mask = mask.view(len(mask), *[1] * (waves.dim() - 2), size)
    pair = (widened(z[..., :size]) for z in (references, waves))
    reference, wave = (torch.where(mask, z, 0.0) for z in pair)
    power = reference.square().sum(-1, keepdim=True).clamp_min(TINY)
    target = (wave * reference).sum(-1, keepdim=True) / power * reference
    noise = (wave - target).square().sum(-1)
    clean = target.square().sum(-1)
    return 10 * ((clean + TINY) / (noise + TINY * clean + TINY)).log10()


def _ordered(sources: Tensor, order: Tensor) -> Tensor:
    """Sources of (B, S, ...) in the order of their references."""
    rows = torch.arange(len(sources), device=sources.device)[:, None]
    return sources[rows, order]


def _magnitude(values: Any) -> Tensor:
    """Magnitudes of torch's complex numbers, or of torch_complex's."""
    if isinstance(values, Tensor) and values.is_complex():
        # The root of zero has no gradient.
        return (values.real.square() + values.imag.square()).clamp_min(TINY).sqrt()
    magnitude: Tensor = abs(values)
    return magnitude


def _real(mask: Any) -> Tensor:
    if isinstance(mask, Tensor) and not mask.is_complex():
        return mask
    return torch.cat([mask.real, mask.imag], -1)
