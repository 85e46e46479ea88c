"""What the log of a training says was decided."""

import logging

import pytest
from conftest import build_asr
from pairs.kinds import encoder

import espnet_kd
from espnet_kd.teachers.live import LiveTeacher

HIDDEN = {
    "type": "hidden_mse",
    "weight": 0.1,
    "student": "encoder.encoders.1",
    "teacher": "encoder.encoders.2",
}


def logged(caplog, student, conf, teacher, batch):
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    with caplog.at_level(logging.INFO, "espnet_kd"):
        espnet_kd.attach(student, conf, teacher, example=example)
    records = [r for r in caplog.records if r.name.startswith("espnet_kd")]
    assert {record.levelname for record in records} == {"INFO"}
    return "\n".join(record.getMessage() for record in records)


def test_teacher_terms_schedules_and_projections_are_named(caplog, student, teacher, batch):
    conf = {
        "task_weight": 0.5,
        "losses": [
            {"type": "ctc_frame_kl", "weight": 0},
            {"type": "token_kl", "name": "soft", "weight": 0.7, "temperature": 2.0},
            HIDDEN | {"schedule": {"decay": "linear", "decay_steps": 9}},
        ],
        "schedule": {"warmup_steps": 7},
    }
    guest = LiveTeacher(teacher, name="exp/asr_teacher", origin="valid.acc.ave.pth")
    size = sum(p.numel() for p in teacher.parameters())
    text = logged(caplog, student, conf, guest, batch)
    assert f"teacher exp/asr_teacher (valid.acc.ave.pth): ESPnetASRModel, {size:,}" in text
    assert "view: clean" in text
    assert "own loss counts 0.5" in text
    assert "ctc_frame_kl: observed only\n" in text
    tokens = len(student.token_list)
    assert (
        f"vocabulary: {tokens} tokens, the same in both models (compared: ctc and t" in text
    )
    _, lens = student.encode(batch["speech"].clone(), batch["speech_lengths"])
    frames = int(lens.sum())
    told = f"frame rates, of an example: {frames} frames of the student's, {frames} of"
    assert told in text
    assert (
        f"a pass of the teacher without gradient (encoder, ctc, decoder; {size:,}" in text
    )
    assert "by default bridge: spike, frames: all, context: 0, threshold: 0.1" in text
    expected = "token_kl as 'soft': weight 0.7 (temperature: 2.0); rises over 7 updates"
    assert expected in text
    assert "falls to 0 over 9 (linear)" in text
    # Width 8 to width 12, with a bias; the student is counted without them.
    assert f"hidden_mse: adds {8 * 12 + 12} parameters of its own" in text
    own = sum(p.numel() for n, p in student.named_parameters() if "kd_proj" not in n)
    assert f"of ESPnetASRModel, {own:,} parameters, by kd_conf:" in text


def test_a_teacher_whose_tokens_are_in_another_order_is_told(caplog, student, batch):
    from conftest import TOKENS, build_asr

    turned = [TOKENS[0], *reversed(TOKENS[1:-1]), TOKENS[-1]]
    teacher = build_asr(seed=2, tokens=turned)
    conf = {"losses": [{"type": "ctc_frame_kl", "weight": 1.0}]}
    text = logged(caplog, student, conf, teacher, batch)
    assert "its tokens come in another order" in text


def test_nothing_is_said_of_a_model_that_is_refused(caplog, student, teacher):
    with caplog.at_level(logging.INFO, "espnet_kd"):
        try:
            espnet_kd.attach(student, {"losses": [HIDDEN]}, teacher)
        except espnet_kd.errors.KDError:
            refused = True
    assert refused
    assert not [r for r in caplog.records if r.name.startswith("espnet_kd")]


SOFT = {"type": "token_kl", "weight": 1.0}
MOVING = {"schedule": {"warmup_steps": 3}}
BALANCED = {"gradients": {"every": 1, "balance": True}}
END, OWN, AVERAGE = "at the end of its schedule", "is the task's own", "which compare"


def test_settings_that_change_a_training_are_told(caplog, batch):
    from conftest import build_asr

    student = build_asr(
        seed=1,
        specaug="specaug",
        specaug_conf={
            "apply_time_warp": True,
            "apply_freq_mask": False,
            "apply_time_mask": False,
        },
    )
    conf = {
        "teachers": [{"ema": 0.99}],
        "losses": [
            {"type": "ctc_frame_kl", "weight": 0.5},
            {"type": "cr_ctc", "weight": 0.2},
        ],
        "gradients": {"every": 50, "balance": True},
        "prune": {"sparsity": 0.25, "start": 10, "end": 90},
        "diagnostics": False,
    }
    text = logged(caplog, student, conf, None, batch)
    for line in (
        "teacher: the student's own average, decay 0.99, view: clean",
        "cost of a step: a pass of the student's average without gradient (encoder, ctc;",
        "weights are balanced: each says how hard its term pulls",
        "measured every 50 updates",
        "prune: 25% of the weights go by magnitude (global) from update 10 to 90",
        "diagnostics: the log has no kd_* statistics",
        "every training batch goes through the student twice",
        "time warp is repeated for the teacher's clean features",
    ):
        assert line in text, line


def test_what_is_not_known_before_a_batch_is_told_to_follow(caplog, student, teacher):
    with caplog.at_level(logging.INFO, "espnet_kd"):
        espnet_kd.attach(
            student, {"losses": [{"type": "token_kl", "weight": 1.0}]}, teacher
        )
    assert "frame rates: told with the first batch" in caplog.text


def test_two_rates_are_doubted_before_a_batch_is_seen(caplog, student, batch):
    fast = build_asr(2, **encoder("transformer", output_size=12, input_layer="conv2d2"))
    with caplog.at_level(logging.WARNING, "espnet_kd"):
        kd = {"losses": [{"type": "ctc_frame_kl", "weight": 1.0}]}
        example = {key: batch[key] for key in ("speech", "speech_lengths")}
        espnet_kd.attach(student, kd, fast, example=example)
        student.train()(**batch)
    assert caplog.text.count("one of the student's: losses that compare frames lose") == 1
    assert "give the student the teacher's subsampling" in caplog.text


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({}, []),
        (MOVING, [END]),
        (MOVING | {"losses": [SOFT | {"weight": 0}]}, []),
        (MOVING | BALANCED, [OWN]),
        (MOVING | {"teachers": [{"ema": 0.9}]}, [END, AVERAGE]),
        (BALANCED | {"teachers": [{"ema": 0.9}]}, [OWN]),
    ],
)
def test_what_the_loss_of_validations_is_is_told(
    caplog, student, teacher, batch, conf, told
):
    guest = None if "teachers" in conf else teacher
    text = logged(caplog, student, {"losses": [SOFT]} | conf, guest, batch)
    assert [sign for sign in (END, OWN, AVERAGE) if sign in text] == told


BLOCKS = encoder("contextual_block_transformer", block_size=8, hop_size=4, look_ahead=2)
FRAME, LABEL = {"type": "ctc_frame_kl"}, {"type": "token_kl"}
SHIFT = {"type": "ctc_shift_kl"}


@pytest.mark.parametrize(
    ("blocks", "of_teacher", "terms", "told"),
    [
        (True, {}, [FRAME, LABEL], "ctc_frame_kl: the student hears blocks of 8 frames, 2"),
        (
            True,
            {},
            [FRAME | {"name": "mine"}, {"type": "ctc_guided"}],
            "mine, ctc_guided: ",
        ),
        (True, {}, [SHIFT | {"max_shift": 0}], "ctc_shift_kl: the student hears blocks of"),
        (True, {}, [SHIFT, LABEL, {"type": "ctc_token_kl"}], ""),
        (True, {}, [FRAME | {"weight": 0}, LABEL], ""),
        (True, BLOCKS, [FRAME], ""),
        (True, None, [FRAME], ""),
        (False, {}, [FRAME], ""),
    ],
    ids=["one", "two", "no room", "labels", "observed", "teacher", "own", "offline"],
)
def test_the_very_frame_of_an_offline_teacher_is_doubted(
    caplog, blocks, of_teacher, terms, told
):
    student = build_asr(1, **(BLOCKS if blocks else {}))
    guest = None if of_teacher is None else build_asr(2, **of_teacher)
    conf = {"losses": [{"weight": 0.5} | term for term in terms]}
    with caplog.at_level(logging.WARNING, "espnet_kd"):
        own = {"teachers": [{"ema": 0.9}]} if guest is None else {}
        espnet_kd.attach(student, conf | own, guest)
    found = [m for m in caplog.messages if "makes streaming students worse" in m]
    assert len(found) == bool(told)
    assert not told or found[0].startswith(told)
