"""Imports go down only: a module may import modules of lower floors."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "espnet_kd"
FLOORS = [
    {"errors", "masking"},
    {"registry"},
    {"host", "config", "alignment"},
    {"model"},
    {"losses"},
    {"objective", "cache"},
    {"teachers"},
    {"student"},
    {"hook", "pseudo_labels", "report"},
    {"tasks"},
    {"bin", "__main__"},
]
# Whatever differs between ESPnet releases sits in host/compat.
HOST = {"host", "teachers", "hook", "tasks", "student", "bin", "__main__"}
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}


def imported(path):
    """Dotted names a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from (f"{origin}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_go_down(path):
    unit = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imported(path):
        root, _, rest = name.partition(".")
        assert root, f"{path} imports {name}: write the full name"
        assert root != "espnet", "espnet.* moves between releases"
        if root == "espnet2":
            assert unit in HOST, f"{unit} must not know ESPnet"
        below = rest.split(".")[0]
        if root == "espnet_kd" and unit != "__init__" and below in LEVEL:
            assert below == unit or LEVEL[below] < LEVEL[unit], f"{unit} -> {below}"


def test_every_module_has_its_floor():
    units = {p.relative_to(PACKAGE).with_suffix("").parts[0] for p in PACKAGE.iterdir()}
    assert units - {"__init__", "__pycache__"} == set(LEVEL)


def test_files_stay_small():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 330, path
