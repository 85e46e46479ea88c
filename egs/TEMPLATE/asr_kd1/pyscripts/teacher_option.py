#!/usr/bin/env python3
"""Print the --kd_conf option that gives a kd_conf the recipe's teacher, if it wants one.

The one teacher with 'exp' becomes the recipe's; a language model beside it stays. A
configuration without teachers (a control like cr_ctc), with the student's own average
(ema) or with several teachers of its own keeps what it says: nothing is printed.
"""

import argparse
from pathlib import Path

import yaml

from espnet_kd.bin.command import named_errors
from espnet_kd.documents import read_yaml


def main(cmd: list[str] | None = None) -> None:
    """Print the option, or nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kd_config", type=Path, required=True)
    parser.add_argument("--exp", required=True, help="the recipe's teacher")
    parser.add_argument("--file", required=True, help="its checkpoint")
    args = parser.parse_args(cmd)
    with named_errors("teacher_option"):
        option = option_for(args.kd_config, {"exp": args.exp, "file": args.file})
    if option:
        print(option)


def option_for(kd_config: Path, teacher: dict[str, str]) -> str:
    """The option that gives a kd_conf this teacher; empty where it wants none.

    Raises:
        KDError: If the file is not YAML.
    """
    teachers = read_teachers(kd_config)
    own = [given for given in teachers if "exp" in given]
    if len(own) != 1:
        return ""
    own[0] |= teacher
    # On one line, as the option wants it.
    flow = yaml.safe_dump(teachers, default_flow_style=True, width=10**6, sort_keys=False)
    return f"teachers={flow.strip()}"


def read_teachers(kd_config: Path) -> list[dict[str, object]]:
    """The teachers of a kd_conf; none where they are not written as they should be.

    What is wrong with them is said by the training, which knows how they should be.
    """
    conf = read_yaml(kd_config, f"--kd_config {kd_config} cannot be read")
    teachers = conf.get("teachers") if isinstance(conf, dict) else None
    if not isinstance(teachers, list) or not all(isinstance(t, dict) for t in teachers):
        return []
    return teachers


if __name__ == "__main__":
    main()
