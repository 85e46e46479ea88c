"""ESPnet's recognisers: what is asked of them that they do not know."""

import pytest

from espnet_kd.errors import KDError
from espnet_kd.host.recogniser import recogniser


def test_an_unknown_option_of_the_search_is_named():
    with pytest.raises(KDError, match="no option of asr_inference: did you mean 'beam_siz"):
        recogniser("config.yaml", None, "cpu", {"beam_sise": 3})


def test_a_task_without_a_recogniser_is_named():
    with pytest.raises(KDError, match="no recogniser of the task 'asr_transducr'; did you"):
        recogniser("config.yaml", None, "cpu", {}, task="asr_transducr")
