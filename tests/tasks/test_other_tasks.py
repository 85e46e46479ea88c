"""Distillation on tasks other than asr: transducers and speech translation."""

import pytest
import torch
from conftest import ENCODER, INPUT_SIZE, TOKENS, clone
from training import CONFORMER

import espnet_kd
from espnet_kd.errors import AlignmentError, ConfigError
from espnet_kd.host.compat import build_model, task_class

HIDDEN = {"type": "hidden_mse", "weight": 1.0, "student": "encoder", "teacher": "encoder"}


def settings(task, **more):
    args = task.get_parser().parse_args(["--output_dir", "unused"])
    return vars(args) | {
        "token_list": list(TOKENS),
        "input_size": INPUT_SIZE,
        "frontend": None,
        "specaug": None,
        "normalize": None,
    } | more  # fmt: skip


def transducer(width, blocks):
    """A model of the asr_transducer task with an auxiliary CTC head."""
    task = task_class("asr_transducer")
    torch.manual_seed(width)
    return build_model(
        task,
        settings(
            task,
            encoder_conf={
                "main_conf": {"pos_wise_act_type": "swish"},
                "input_conf": {"block_type": "conv2d", "conv_size": 8},
                "body_conf": [CONFORMER | {"hidden_size": width}] * blocks,
            },
            decoder="rnn",
            decoder_conf={"embed_size": 8, "hidden_size": 8},
            joint_network_conf={"joint_space_size": 8},
            model_conf={"auxiliary_ctc_weight": 0.3, "report_cer": False},
        ),
    )


def translator(width, tokens=TOKENS, sources=TOKENS):
    """A model of the st task with a source CTC."""
    task = task_class("st")
    torch.manual_seed(width)
    return build_model(
        task,
        settings(
            task,
            token_list=list(tokens),
            src_token_list=list(sources),
            encoder="transformer",
            encoder_conf=ENCODER | {"output_size": width, "num_blocks": 2},
            decoder="transformer",
            decoder_conf={"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
            extra_asr_decoder="transformer",
            extra_asr_decoder_conf={"attention_heads": 2, "num_blocks": 1},
            model_conf={"asr_weight": 0.3, "mt_weight": 0.0, "mtlalpha": 0.5},
            ctc_conf={},
        ),
    )


def example(batch):
    return {key: batch[key] for key in ("speech", "speech_lengths")}


def test_the_transducer_task_by_hidden_taps_and_auxiliary_ctc(batch):
    student, teacher = transducer(8, 1), transducer(12, 2)
    terms = [HIDDEN, {"type": "ctc_frame_kl", "weight": 0.3}]
    espnet_kd.attach(student, {"losses": terms}, teacher, example=example(batch))
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    assert stats["loss_kd_hidden_mse"].item() > 0
    assert stats["loss_kd_ctc_frame_kl"].item() > 0
    assert stats["loss_transducer"] is not None


def test_the_transducer_task_by_its_lattice(batch):
    student, teacher = transducer(8, 1), transducer(12, 2)
    kinds = ["collapsed_kl", "path_kl", "fullsum", "lattice_kl"]
    terms = [{"type": f"transducer_{kind}", "weight": 0.1} for kind in kinds]
    espnet_kd.attach(student, {"losses": terms}, teacher)
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    for kind in kinds:
        assert stats[f"loss_kd_transducer_{kind}"].item() > 0
    # As ESPnet's own loss is (a mean over utterances of nats), so is ours.
    assert stats["loss_transducer"].item() > 0


def test_models_of_other_tasks_are_not_searched():
    terms = [{"type": "ctc_nbest", "weight": 1.0}]
    with pytest.raises(ConfigError, match=r"no beam search here; .*'search: greedy'"):
        espnet_kd.attach(transducer(8, 1), {"losses": terms}, transducer(12, 2))
    terms[0]["search"] = "greedy"
    espnet_kd.attach(transducer(8, 1), {"losses": terms}, transducer(12, 2))


def test_a_transducer_has_no_attention_decoder_to_teach(batch):
    terms = [{"type": "token_kl", "weight": 1.0}]
    with pytest.raises(ConfigError, match="no attention decoder"):
        espnet_kd.attach(transducer(8, 1), {"losses": terms}, transducer(12, 2))


def test_speech_translation_by_decoder_source_ctc_and_hidden(batch):
    student, teacher = translator(8), translator(12)
    terms = [
        HIDDEN,
        {"type": "token_kl", "weight": 1},
        {"type": "ctc_frame_kl", "weight": 1},
    ]
    espnet_kd.attach(student, {"losses": terms}, teacher, example=example(batch))
    pairs = {"src_text": batch["text"], "src_text_lengths": batch["text_lengths"]}
    loss, stats, _ = student.train()(**clone(batch | pairs))
    loss.sum().backward()
    kd = [v.item() for k, v in stats.items() if k.startswith("loss_kd")]
    assert len(kd) == 4
    assert min(kd) > 0


# In speech translation CTC is over the tokens of the source language.

CTC = {"type": "ctc_frame_kl", "weight": 1.0, "frames": "all"}
DECODER = {"type": "token_kl", "weight": 1.0}
SWAPPED = [TOKENS[0], TOKENS[1], *reversed(TOKENS[2:-1]), TOKENS[-1]]
OTHER = [TOKENS[0], TOKENS[1], *map(str.upper, TOKENS[2:-1]), TOKENS[-1]]


def place_of(tokens):
    """Where each token of SWAPPED stands in another list."""
    return torch.tensor([list(tokens).index(token) for token in SWAPPED])


def with_source_order(teacher):
    """The same translator, its source tokens in the order of SWAPPED."""
    twin = translator(12, sources=SWAPPED)
    state = {k: v.clone() for k, v in teacher.state_dict().items()}
    for name, value in state.items():
        of_source = name.startswith(("ctc.ctc_lo.", "extra_asr_decoder."))
        if of_source and value.shape[:1] == (len(TOKENS),):
            state[name] = value[place_of(TOKENS)]
    twin.load_state_dict(state)
    return twin.eval()


def with_target_order(model):
    """The same translator, its target tokens in the order of SWAPPED."""
    twin = translator(12, tokens=SWAPPED)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for name, value in state.items():
        if name.startswith("decoder.") and value.shape[:1] == (len(TOKENS),):
            state[name] = value[place_of(TOKENS)]
    twin.load_state_dict(state)
    return twin.eval()


def translated(batch):
    """The batch with transcripts of the source, other than its translations."""
    source = batch["text"].flip(0).clone()
    lengths = batch["text_lengths"].flip(0).clone()
    return clone(batch | {"src_text": source, "src_text_lengths": lengths})


def stats_of(student, teacher, terms, batch):
    espnet_kd.attach(student.eval(), {"losses": terms}, teacher)
    with torch.no_grad():
        _, stats, _ = student(**translated(batch))
    espnet_kd.detach(student)
    return {k: v for k, v in stats.items() if k.startswith("loss_kd_")}


def test_other_source_tokens_of_the_same_number_are_refused():
    with pytest.raises(AlignmentError, match=r"2: student 'a', teacher 'A'"):
        espnet_kd.attach(translator(8), {"losses": [CTC]}, translator(12, sources=OTHER))
    # The target's are another list, which a CTC loss does not read.
    espnet_kd.attach(translator(8), {"losses": [CTC]}, translator(12, tokens=OTHER))
    espnet_kd.attach(translator(8), {"losses": [DECODER]}, translator(12, sources=OTHER))


def test_the_order_of_source_tokens_changes_nothing(batch):
    student, teacher = translator(8), translator(12).eval()
    terms = [CTC, DECODER]
    plain = stats_of(student, teacher, terms, batch)
    swapped = stats_of(student, with_source_order(teacher), terms, batch)
    assert min(plain.values()) > 0
    for name, value in plain.items():
        torch.testing.assert_close(swapped[name], value, rtol=1e-5, atol=1e-5)


def test_the_order_of_target_tokens_leaves_the_source_ctc_alone(batch):
    student = translator(12)
    twin = with_target_order(student)
    stats = stats_of(student, twin, [CTC, DECODER], batch)
    zero = torch.zeros(1)
    torch.testing.assert_close(stats["loss_kd_ctc_frame_kl"], zero, rtol=0, atol=1e-4)
    torch.testing.assert_close(stats["loss_kd_token_kl"], zero, rtol=0, atol=1e-4)


def test_another_number_of_source_tokens_is_a_sentence():
    longer = [*TOKENS[:-1], "i", TOKENS[-1]]
    with pytest.raises(AlignmentError, match=r"token lists \(11 and 12 tokens"):
        espnet_kd.attach(translator(8), {"losses": [CTC]}, translator(12, sources=longer))
