"""Tiny models of every encoder and decoder family that students are made of."""

import torch
from conftest import ENCODER, INPUT_SIZE, TOKENS, build_asr, clone

from espnet_kd.host.compat import build_model, default_settings, task_class

WIDTH, HIDDEN, HEADS = 8, 16, 2
KINDS = {
    "transformer": {},
    "conformer": {
        "macaron_style": True,
        "rel_pos_type": "latest",
        "pos_enc_layer_type": "rel_pos",
        "selfattention_layer_type": "rel_selfattn",
        "use_cnn_module": True,
        "cnn_module_kernel": 7,
    },
    "e_branchformer": {
        "cgmlp_linear_units": 24,
        "cgmlp_conv_kernel": 7,
        "use_ffn": True,
        "macaron_ffn": True,
        "attention_layer_type": "rel_selfattn",
        "pos_enc_layer_type": "rel_pos",
        "rel_pos_type": "latest",
    },
}
DECODERS = {
    "attention": {},
    "transducer": {
        "decoder": "transducer",
        "decoder_conf": {"rnn_type": "lstm", "num_layers": 2, "hidden_size": 6},
        "joint_net_conf": {"joint_space_size": 10},
    },
    "gru": {
        "decoder": "transducer",
        "decoder_conf": {"rnn_type": "gru", "num_layers": 1, "hidden_size": 6},
        "joint_net_conf": {"joint_space_size": 10},
    },
}


def build(kind="transformer", seed=1, blocks=2, decoder="attention", **changes):
    conf = ENCODER | KINDS[kind] | {"output_size": WIDTH, "num_blocks": blocks}
    conf |= {"linear_units": HIDDEN, "attention_heads": HEADS, "input_layer": "conv2d"}
    options = DECODERS[decoder] | {"encoder": kind, "encoder_conf": conf | changes}
    return build_asr(seed, **options).eval()


def lattice_options(blocks=2, chunks=False, decoder="rnn", kernel=3, **changes):
    """Settings of the asr_transducer task, for whole utterances or for chunks."""
    task = task_class("asr_transducer")
    block = {"block_type": "conformer", "hidden_size": WIDTH, "linear_size": HIDDEN}
    block |= {"heads": HEADS, "conv_mod_kernel_size": kernel, "num_blocks": blocks}
    predictor = {"embed_size": 6} | ({"hidden_size": 6} if decoder == "rnn" else {})
    return default_settings(task) | {
        "token_list": list(TOKENS),
        "token_type": "char",
        "input_size": INPUT_SIZE,
        "frontend": None,
        "specaug": None,
        "normalize": None,
        "encoder_conf": {
            "main_conf": {"dynamic_chunk_training": chunks},
            "input_conf": {"block_type": "conv2d", "conv_size": WIDTH},
            "body_conf": [block | changes],
        },
        "decoder": decoder,
        "decoder_conf": predictor,
        "joint_network_conf": {"joint_space_size": 10},
        "model_conf": {"auxiliary_ctc_weight": 0.3},
    }


def lattice(seed=1, **options):
    """A model of the asr_transducer task, and its settings."""
    settings = lattice_options(**options)
    torch.manual_seed(seed)
    return build_model(task_class("asr_transducer"), settings).eval(), settings


def embedding(model):
    """The linear layer behind the convolutions, under either release's name."""
    out = model.encoder.embed.out
    return out if isinstance(out, torch.nn.Linear) else out[0]


def losses(model, batch):
    with torch.no_grad():
        return torch.stack([v for v in model(**clone(batch))[0].flatten()])
