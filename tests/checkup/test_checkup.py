"""Trainings of the other tasks are checked by the same path."""

import re

import pytest
import torch
import yaml
from conftest import write_exp
from training import MASKS, transducer_arguments, translation_arguments

from espnet_kd.checkup.checkup import check_up
from espnet_kd.tasks import variants


def checked(task, name, folder, commands, terms):
    """Check the training of a student with a teacher of the same task, untrained."""
    args = task.get_parser().parse_args(commands[0])
    torch.manual_seed(2)
    teacher = write_exp(folder / "teacher", task.build_model(args), vars(args))
    conf = {"teachers": [{"exp": str(teacher)}], "losses": terms}
    (folder / "kd.yaml").write_text(yaml.safe_dump(conf))
    arguments = [*commands[1], "--kd_conf", str(folder / "kd.yaml")]
    found = check_up(name, arguments, steps=1, heard=2)
    assert not found.reasons
    assert not (folder / "student").exists()
    return "\n".join(found.lines)


@pytest.mark.parametrize("ctc", [0.3, 0.0])
def test_a_transducer(ctc, features, tmp_path):
    task, conf = variants.KDASRTransducerTask, {"model_conf": {"auxiliary_ctc_weight": ctc}}
    sizes = {"teacher": 12, "student": 8}
    commands = [
        transducer_arguments(features, tmp_path / role, width, **conf)
        for role, width in sizes.items()
    ]
    term = {"type": "transducer_collapsed_kl", "weight": 1.0}
    text = checked(task, "asr_transducer", tmp_path, commands, [term])
    assert re.search(r"  transducer_collapsed_kl: [\d.]+ times 1 counts", text)
    counted = "errors on 2 validation utterances (words, greedy CTC)" in text
    assert counted == (ctc > 0), text
    assert ("errors: not compared, for not all models have CTC" in text) == (ctc == 0)


@pytest.mark.parametrize("ctc", [0.3, 0.0])
def test_speech_translation(ctc, features, tmp_path):
    """By its source's CTC or, without one, by its decoder."""
    settings = {"model_conf": {"asr_weight": ctc, "mtlalpha": 0.5}, "specaug_conf": MASKS}
    settings |= {"extra_asr_decoder": "transformer"}
    settings["extra_asr_decoder_conf"] = {"attention_heads": 2, "num_blocks": 1}
    commands = [
        translation_arguments(features, tmp_path / role, role=role, **settings)
        for role in ("teacher", "student")
    ]
    term = {"type": "token_kl", "weight": 1.0}
    text = checked(variants.KDSTTask, "st", tmp_path, commands, [term])
    assert re.search(r"  token_kl: [\d.]+ times 1 counts", text)
    measure = "words, greedy CTC" if ctc else "tokens, the decoder behind the transcript"
    assert f"errors on 2 validation utterances ({measure}): " in text
