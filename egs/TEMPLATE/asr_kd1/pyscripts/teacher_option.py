#!/usr/bin/env python3
"""Print the --kd_conf option that gives a kd_conf the recipe's teacher, if it wants one.

The one teacher with 'exp' becomes the recipe's; a language model beside it stays. A
configuration without teachers (a control like cr_ctc), with the student's own average
(ema) or with several teachers of its own keeps what it says: nothing is printed.
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
    own = [teacher for teacher in teachers or [] if "exp" in teacher]
    if len(own) == 1:
        own[0] |= {"exp": args.exp, "file": args.file}
        # On one line, as the option wants it.
        flow = yaml.safe_dump(
            teachers, default_flow_style=True, width=10**6, sort_keys=False
        )
        print(f"teachers={flow.strip()}")


if __name__ == "__main__":
    main()
