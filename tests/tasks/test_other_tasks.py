"""Distillation on tasks other than asr: transducers and speech translation."""

import pytest
import torch
from conftest import ENCODER, INPUT_SIZE, TOKENS, clone

import espnet_kd
from espnet_kd.errors import ConfigError
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
    block = {"block_type": "conformer", "hidden_size": width, "linear_size": 16}
    block |= {"conv_mod_kernel_size": 3, "heads": 2}
    task = task_class("asr_transducer")
    torch.manual_seed(width)
    return build_model(
        task,
        settings(
            task,
            encoder_conf={
                "main_conf": {"pos_wise_act_type": "swish"},
                "input_conf": {"block_type": "conv2d", "conv_size": 8},
                "body_conf": [block] * blocks,
            },
            decoder="rnn",
            decoder_conf={"embed_size": 8, "hidden_size": 8},
            joint_network_conf={"joint_space_size": 8},
            model_conf={"auxiliary_ctc_weight": 0.3, "report_cer": False},
        ),
    )


def translator(width):
    """A model of the st task with a source CTC."""
    task = task_class("st")
    torch.manual_seed(width)
    return build_model(
        task,
        settings(
            task,
            src_token_list=list(TOKENS),
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
