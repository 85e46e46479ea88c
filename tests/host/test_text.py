"""Text to labels, as training read it."""

import pytest
from conftest import TOKENS, asr_options

from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.text import tokeniser

ASR = task_class("asr")


def test_letters_are_their_places_in_the_token_list():
    to_labels = tokeniser(ASR, asr_options())
    assert to_labels("abh") == [TOKENS.index(letter) for letter in "abh"]
    assert to_labels("az") == [TOKENS.index("a"), TOKENS.index("<unk>")]
    assert to_labels("") == []


def test_what_has_no_tokens_is_refused():
    with pytest.raises(KDError, match="of a model with 'use_preprocessor: false'; write"):
        tokeniser(ASR, asr_options(use_preprocessor=False))
    with pytest.raises(KDError, match="text cannot be read as tokens by 'token_type: odd'"):
        tokeniser(ASR, asr_options(token_type="odd"))
