"""Tokens to text, as a model's own configuration says."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from espnet_kd.errors import KDError, reason_of


def detokeniser(settings: Mapping[str, Any], side: str = "") -> Callable[[list[str]], str]:
    """Build what joins tokens to text.

    Args:
        settings: A model's configuration. What it names is read at the first text: an
            experiment stays open until the last.
        side: ``src_`` for the source language of speech translation.

    Returns:
        The text of tokens; a KDError names the settings by which they cannot be joined.

    Raises:
        KDError: If there are no such tokens, naming the same settings.
    """
    from espnet2.text.build_tokenizer import build_tokenizer

    kind, model = (settings.get(f"{side}{key}") for key in ("token_type", "bpemodel"))
    with _named(kind, model):
        tokeniser = build_tokenizer(token_type=kind, bpemodel=model)

    def to_text(tokens: list[str]) -> str:
        with _named(kind, model):
            return str(tokeniser.tokens2text(tokens))

    return to_text


@contextmanager
def _named(kind: object, model: object) -> Iterator[None]:
    """Name the settings by which tokens cannot be joined."""
    try:
        yield
    except Exception as error:  # of whichever library the tokens are of
        raise KDError(
            f"tokens cannot be written as text by 'token_type: {kind}' and "
            f"'bpemodel: {model}' of the model's config ({reason_of(error)})"
        ) from error
