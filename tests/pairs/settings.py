"""What a training may be told, one setting at a time: the draws put them together.

A setting changes the student's training config, the teacher's, or the ``kd_conf``. Two of
one axis cannot be had together; any others can, and must train or be refused.
"""

from dataclasses import dataclass, field
from typing import Any

from conftest import ENCODER, LETTERS
from training import SPECAUG

Conf = dict[str, Any]
SOS_EOS = ["<blank>", "<unk>", *LETTERS, "<sos>", "<eos>"]
REORDERED = ["<blank>", *reversed(LETTERS), "<unk>", "<sos/eos>"]
OTHER = ["<blank>", "<unk>", *LETTERS[:-1], "<sos/eos>"]
MASKS = SPECAUG | {"apply_time_warp": False}
BRANCH = {"hidden_size": 8}
FRONTEND = {"fs": 8000, "n_fft": 128, "hop_length": 64, "n_mels": 20}


@dataclass(frozen=True)
class Setting:
    """One thing that a user may ask for.

    Attributes:
        axis: What it is a choice of.
        name: As draws call it.
        train: Changes of the student's training config.
        teacher: Changes of the teacher's model.
        both: Changes of both.
        kd: Changes of the ``kd_conf``.
        term: Changes of every loss term.
        view: What teachers hear, if it is said.
        epochs: ``max_epoch`` of one run after the other in one directory.
        amp: Whether ESPnet's autocast computes in bfloat16.
    """

    axis: str
    name: str
    train: Conf = field(default_factory=dict)
    teacher: Conf = field(default_factory=dict)
    both: Conf = field(default_factory=dict)
    kd: Conf = field(default_factory=dict)
    term: Conf = field(default_factory=dict)
    view: str = ""
    epochs: tuple[int, ...] = ()
    amp: bool = False


@dataclass(frozen=True)
class Loss:
    """Terms of one training.

    Attributes:
        name: As draws call it.
        terms: Of the ``kd_conf``.
        both: What student and teacher must be for them to be read.
        train: What the student's training must be.
    """

    name: str
    terms: tuple[Conf, ...]
    both: Conf = field(default_factory=dict)
    train: Conf = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where the targets come from.

    Attributes:
        name: As draws call it.
        teachers: How many models teach.
        cached: Whether their targets are read from caches.
        named: Whether ``teachers`` names them.
        ema: Whether the student's own average teaches.
        lm: Whether a language model teaches beside them.
        combine: How several become one.
    """

    name: str
    teachers: int = 1
    cached: bool = False
    named: bool = True
    ema: bool = False
    lm: bool = False
    combine: str = ""


def encoder(kind: str, **more: Any) -> Conf:
    """A tiny encoder of a kind."""
    conf = ENCODER | {"output_size": 8, "num_blocks": 2} | more
    return {"encoder": kind, "encoder_conf": conf}


def prune(**options: Any) -> Conf:
    """Pruning that is over after two updates."""
    return {"prune": {"start": 0, "end": 2, "every": 1} | options}


TRANSDUCER = {
    "decoder": "transducer",
    "decoder_conf": BRANCH,
    "joint_net_conf": {"joint_space_size": 8},
}
INTERCTC = encoder("conformer", num_blocks=3, interctc_layer_idx=[1])
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
        train={
            "batch_type": "sorted",  # torch wants them so
            "encoder": "rnn",
            "encoder_conf": {
                "hidden_size": 8,
                "output_size": 8,
                "num_layers": 1,
                "subsample": [2, 2],
            },
        },
    ),
    Setting(
        "encoder",
        "streaming",
        train=encoder(
            "contextual_block_transformer", block_size=8, hop_size=4, look_ahead=2
        ),
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
        teacher={
            "encoder": "rnn",
            "encoder_conf": {
                "hidden_size": 8,
                "output_size": 8,
                "num_layers": 1,
                "subsample": [2, 2],
            },
        },
    ),
    Setting(
        "teacher",
        "teacher_rnn_decoder",
        teacher={"decoder": "rnn", "decoder_conf": {"hidden_size": 8, "num_layers": 1}},
    ),
    Setting("teacher", "teacher_other_features", teacher={"input_size": 30}),
    Setting("teacher", "teacher_other_tokens", teacher={"token_list": OTHER}),
    Setting("family", "ctc_only", train={"model_conf": {"ctc_weight": 1.0}}),
    Setting("family", "attention_only", train={"model_conf": {"ctc_weight": 0.0}}),
    Setting("family", "transducer", both=TRANSDUCER),
    Setting(
        "family",
        "rnn_decoder",
        train={"decoder": "rnn", "decoder_conf": {"hidden_size": 8, "num_layers": 1}},
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
CTC = {"type": "ctc_frame_kl", "weight": 0.3}
TOKEN = {"type": "token_kl", "weight": 0.7}
HIDDEN = {"weight": 0.1, "student": "encoder.encoders.1", "teacher": "encoder.encoders.2"}
ENCODERS = {"weight": 0.1, "student": "encoder", "teacher": "encoder"}


def one(name: str, kind: str = "", **options: Any) -> Loss:
    """A training with one term."""
    return Loss(name, ({"type": kind or name, "weight": 0.5, **options},))


def lattice(kind: str) -> Loss:
    """A training of transducers with one term."""
    return Loss(kind, ({"type": kind, "weight": 0.5},), both=TRANSDUCER)


LOSSES = (
    Loss("hybrid", (CTC, TOKEN | {"temperature": 2.0})),
    Loss("whole", (CTC, TOKEN, {"type": "hidden_l1_cosine"} | HIDDEN)),
    one("ctc_frame_kl"),
    one("ctc_nonblank", "ctc_frame_kl", frames="nonblank", context=1),
    one("ctc_threshold", "ctc_frame_kl", frames="threshold", reduction="token"),
    one("ctc_trim", "ctc_frame_kl", frames="trim", bridge="mean", temperature=2.0),
    one("ctc_guided"),
    one("ctc_guided_probability", "ctc_guided", form="probability"),
    one("ctc_shift_kl"),
    one("ctc_shift_utterance", "ctc_shift_kl", per="utterance", min_shift=-1),
    one("ctc_token_kl"),
    one("ctc_greedy", "ctc_nbest", search="greedy"),
    one("ctc_nbest", nbest=2),
    one("token_kl"),
    one("token_jsd", temperature=2.0),
    one("token_reverse_kl", reduction="token"),
    one("token_nbest", nbest=2),
    one("hidden_mse", **HIDDEN),
    one("hidden_cosine", **ENCODERS),
    one("hidden_l1_cosine", **ENCODERS),
    one("hidden_cka", **ENCODERS),
    one("rkd", **ENCODERS),
    one("similarity", **ENCODERS),
    one(
        "hidden_decoder",
        "hidden_mse",
        student="decoder.decoders.0",
        teacher="decoder.decoders.0",
    ),
    one(
        "attention_kl",
        student="encoder.encoders.0.self_attn",
        teacher="encoder.encoders.1.self_attn",
    ),
    one(
        "relation_kl",
        student="encoder.encoders.0.self_attn",
        teacher="encoder.encoders.1.self_attn",
        heads=2,
    ),
    Loss(
        "cr_ctc",
        ({"type": "cr_ctc", "weight": 0.2},),
        train={"specaug": "specaug", "specaug_conf": SPECAUG},
    ),
    Loss(
        "cr_ctc_taught",
        (CTC, {"type": "cr_ctc", "weight": 0.2}),
        train={"specaug": "specaug", "specaug_conf": MASKS},
    ),
    Loss(
        "ctc_head",
        (CTC, CTC | {"head": 1, "name": "early"}),
        train=INTERCTC | {"model_conf": {"interctc_weight": 0.3}},
    ),
    lattice("transducer_collapsed_kl"),
    lattice("transducer_fullsum"),
    lattice("transducer_lattice_kl"),
    lattice("transducer_path_kl"),
)
TARGETS = (
    Target("live"),
    Target("cached", cached=True, named=False),
    Target("cached_named", cached=True),
    Target("two_mean", 2, combine="mean"),
    Target("two_log_mean", 2, combine="log_mean"),
    Target("two_confidence", 2, combine="confidence"),
    Target("two_draw", 2, combine="draw"),
    Target("two_cached", 2, cached=True, combine="log_mean"),
    Target("ema", 0, ema=True),
    Target("with_lm", 1, lm=True),
)
