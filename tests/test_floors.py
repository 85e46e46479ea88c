"""The house: its folders, and that imports go down only."""

import graphlib
from collections.abc import Iterator
from pathlib import Path

from source import FILES, MODULES, PACKAGE, REPO, imported, imported_modules, tree_of

FLOORS = [
    {"errors", "masking"},
    {"documents", "registry"},
    {"host", "config", "alignment"},
    {"model"},
    {"losses"},
    {"objective", "cache"},
    {"teachers"},
    {"student"},
    {"hook", "pseudo_labels", "report"},
    {"streaming"},
    {"tasks"},
    {"checkup"},
    {"bin", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
FOLDERS = set(LEVEL) - {"documents", "errors", "masking", "registry", "__main__"}
MOST_MODULES = 7
# Whatever differs between ESPnet releases sits in host/compat.
HOST = {"host", "teachers", "hook", "tasks", "checkup", "student", "bin", "__main__"}


def wrong_imports(path: Path) -> Iterator[str]:
    unit = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imported(tree_of(path)):
        root, _, rest = name.partition(".")
        if not root:
            yield f"{name}: write the full name"
        elif root == "espnet":
            yield f"{name}: espnet.* moves between releases, espnet2.* does not"
        elif root == "espnet2" and unit not in HOST:
            yield f"{name}: {unit} must not know ESPnet"
        elif root == "espnet_kd" and unit != "__init__":
            below = rest.partition(".")[0]
            if below != unit and LEVEL.get(below, -1) >= LEVEL[unit]:
                yield f"{name}: {unit} imports {below}, which is not below it"


def test_imports_go_down():
    wrong = [f"{p.relative_to(PACKAGE)}: {w}" for p in FILES for w in wrong_imports(p)]
    assert not wrong, "\n".join(["", *wrong])


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """The names of a cycle in their order; none if there is no cycle."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_a_cycle_is_found():
    assert sorted(set(cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}}))) == ["a", "b", "c"]


def test_no_module_imports_itself_by_a_detour():
    graph = {name: imported_modules(tree_of(path)) for name, path in MODULES.items()}
    assert cycle_in(graph) == []


def test_the_folders_are_the_architecture():
    entries = [p for p in PACKAGE.iterdir() if p.name != "__pycache__"]
    assert {p.name for p in entries if p.is_dir()} == FOLDERS
    modules = [p.stem for p in entries if p.suffix == ".py"]
    assert set(modules) - {"__init__"} == set(LEVEL) - FOLDERS
    assert len(modules) <= MOST_MODULES


def test_every_folder_is_a_package():
    for folder in FOLDERS:
        assert (PACKAGE / folder / "__init__.py").exists(), folder


def test_the_top_of_the_repository_is_short():
    shown = {p.name for p in REPO.iterdir() if not p.name.startswith(".")}
    built = {"espnet_kd.egg-info", "build", "dist", "__pycache__"}
    house = {"LICENSE", "README.md", "conf", "egs", "espnet_kd", "setup.py", "tests"}
    assert shown - built == house
