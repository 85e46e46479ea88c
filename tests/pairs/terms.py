"""What a student may learn, and from whom."""

from typing import Any

from pairs.kinds import BLOCKS, INTERCTC, TRANSDUCER, Loss, Target
from training import MASKS, SPECAUG

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
    one("ctc_shift_ms", "ctc_shift_kl", max_shift_ms=90, frame_shift_ms=40),
    one("ctc_token_kl"),
    one("ctc_greedy", "ctc_nbest", search="greedy"),
    one("ctc_nbest", nbest=2),
    one("token_kl"),
    one("token_jsd", temperature=2.0),
    one("token_reverse_kl", reduction="token"),
    one("own_words", "token_kl", prefix="student"),
    Loss("both_prefixes", (TOKEN, TOKEN | {"prefix": "student", "name": "own_words"})),
    one("token_nbest", nbest=2),
    one("hidden_mse", **HIDDEN),
    one("hidden_pairs", "hidden_mse", layers="uniform"),
    one(
        "hidden_mean",
        "hidden_cosine",
        student="encoder",
        teacher=["encoder.encoders.0", "encoder.encoders.2"],
    ),
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
    lattice("transducer_token_kl"),
    Loss("mode_consistency", ({"type": "mode_consistency", "weight": 0.2},), train=BLOCKS),
    Loss(
        "both_modes_taught",
        (
            CTC,
            {"type": "mode_consistency", "weight": 0.2},
            {"type": "transducer_mode_consistency", "weight": 2.0},
        ),
        both=TRANSDUCER,
        train=BLOCKS,
    ),
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
    Target("rarely", each={"every": 2}),
    Target("rarely_ema", 0, ema=True, each={"every": 2}),
    Target("rounded", each={"precision": "bfloat16"}),
    Target("by_turns", 2, each={"schedule": {"warmup_steps": 2}}),
    Target("with_lm", 1, lm=True),
)
