"""Tokens to text and back, as a model's own configuration says."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from espnet_kd.errors import KDError, reason_of
from espnet_kd.host.compat import stock_class


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


def tokeniser(task: type[Any], settings: Mapping[str, Any]) -> Callable[[str], list[int]]:
    """Build what turns a transcript into labels, as the model's training did.

    An empty transcript has none, which ESPnet's own reader of texts refuses.

    Args:
        task: ESPnet task class of the model.
        settings: A model's configuration.

    Raises:
        KDError: If it says of no tokens, or of some that there are not.
    """
    kind, model = settings.get("token_type"), settings.get("bpemodel")
    named = (kind, model, "text cannot be read as tokens")
    namespace = argparse.Namespace(**settings)
    with _named(*named):
        process: Any = stock_class(task).build_preprocess_fn(namespace, train=False)
    if process is None:
        raise KDError(
            "transcripts cannot be read as tokens of a model with 'use_preprocessor: "
            "false'; write the 'token_type' into its config.yaml and leave that out"
        )

    def to_labels(text: str) -> list[int]:
        with _named(*named):
            labels: list[int] = process("transcript", {"text": text})["text"].tolist()
        return labels

    return to_labels


@contextmanager
def _named(
    kind: object, model: object, what: str = "tokens cannot be written as text"
) -> Iterator[None]:
    """Name the settings by which something cannot be done."""
    try:
        yield
    except Exception as error:  # of whichever library the tokens are of
        raise KDError(
            f"{what} by 'token_type: {kind}' and "
            f"'bpemodel: {model}' of the model's config ({reason_of(error)})"
        ) from error
