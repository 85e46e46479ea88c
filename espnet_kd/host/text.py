"""Tokens to text, as a model's own configuration says."""

from collections.abc import Callable, Mapping
from typing import Any

from espnet_kd.errors import KDError, reason_of


def detokeniser(settings: Mapping[str, Any], side: str = "") -> Callable[[list[str]], str]:
    """Build what joins tokens to text.

    Args:
        settings: A model's configuration.
        side: ``src_`` for the source language of speech translation.

    Returns:
        The text of tokens; a KDError names the settings by which they cannot be joined.
    """
    from espnet2.text.build_tokenizer import build_tokenizer

    kind, model = (settings.get(f"{side}{key}") for key in ("token_type", "bpemodel"))
    made: list[Any] = []

    def to_text(tokens: list[str]) -> str:
        try:
            if not made:
                made.append(build_tokenizer(token_type=kind, bpemodel=model))
            return str(made[0].tokens2text(tokens))
        except Exception as error:  # of whichever library the tokens are of
            raise KDError(
                f"tokens cannot be written as text by 'token_type: {kind}' and "
                f"'bpemodel: {model}' of the model's config ({reason_of(error)})"
            ) from error

    return to_text
