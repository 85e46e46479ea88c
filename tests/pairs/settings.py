"""What a training may be told, one setting at a time: the draws put them together.

Two settings of one axis cannot be had together; any others can, and must train or be
refused.
"""

from conftest import LETTERS
from pairs.kinds import (
    BLOCKS,
    INTERCTC,
    RNN,
    RNN_DECODER,
    TRANSDUCER,
    Setting,
    encoder,
    prune,
)
from training import MASKS, SPECAUG

SOS_EOS = ["<blank>", "<unk>", *LETTERS, "<sos>", "<eos>"]
REORDERED = ["<blank>", *reversed(LETTERS), "<unk>", "<sos/eos>"]
OTHER = ["<blank>", "<unk>", *LETTERS[:-1], "<sos/eos>"]
FRONTEND = {"fs": 8000, "n_fft": 128, "hop_length": 64, "n_mels": 20}
SETTINGS = (
    Setting("prune", "prune_weights", kd=prune(sparsity=0.3)),
    Setting("prune", "prune_layers", kd=prune(sparsity=0.3, scope="layer")),
    Setting("prune", "prune_threshold", kd=prune(threshold=0.05)),
    Setting("prune", "prune_taylor", kd=prune(sparsity=0.3, importance="taylor")),
    Setting("prune", "prune_units", kd=prune(sparsity=0.5, structure="units")),
    Setting(
        "prune",
        "prune_units_taylor",
        kd=prune(sparsity=0.5, structure="units", importance="taylor"),
    ),
    Setting("quantize", "int8", kd={"quantize": "int8"}),
    Setting("freeze", "freeze_encoder", train={"freeze_param": ["encoder"]}),
    Setting("freeze", "freeze_decoder", train={"freeze_param": ["decoder"]}),
    Setting("freeze", "freeze_ctc", train={"freeze_param": ["ctc"]}),
    Setting("freeze", "freeze_all_but_ctc", train={"freeze_param": ["encoder", "decoder"]}),
    Setting("batch", "accum_3", train={"accum_grad": 3, "batch_size": 3}),
    Setting("batch", "one_a_batch", train={"batch_size": 1, "num_iters_per_epoch": 3}),
    Setting("view", "view_same", view="same"),
    Setting("view", "view_clean", view="clean"),
    Setting("schedule", "warm_up", kd={"schedule": {"warmup_steps": 5}}),
    Setting("schedule", "linear", kd={"schedule": {"decay": "linear", "decay_steps": 2}}),
    Setting(
        "schedule",
        "cosine",
        kd={
            "schedule": {
                "warmup_steps": 1,
                "decay": "cosine",
                "decay_steps": 4,
                "final": 0.1,
            }
        },
    ),
    Setting("schedule", "own_schedule", term={"schedule": {"warmup_steps": 2}}),
    Setting("until", "until", term={"until": "no_gain", "patience": 1}),
    Setting("gradients", "balance", kd={"gradients": {"every": 1, "balance": True}}),
    Setting("gradients", "measure", kd={"gradients": {"every": 2}}),
    Setting("specaug", "warp", train={"specaug": "specaug", "specaug_conf": SPECAUG}),
    Setting("specaug", "masks", train={"specaug": "specaug", "specaug_conf": MASKS}),
    Setting(
        "tokens",
        "sos_eos",
        both={
            "token_list": SOS_EOS,
            "model_conf": {"sym_sos": "<sos>", "sym_eos": "<eos>"},
        },
    ),
    Setting(
        "tokens",
        "sos_eos_of_student",
        train={"model_conf": {"sym_sos": "<unk>"}},
    ),
    Setting("tokens", "reordered", teacher={"token_list": REORDERED}),
    Setting("encoder", "conformer", train=encoder("conformer")),
    Setting(
        "encoder", "interctc", train=INTERCTC | {"model_conf": {"interctc_weight": 0.3}}
    ),
    Setting(
        "encoder",
        "self_conditioned",
        train=INTERCTC
        | {
            "encoder_conf": INTERCTC["encoder_conf"] | {"interctc_use_conditioning": True},
            "model_conf": {"interctc_weight": 0.3},
        },
    ),
    Setting(
        "encoder", "subsampling_6", train=encoder("transformer", input_layer="conv2d6")
    ),
    Setting("encoder", "layer_drop", train=encoder("conformer", stochastic_depth_rate=0.5)),
    Setting(
        "encoder",
        "rnn",
        train=RNN | {"batch_type": "sorted"},  # torch wants them so
    ),
    Setting(
        "encoder",
        "streaming",
        train=BLOCKS,
    ),
    Setting(
        "teacher", "teacher_conv2d6", teacher=encoder("transformer", input_layer="conv2d6")
    ),
    Setting("teacher", "teacher_conformer", teacher=encoder("conformer", output_size=12)),
    Setting("teacher", "teacher_without_ctc", teacher={"model_conf": {"ctc_weight": 0.0}}),
    Setting("teacher", "teacher_ctc_only", teacher={"model_conf": {"ctc_weight": 1.0}}),
    Setting("teacher", "teacher_twin", teacher=encoder("transformer")),
    Setting("teacher", "teacher_transducer", teacher=TRANSDUCER),
    Setting(
        "teacher",
        "teacher_rnn",
        teacher=RNN,
    ),
    Setting(
        "teacher",
        "teacher_rnn_decoder",
        teacher=RNN_DECODER,
    ),
    Setting(
        "teacher",
        "teacher_of_audio",
        teacher={"frontend": "default", "frontend_conf": FRONTEND, "input_size": None},
    ),
    Setting("teacher", "teacher_other_features", teacher={"input_size": 30}),
    Setting("teacher", "teacher_other_tokens", teacher={"token_list": OTHER}),
    Setting("family", "ctc_only", train={"model_conf": {"ctc_weight": 1.0}}),
    Setting("family", "attention_only", train={"model_conf": {"ctc_weight": 0.0}}),
    Setting("family", "transducer", both=TRANSDUCER),
    Setting(
        "family",
        "rnn_decoder",
        train=RNN_DECODER,
    ),
    Setting(
        "front end",
        "audio",
        both={"data": "audio", "frontend": "default", "frontend_conf": FRONTEND},
    ),
    Setting(
        "front end",
        "audio_of_two_rates",
        both={"data": "audio", "frontend": "default"},
        train={"frontend_conf": FRONTEND},
        teacher={"frontend_conf": FRONTEND | {"hop_length": 32}},
    ),
    Setting("normalize", "utterance_mvn", both={"normalize": "utterance_mvn"}),
    Setting("precision", "bfloat16", amp=True),
    Setting("precision", "float64", train={"train_dtype": "float64"}),
    Setting("weights", "observed", term={"weight": 0.0}),
    Setting("weights", "no_task", kd={"task_weight": 0.0}),
    Setting("weights", "half_task", kd={"task_weight": 0.5}),
    Setting("confidence", "confidence", term={"confidence": 1.0}),
    Setting("plugins", "plugin", kd={"plugins": ["pairs.plugin"]}),
    Setting("diagnostics", "no_diagnostics", kd={"diagnostics": False}),
    Setting("optional", "label_smoothing", train={"model_conf": {"lsm_weight": 0.1}}),
    Setting(
        "optional", "a_mean_loss", train={"model_conf": {"length_normalized_loss": True}}
    ),
    Setting("optional", "gradient_noise", train={"grad_noise": True, "grad_clip": 0.1}),
    Setting("init", "xavier", train={"init": "xavier_uniform"}),
    Setting("run", "resumed", epochs=(1, 2)),
    Setting("optimizer", "sgd", train={"optim": "sgd", "optim_conf": {"lr": 0.01}}),
    Setting(
        "optimizer",
        "no_decay",
        train={
            "optim": "adamw",
            "optim_conf": {"lr": 0.01, "weight_decay": 0.1},
            "exclude_weight_decay": True,
            "exclude_weight_decay_conf": {},
        },
    ),
    Setting(
        "adapter",
        "lora",
        train={
            "use_adapter": True,
            "adapter": "lora",
            "adapter_conf": {"rank": 2, "target_modules": ["linear_q"]},
        },
    ),
)
