"""Tiny models of every encoder and decoder family that students are made of."""

import torch
from conftest import ENCODER, build_asr, clone

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


def embedding(model):
    """The linear layer behind the convolutions, under either release's name."""
    out = model.encoder.embed.out
    return out if isinstance(out, torch.nn.Linear) else out[0]


def losses(model, batch):
    with torch.no_grad():
        return torch.stack([v for v in model(**clone(batch))[0].flatten()])
