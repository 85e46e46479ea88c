"""Tokens to text, as a model's own configuration says."""

from collections.abc import Callable, Mapping
from typing import Any


def detokeniser(settings: Mapping[str, Any], side: str = "") -> Callable[[list[str]], str]:
    """Build what joins tokens to text.

    Args:
        settings: A model's configuration.
        side: ``src_`` for the source language of speech translation.
    """
    from espnet2.text.build_tokenizer import build_tokenizer

    kind, bpemodel = (settings.get(f"{side}{key}") for key in ("token_type", "bpemodel"))
    tokenizer = build_tokenizer(token_type=kind, bpemodel=bpemodel)
    to_text: Callable[[list[str]], str] = tokenizer.tokens2text
    return to_text
