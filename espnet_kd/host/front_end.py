"""What a model's input is counted in: samples of audio, or frames of features."""

from collections.abc import Mapping
from typing import Any

FEATURE_RATE = 100.0  # frames a second that feats.scp is taken to hold
SAMPLE_RATE = 16000
HOP_LENGTH = 128  # of ESPnet's default front end


def takes_features(settings: Mapping[str, Any]) -> bool:
    """Whether a model was trained on features, and has no front end."""
    return bool(settings.get("input_size"))


def sample_rate(settings: Mapping[str, Any]) -> float:
    """Samples a second of the audio that a model was trained on."""
    rate = (settings.get("frontend_conf") or {}).get("fs", SAMPLE_RATE)
    text = str(rate)
    return float(text[:-1]) * 1000 if text.endswith("k") else float(text)


def input_rate(settings: Mapping[str, Any], feature_rate: float = FEATURE_RATE) -> float:
    """Values a second that a model is given: samples, or frames of features.

    Args:
        settings: The model's configuration.
        feature_rate: Frames a second of features.
    """
    return feature_rate if takes_features(settings) else sample_rate(settings)


def input_hop(settings: Mapping[str, Any]) -> int:
    """Values of the input from one frame of features to the next."""
    if takes_features(settings):
        return 1
    return int((settings.get("frontend_conf") or {}).get("hop_length") or HOP_LENGTH)
