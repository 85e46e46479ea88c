"""Run a stock ESPnet module or script with distillation registered.

    python -m espnet_kd -m espnet2.bin.asr_train <stock arguments> --kd_conf FILE
    python -m espnet_kd SCRIPT <arguments>
    python -m espnet_kd --version
    python -m espnet_kd --help

Arguments go through verbatim and stdout is the module's own. Nothing of ESPnet is
imported that the module does not import itself.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import runpy
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from espnet_kd.errors import KDError

USAGE = (
    "usage: python -m espnet_kd -m MODULE [ARGUMENT ...]\n"
    "       python -m espnet_kd SCRIPT [ARGUMENT ...]\n"
    "       python -m espnet_kd --version | --help\n"
    "MODULE is a stock ESPnet module, for example espnet2.bin.asr_train; its training "
    "modules then understand --kd_conf FILE."
)
BIN = Path(__file__).parent / "bin"


class TaskFinder(importlib.abc.MetaPathFinder):
    """Notice the import of a stock task module, and put our variant in its place."""

    def __init__(self, tasks: dict[str, tuple[str, str]]) -> None:
        self.variants = {module: (name, cls) for name, (module, cls) in tasks.items()}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Wrap the loader of a task's module; leave every other import alone."""
        if fullname not in self.variants:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, *self.variants[fullname])
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, task: str, attribute: str) -> None:
        self.loader, self.task, self.attribute = loader, task, attribute

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        # By name, for spawned workers find the class by its name.
        variant = importlib.import_module(f"espnet_kd.tasks.{self.task}")
        setattr(module, self.attribute, getattr(variant, f"KD{self.attribute}"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


def register() -> None:
    """Register the plugin: task modules imported from now on know distillation."""
    from espnet_kd.host.compat import TASKS

    if not any(isinstance(finder, TaskFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, TaskFinder(TASKS))


def commands() -> Iterator[tuple[str, str]]:
    """Name every command of ``espnet_kd.bin`` with a sentence about it.

    A command is a module with a ``get_parser``; the sentence is its docstring's first
    line. The files are read and not imported, for an import would wait for torch.
    """
    for path in sorted(BIN.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
        if "get_parser" in functions:
            yield path.stem, (ast.get_docstring(tree) or "").partition("\n")[0]


def help_text() -> str:
    """Write what ``--help`` prints: the usage, then a line or two about each command."""
    listed = [f"  {name}\n      {sentence}" for name, sentence in commands()]
    head = "Commands, each with its own --help: python -m espnet_kd.bin.COMMAND"
    return "\n".join([USAGE, "", head, *listed])


def main(arguments: list[str]) -> None:
    """Run what the command line says."""
    if arguments[:1] == ["--version"]:
        from espnet_kd import __version__
        from espnet_kd.host.compat import versions

        print(f"espnet_kd {__version__} ({versions()})")
        return
    if arguments[:1] in (["-h"], ["--help"]):
        print(help_text())
        return
    if not arguments or arguments == ["-m"]:
        sys.exit(USAGE)
    register()
    try:
        _run(arguments)
    except KDError as error:
        sys.exit(f"espnet_kd: {error}")


def _run(arguments: list[str]) -> None:
    from espnet_kd.tasks.unknown import explained_kd_conf

    with explained_kd_conf():
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
