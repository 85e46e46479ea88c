"""What CTC and the attention decoder say: rows of the table of outputs."""

import torch
from torch import Tensor, nn

from espnet_kd.alignment.ctc_best import best_path
from espnet_kd.errors import KDError
from espnet_kd.model.lengths import prefix_of
from espnet_kd.model.outputs import Decode, ModelOutputs
from espnet_kd.model.parts import Parts
from espnet_kd.model.prefix import decoder_prefix, prompt_lens
from espnet_kd.model.recorded import RecordedPass
from espnet_kd.model.request import Request
from espnet_kd.model.taps import find_module, first_tensor


def missing_ctc(_model: nn.Module, parts: Parts, _request: Request) -> str | None:
    """Why there are no CTC posteriors."""
    if parts.ctc_lo is not None:
        return None
    return (
        " has no CTC layer (ctc_weight is 0); train it with one, or remove the ctc_* losses"
    )


def missing_interctc(model: nn.Module, parts: Parts, request: Request) -> str | None:
    """Why there are no posteriors of an intermediate CTC."""
    if reason := missing_ctc(model, parts, request):
        return reason
    for layer in request.listed("interctc"):
        if layer not in parts.interctc:
            has = ", ".join(map(str, parts.interctc)) or "none"
            return (
                f" has no intermediate CTC behind encoder layer {layer}, which "
                f"'head: {layer}' names (it has: {has}). Name it in "
                "encoder_conf.interctc_layer_idx, and set model_conf.interctc_weight "
                "above 0"
            )
    return None


def missing_decoder(_model: nn.Module, parts: Parts, _request: Request) -> str | None:
    """Why there are no posteriors of an attention decoder."""
    if parts.decoder is not None:
        return None
    return (
        " has no attention decoder (a CTC-only or transducer model); remove the token_* "
        "losses"
    )


def missing_best_path(model: nn.Module, parts: Parts, _request: Request) -> str | None:
    """Why there is no hypothesis of the student's own."""
    if hasattr(model, "sop"):
        return (
            " begins its decoder with a prompt (language, task), which the best path of "
            "its CTC does not hold; use 'prefix: transcript'"
        )
    if parts.ctc_lo is not None:
        return None
    return (
        " has no CTC layer (ctc_weight is 0), whose best path 'prefix: student' follows; "
        "train it with one, or use 'prefix: transcript'"
    )


def missing_forced(_model: nn.Module, parts: Parts, _request: Request) -> str | None:
    """Why there are no labels for a guest's decoder to be forced along."""
    if parts.decoder is not None or parts.predictor is not None:
        return None
    return (
        " has no decoder, along whose labels the teacher's could be forced; tap the "
        "teacher's encoder instead"
    )


def collect_labels(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the transcript from the batch.

    Raises:
        KDError: If it is wanted and not there.
    """
    text, batch = recorded.parts.text, recorded.batch
    if text in batch:
        outputs.ys_pad = batch[text]
        outputs.ys_lens = _transcribed(
            recorded.model, batch[text], batch[f"{text}_lengths"]
        )
    elif "labels" in recorded.request:
        raise KDError(
            f"a loss needs the transcript, and this batch has no '{text}'; train on "
            "transcribed audio, or remove the losses that read it (see the README)"
        )


def _transcribed(model: nn.Module, labels: Tensor, lens: Tensor) -> Tensor:
    """Lengths of the transcripts, 0 of those that OWSM's data mark as not available."""
    absent = getattr(model, "na", None)
    if absent is None:
        return lens
    return torch.where((labels == absent).any(1), torch.zeros_like(lens), lens)


def collect_ctc(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the final CTC logits; intermediate heads and error rates run the layer too."""
    calls = recorded.called(recorded.parts.ctc_lo)
    if len(calls) == 1:
        outputs.ctc_logits = first_tensor(calls[0].output)
    else:
        outputs.ctc_logits = _ctc_layer(recorded)(outputs.encoder_out)


def collect_interctc(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Compute intermediate CTC logits: their heads share the final one's layer."""
    output: object = recorded.called("encoder")[-1].output
    encoder_out = output[0] if isinstance(output, tuple) else output
    between = dict(encoder_out[1]) if isinstance(encoder_out, tuple) else {}
    layer = _ctc_layer(recorded)
    outputs.interctc_logits = {
        index: layer(between[index]) for index in recorded.request.listed("interctc")
    }


def collect_decoder(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Take the decoder's logits, and what it was forced along."""
    prefix = prefix_of(recorded, recorded.parts.decoder)
    if prefix is not None:
        calls = recorded.called(recorded.parts.decoder)
        outputs.decoder_logits = first_tensor(calls[0].output)
        outputs.ys_in_pad, outputs.ys_in_lens = prefix
        outputs.prompt_lens = prompt_lens(recorded.model, prefix[0])


def collect_best_path(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Read the student's hypothesis off its CTC, as a prefix for attention decoders."""
    if outputs.ctc_logits is None:
        collect_ctc(recorded, outputs)
    logits = outputs.ctc_logits
    assert logits is not None, "a CTC layer gives logits"
    found = best_path(logits, outputs.encoder_out_lens, outputs.blank_id)
    prefix = decoder_prefix(*found, outputs.sos_id, outputs.eos_id)
    outputs.hyp_in_pad, outputs.hyp_in_lens = prefix


def collect_hypothesis(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Run the decoder along the student's hypothesis; a guest is given it as labels."""
    if outputs.hyp_in_pad is None:
        outputs.hyp_in_pad = recorded.batch.get("hyp_in_pad")
        outputs.hyp_in_lens = recorded.batch.get("hyp_in_lens")
    if outputs.hyp_in_pad is None or outputs.hyp_in_lens is None:
        raise KDError("the decoder was to follow the student's hypothesis, and got none")
    decode = _decoder_of(recorded.model, *recorded.encoded())
    rows = torch.arange(len(outputs.hyp_in_lens), device=outputs.hyp_in_lens.device)
    outputs.hyp_logits = decode(outputs.hyp_in_pad, outputs.hyp_in_lens, rows)


def collect_decode(recorded: RecordedPass, outputs: ModelOutputs) -> None:
    """Hand over the decoder itself, over this pass's encoder output."""
    outputs.decode = _decoder_of(recorded.model, *recorded.encoded())


def _ctc_layer(recorded: RecordedPass) -> nn.Module:
    return find_module(recorded.model, recorded.parts.ctc_lo or "ctc.ctc_lo")


def _decoder_of(model: nn.Module, encoder_out: Tensor, lens: Tensor) -> Decode:
    """The decoder over an encoder output, in the precision of this pass."""
    kind = encoder_out.device.type
    ambient = (torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
    decoder = find_module(model, "decoder")

    def decode(ys_in: Tensor, ys_in_lens: Tensor, rows: Tensor) -> Tensor:
        dtype, enabled = ambient
        with torch.autocast(kind, dtype=dtype, enabled=enabled):
            output = decoder(encoder_out[rows], lens[rows], ys_in, ys_in_lens)
        logits = first_tensor(output)
        assert logits is not None, "a decoder gives logits"
        return logits

    return decode
