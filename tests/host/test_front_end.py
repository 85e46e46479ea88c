"""What a model's input is counted in."""

import pytest

from espnet_kd.host.front_end import input_hop, input_rate, sample_rate, takes_features

AUDIO = {"input_size": None, "frontend_conf": {"fs": "8k", "hop_length": 80}}
FEATURES = {"input_size": 39, "frontend": None}


@pytest.mark.parametrize(
    ("fs", "rate"), [("16k", 16000), ("8k", 8000), ("22.05k", 22050), (16000, 16000)]
)
def test_rates_are_read_as_espnet_writes_them(fs, rate):
    assert sample_rate({"frontend_conf": {"fs": fs}}) == rate


def test_without_a_word_of_it_they_are_espnets():
    for settings in ({}, {"frontend_conf": None}, {"frontend_conf": {}}):
        assert sample_rate(settings) == 16000
        assert input_hop(settings) == 128


def test_audio_is_counted_in_samples_and_features_in_frames():
    assert not takes_features(AUDIO)
    assert (input_rate(AUDIO), input_hop(AUDIO)) == (8000, 80)
    assert takes_features(FEATURES)
    assert (input_rate(FEATURES), input_hop(FEATURES)) == (100, 1)
    assert input_rate(FEATURES, 50.0) == 50
