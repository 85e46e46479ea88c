"""Errors of every kind to sentences."""

import pytest

from espnet_kd.checkup.reasons import Reasons, reasons_of
from espnet_kd.errors import ConfigError, KDError, Problem


class TooShortUttError(Exception):
    """As ESPnet's."""


def build_iter_factory():
    raise FileNotFoundError(2, "No such file", "dump/x.scp")


def load_pretrained_model():
    raise RuntimeError("Error(s) in loading:\n\tsize mismatch for a\n" + "\tand b\n" * 200)


def main_worker(what):
    what()


@pytest.mark.parametrize(
    ("what", "sentence", "remedy"),
    [
        (
            build_iter_factory,
            "the data cannot be read (FileNotFoundError: [Errno 2] No such file: 'dump/x",
            "; check the files that --train_data_path_and_name_and_type",
        ),
        (
            load_pretrained_model,
            "--init_param cannot be loaded (RuntimeError: Error(s) in loading: size",
            "...); give parameters of this very model",
        ),
        (lambda: 1 / 0, "the training stops before its first batch (Zero", "check its arg"),
    ],
)
def test_by_where_it_came_from(what, sentence, remedy):
    reasons = Reasons()
    with reasons.attempt():
        main_worker(what)
    assert len(reasons) == 1
    assert reasons[0].startswith(sentence)
    assert remedy in reasons[0]
    assert "\n" not in reasons[0]


def test_our_own_errors_say_it_themselves():
    several = ConfigError([Problem("a.b", "is one"), Problem("", "is\n another")])
    assert reasons_of(several) == ["a.b: is one", "is another"]
    assert reasons_of(KDError("x is y; do z")) == ["x is y; do z"]


def test_a_reason_is_given_once_and_short_utterances_have_their_own():
    reasons = Reasons()
    for _ in range(2):
        with reasons.attempt("it stops ({why}); do x", "it is short ({why}); drop it"):
            raise TooShortUttError("5 frames")
        with reasons.attempt("it stops ({why}); do x", "it is short ({why}); drop it"):
            raise KeyError("u")
    assert reasons == [
        "it is short (TooShortUttError: 5 frames); drop it",
        "it stops (KeyError: 'u'); do x",
    ]


def test_what_is_no_error_of_the_training_goes_through():
    with pytest.raises(KeyboardInterrupt), Reasons().attempt():
        raise KeyboardInterrupt
