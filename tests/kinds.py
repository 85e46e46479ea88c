"""Tiny models of ESPnet's tasks beside recognition, and a batch for each."""

from typing import Any

import torch
from conftest import ENCODER, TOKENS

from espnet_kd.host.compat import build_model, task_class

RATE = 8000
STFT = {"n_fft": 64, "hop_length": 32}
SNR = {
    "name": "snr",
    "conf": {},
    "wrapper": "pit",
    "wrapper_conf": {"weight": 1.0, "independent_perm": True},
}
SPEAKERS = 4
OWSM = [*TOKENS[:-1], "<na>", "<sos>", "<eos>", "<sop>"]
LABELS = torch.tensor([[2, 3, 4, 5], [8, 9, 2, 0], [6, 7, 0, 0]])


def lm(width: int, kind: str = "transformer") -> dict[str, Any]:
    """Settings of a language model, of either of ESPnet's kinds."""
    conf = {"unit": width, "nlayers": 1, "dropout_rate": 0.1}
    if kind == "transformer":
        conf = {"embed_unit": 8, "att_unit": width, "head": 2, "unit": 16, "layer": 2}
    return {"token_list": list(TOKENS), "lm": kind, "lm_conf": conf}


def tts(width: int, kind: str = "fastspeech", **more: Any) -> dict[str, Any]:
    """Settings of an acoustic model, of any of ESPnet's kinds."""
    mel = {"fs": RATE, "fmin": 80, "fmax": 3800, "n_mels": 10, "win_length": None}
    conf = {
        "adim": width,
        "aheads": 2,
        "elayers": 1,
        "eunits": 16,
        "dlayers": 1,
        "dunits": 16,
        "postnet_layers": 1,
        "postnet_chans": 8,
        "duration_predictor_chans": 8,
        "duration_predictor_layers": 1,
    }
    if kind == "transformer":
        conf = {name: conf[name] for name in conf if not name.startswith("duration")}
        conf |= {"embed_dim": 8, "eprenet_conv_layers": 1, "eprenet_conv_chans": 8}
        conf |= {"dprenet_layers": 1, "dprenet_units": 8}
    if kind == "tacotron2":
        sizes = ("embed_dim", "eunits", "econv_chans", "prenet_units", "postnet_chans")
        conf = dict.fromkeys((*sizes, "adim"), 8) | {"dunits": width, "aconv_chans": 4}
        layers = ("elayers", "econv_layers", "dlayers", "prenet_layers", "postnet_layers")
        conf |= dict.fromkeys(layers, 1) | {"aconv_filts": 3}
    return {
        "token_list": list(TOKENS),
        "feats_extract": "fbank",
        "feats_extract_conf": {"n_fft": 256, "hop_length": 80} | mel,
        "normalize": None,
        "tts": kind,
        "tts_conf": conf | more,
    }


def svs(width: int, kind: str = "xiaoice", **more: Any) -> dict[str, Any]:
    """Settings of a singing synthesiser that predicts durations, of either kind."""
    mel = {"fs": RATE, "fmin": 80, "fmax": 3800, "n_mels": 10, "win_length": None}
    conf = {
        "eunits": 16,
        "dunits": 16,
        "postnet_layers": 1,
        "postnet_chans": 8,
        "duration_predictor_chans": 8,
        "duration_predictor_layers": 1,
    }
    if kind == "xiaoice":
        conf |= {"adim": width, "aheads": 2, "elayers": 1, "dlayers": 1}
        conf |= {"loss_function": "FastSpeech1"}
    if kind == "naive_rnn_dp":
        conf |= {"embed_dim": 8, "eunits": width, "elayers": 1, "dlayers": 1}
    return {
        "token_list": list(TOKENS),
        "score_feats_extract": "syllable_score_feats",
        "feats_extract": "fbank",
        "feats_extract_conf": {"n_fft": 256, "hop_length": 80} | mel,
        "normalize": None,
        "pitch_extract": None,
        "pitch_normalize": None,
        "fs": RATE,
        "svs": kind,
        "svs_conf": conf | more,
    }


def enh(width: int, speakers: int = 2, **more: Any) -> dict[str, Any]:
    """Settings of a separator that masks a spectrum."""
    separator = {"rnn_type": "lstm", "num_spk": speakers, "layer": 1, "unit": width}
    return {
        "encoder": "stft",
        "encoder_conf": STFT,
        "separator": "rnn",
        "separator_conf": separator | {"dropout": 0.1},
        "decoder": "stft",
        "decoder_conf": STFT,
        "criterions": [SNR],
    } | more


def spk(width: int, **more: Any) -> dict[str, Any]:
    """Settings of a speaker model."""
    return {
        "frontend": "default",
        "frontend_conf": {"fs": RATE, "n_fft": 256, "hop_length": 80, "n_mels": 10},
        "specaug": None,
        "normalize": None,
        "encoder": "ecapa_tdnn",
        "encoder_conf": {"model_scale": 2, "ndim": width, "output_size": width},
        "pooling": "chn_attn_stat",
        "projector": "rawnet3",
        "projector_conf": {"output_size": width},
        "loss": "aamsoftmax",
        "loss_conf": {"margin": 0.2, "scale": 10},
        "spk_num": SPEAKERS,
    } | more


def mt(width: int) -> dict[str, Any]:
    """Settings of a translator of text."""
    return {
        "token_list": list(TOKENS),
        "src_token_list": list(TOKENS),
        "frontend": "embed",
        "frontend_conf": {"embed_dim": 8},
        "encoder": "transformer",
        "encoder_conf": ENCODER
        | {"output_size": width, "num_blocks": 1, "input_layer": "linear"},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
    }


def slu(width: int) -> dict[str, Any]:
    """Settings of a model of spoken language understanding."""
    return {
        "token_list": list(TOKENS),
        "frontend": "default",
        "frontend_conf": {"fs": RATE, "n_fft": 256, "hop_length": 80, "n_mels": 20},
        "specaug": None,
        "normalize": None,
        "encoder": "transformer",
        "encoder_conf": ENCODER
        | {"output_size": width, "num_blocks": 1, "input_layer": "conv2d2"},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
        "model_conf": {"ctc_weight": 0.3},
        "ctc_conf": {},
    }


def s2t(width: int) -> dict[str, Any]:
    """Settings of an OWSM-style model, whose decoder begins with a prompt."""
    return slu(width) | {"token_list": list(OWSM)}


def diar(width: int) -> dict[str, Any]:
    """Settings of a diariser of two speakers."""
    return {
        "frontend": "default",
        "frontend_conf": {"fs": RATE, "n_fft": 256, "hop_length": 80, "n_mels": 20},
        "specaug": None,
        "normalize": None,
        "num_spk": 2,
        "encoder": "transformer",
        "encoder_conf": ENCODER
        | {"output_size": width, "num_blocks": 1, "input_layer": "linear"},
        "decoder": "linear",
        "label_aggregator": "label_aggregator",
        "label_aggregator_conf": {"win_length": 256, "hop_length": 80},
    }


def cls(width: int) -> dict[str, Any]:
    """Settings of a classifier of sounds."""
    return {
        "token_list": ["dog", "cat", "rain", "<unk>"],
        "frontend": "default",
        "frontend_conf": {"fs": RATE, "n_fft": 256, "hop_length": 80, "n_mels": 20},
        "specaug": None,
        "normalize": None,
        "encoder": "transformer",
        "encoder_conf": ENCODER | {"output_size": width, "num_blocks": 1},
        "decoder": "linear",
        "decoder_conf": {"pooling": "mean"},
    }


SETTINGS = {f.__name__: f for f in (lm, tts, svs, enh, spk, mt, slu, s2t, diar, cls)}


def build(task: str, width: int, *args: Any, **more: Any) -> torch.nn.Module:
    """A tiny untrained model of a task, deterministic by its width."""
    torch.manual_seed(width)
    whole = settings(task, SETTINGS[task](width, *args, **more))
    return build_model(task_class(task), whole)


def settings(task: str, own: dict[str, Any]) -> dict[str, Any]:
    """All settings of a task, as a config.yaml holds them."""
    parser = task_class(task).get_parser()
    return vars(parser.parse_args(["--output_dir", "unused"])) | own


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random numbers that are the same every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _score() -> dict[str, torch.Tensor]:
    """Notes of three utterances of 31, 26 and 21 frames; of the last two are too many."""
    count = torch.tensor([4, 3, 2])
    lasting = torch.tensor([[8, 9, 7, 7], [9, 8, 9, 0], [11, 12, 0, 0]])
    streams = {
        "label": LABELS.clone(),
        "midi": torch.tensor([[60, 62, 64, 65], [67, 0, 60, 0], [72, 71, 0, 0]]),
        "duration_phn": lasting,
        "duration_ruled_phn": lasting + (lasting > 0),
        "duration_syb": lasting.clone(),
        "slur": torch.zeros_like(lasting),
    }
    return streams | {f"{name}_lengths": count.clone() for name in streams}


def batch_of(task: str) -> dict[str, torch.Tensor]:
    """Three utterances of different lengths, as the task's trainer gives them."""
    text = {"text": LABELS.clone(), "text_lengths": torch.tensor([4, 3, 2])}
    lens = torch.tensor([2400, 2000, 1600])
    audio = noise(3, 2400)
    audio[1, 2000:] = 0
    audio[2, 1600:] = 0
    speech = {"speech": audio, "speech_lengths": lens}
    if task == "lm":
        return text
    if task == "tts":
        # 2400 samples are 31 frames of 80: a label each and the end.
        durations = torch.tensor([[8, 7, 6, 5, 5], [9, 8, 7, 2, 0], [9, 9, 3, 0, 0]])
        counts = {"durations": durations, "durations_lengths": torch.tensor([5, 4, 3])}
        return text | speech | counts
    if task == "svs":
        return text | {f"singing{k[6:]}": v for k, v in speech.items()} | _score()
    if task == "enh":
        one, other = audio, noise(3, 2400, seed=1) * (audio != 0)
        mix = {"speech_mix": one + other, "speech_mix_lengths": lens}
        return mix | {"speech_ref1": one, "speech_ref2": other}
    if task == "spk":
        return speech | {"spk_labels": torch.tensor([[0], [3], [1]])}
    if task == "s2t":
        # The second has nothing before it, and no transcript of its own language.
        none = OWSM.index("<na>")
        before = torch.tensor([[3, 4], [none, -1], [5, -1]])
        ctc = torch.tensor([[2, 3, 4, 5], [none, -1, -1, -1], [6, 7, -1, -1]])
        prev = {"text_prev": before, "text_prev_lengths": torch.tensor([2, 1, 1])}
        prev |= {"text_ctc": ctc, "text_ctc_lengths": torch.tensor([4, 1, 2])}
        return speech | prev | text | {"text": LABELS.masked_fill(LABELS == 0, -1)}
    if task == "slu":
        return text | speech | {"text": LABELS.masked_fill(LABELS == 0, -1)}
    if task == "mt":
        source = {"src_text": LABELS.flip(0), "src_text_lengths": torch.tensor([2, 3, 4])}
        return text | source
    if task == "diar":
        active = (noise(3, 2400, 2, seed=2) > 0).float()
        return speech | {"spk_labels": active, "spk_labels_lengths": lens.clone()}
    return speech | {
        "label": torch.tensor([[0], [2], [1]]),
        "label_lengths": torch.ones(3, dtype=torch.long),
    }
