"""The tokens of models that do not name them: language models, synthesisers, speakers."""

from __future__ import annotations  # keeps torch out of light-weight commands

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

# Attributes of a model -> the settings from which they are known.
LISTS = ("token_list", "src_token_list")


def name_tokens(model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Let a model say which tokens it knows, where ESPnet's does not.

    Recognisers keep their list. Of other models two with equally long lists could not be
    told apart, and one would be given the other's numbers. The attribute is no parameter
    and in no checkpoint. The classes of a speaker model are the speakers of ``spk2utt``.

    Args:
        model: Just built.
        settings: By which it was built; ESPnet has read its lists of tokens by then.
    """
    for name in LISTS:
        tokens = settings.get(name)
        if isinstance(tokens, list | tuple) and not hasattr(model, name):
            setattr(model, name, list(tokens))
    speakers = settings.get("spk2utt")
    known = isinstance(speakers, str) and os.path.isfile(speakers)
    if known and hasattr(model, "pooling") and not hasattr(model, "token_list"):
        lines = Path(str(speakers)).read_text(encoding="utf-8").splitlines()
        model.token_list = [line.split(" ")[0] for line in lines]  # type: ignore[assignment]  # a list is no module
