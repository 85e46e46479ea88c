"""List the configurations that --kd_conf knows by name, with purpose, needs and cost."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from espnet_kd.bin.command import command_parser, run_command
from espnet_kd.config.shipped import DescribedConf, described, hidden_by, shipped_confs
from espnet_kd.documents import read_yaml
from espnet_kd.errors import KDError

EXAMPLE = """
python -m espnet_kd.bin.confs
python -m espnet_kd -m espnet2.bin.asr_train <your arguments> --kd_conf recommended
"""
# What tells a kd_conf from the other files of a recipe.
MARKS = {"kd_conf", "losses"}
WIDTH = 92


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    return command_parser("confs", __doc__, EXAMPLE)


def main(cmd: list[str] | None = None) -> None:
    """Print the list."""
    run_command(get_parser(), run, cmd)


def run(_args: argparse.Namespace) -> str:
    """Give the list: the working directory's own files first, as they are found first."""
    own = [described(path) for path in sorted(Path().glob("*.yaml")) if holds_conf(path)]
    names = {conf.name for conf in own}
    shipped = [conf for conf in shipped_confs() if conf.name not in names]
    lines = [line for conf in own for line in lines_of_own(conf)]
    if own:
        lines = ["In this directory:", *lines, ""]
    lines.append("With espnet_kd:")
    return "\n".join([*lines, *(line for conf in shipped for line in lines_of(conf))])


def holds_conf(path: Path) -> bool:
    """Whether a YAML file holds a ``kd_conf``."""
    try:
        content = read_yaml(path, str(path))
    except KDError:
        return False
    return isinstance(content, dict) and bool(MARKS & content.keys())


def lines_of(conf: DescribedConf) -> Iterator[str]:
    """A name, then indented what its head says."""
    yield f"  {conf.name}"
    told = (conf.purpose, f"Needs {conf.needs}", f"Costs {conf.cost}")
    for text in told if conf.cost else (conf.purpose or f"See {conf.path}.",):
        yield from wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def lines_of_own(conf: DescribedConf) -> Iterator[str]:
    """The same of a file of the working directory, and whether it hides another."""
    yield from lines_of(conf)
    if hidden_by(conf.path):
        yield f"      It differs from the {conf.name} of espnet_kd, and goes before it."


if __name__ == "__main__":
    main()
