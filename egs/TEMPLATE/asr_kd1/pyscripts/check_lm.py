#!/usr/bin/env python3
"""End with a sentence if a language model is not of a recogniser's tokens.

ESPnet searches with any two lists of one length, and takes each other's numbers for tokens.
"""

import argparse
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.documents import read_yaml
from espnet_kd.errors import KDError


def main(cmd: list[str] | None = None) -> None:
    """Compare the two token lists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lm_exp", type=Path, required=True)
    parser.add_argument("--asr_exp", type=Path, required=True)
    args = parser.parse_args(cmd)
    with named_errors("check_lm"):
        if tokens_of(args.lm_exp) != tokens_of(args.asr_exp):
            raise KDError(
                f"--lm_exp {args.lm_exp} has another token list than {args.asr_exp}; train "
                "it over that list (egs/an4/lm_kd1/run.sh takes --bpe_dir)"
            )


def tokens_of(exp: Path) -> list[str]:
    """The token list of a trained model.

    Raises:
        KDError: If its configuration holds none.
    """
    path = exp / "config.yaml"
    conf = read_yaml(path, f"{path} cannot be read")
    tokens = conf.get("token_list") if isinstance(conf, dict) else None
    if not isinstance(tokens, list):
        raise KDError(f"{path} holds no token_list; name a trained model's folder")
    return tokens


if __name__ == "__main__":
    main()
