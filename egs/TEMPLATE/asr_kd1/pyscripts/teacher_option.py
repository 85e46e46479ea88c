#!/usr/bin/env python3
"""Print the --kd_conf option that gives a kd_conf the recipe's teacher, if it wants one.

A configuration without teachers (a control like cr_ctc) or with the student's own average
(ema) keeps what it says: nothing is printed.
"""

import argparse
from pathlib import Path

import yaml


def main(cmd: list[str] | None = None) -> None:
    """Print the option, or nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kd_config", type=Path, required=True)
    parser.add_argument("--exp", required=True, help="the recipe's teacher")
    parser.add_argument("--file", required=True, help="its checkpoint")
    args = parser.parse_args(cmd)
    teachers = yaml.safe_load(args.kd_config.read_text(encoding="utf-8")).get("teachers")
    if teachers and all("exp" in teacher for teacher in teachers):
        print(f"teachers=[{{exp: {args.exp}, file: {args.file}}}]")


if __name__ == "__main__":
    main()
