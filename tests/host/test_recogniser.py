"""ESPnet's recognisers: what is asked of them that they do not know."""

import pytest
import torch
from conftest import INPUT_SIZE, asr_options, build_asr, write_exp

from espnet_kd.errors import KDError
from espnet_kd.host.recogniser import recogniser


def test_an_unknown_option_of_the_search_is_named():
    with pytest.raises(KDError, match="no option of asr_inference: did you mean 'beam_siz"):
        recogniser("config.yaml", None, "cpu", {"beam_sise": 3})


def test_a_task_without_a_recogniser_is_named():
    with pytest.raises(KDError, match="no recogniser of the task 'asr_transducr'; did you"):
        recogniser("config.yaml", None, "cpu", {}, task="asr_transducr")


def test_intermediate_ctc_says_nothing_between(tmp_path):
    """ESPnet answers by a pair then: the hypotheses, and what each layer's CTC says."""
    own = {"encoder_conf": {"output_size": 8, "num_blocks": 2, "attention_heads": 2}}
    own["encoder_conf"] |= {"interctc_layer_idx": [1], "interctc_use_conditioning": False}
    own |= {"encoder": "conformer"}
    own["model_conf"] = {"ctc_weight": 0.5, "interctc_weight": 0.5}
    torch.manual_seed(0)
    exp = write_exp(tmp_path / "exp", build_asr(**own), asr_options(**own))
    files = str(exp / "config.yaml"), str(exp / "valid.acc.ave.pth")
    found = recogniser(*files, "cpu", {"beam_size": 1, "ctc_weight": 1.0, "nbest": 1})
    answers = found(torch.randn(60, INPUT_SIZE))
    assert isinstance(found.stock(torch.randn(60, INPUT_SIZE)), tuple)
    (answer,) = answers
    text, tokens, ids, hypothesis = answer
    assert text == "".join(tokens)
    assert len(ids) == len(tokens) == len(hypothesis.yseq) - 2
