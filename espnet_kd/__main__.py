"""Run a stock ESPnet module or script with distillation registered, or a command.

    python -m espnet_kd -m espnet2.bin.asr_train <stock arguments> --kd_conf FILE
    python -m espnet_kd SCRIPT <arguments>
    python -m espnet_kd COMMAND <arguments>
    python -m espnet_kd --version
    python -m espnet_kd --help

Arguments go through verbatim and stdout is the module's own. Nothing of ESPnet is
imported that the module does not import itself. A command is a module of
``espnet_kd.bin``; a script of the same name is run as ``./COMMAND``.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from espnet_kd.errors import KDError
from espnet_kd.host.compat import VARIANTS, Variant
from espnet_kd.host.release import absence_of, explained_absence

USAGE = (
    "usage: python -m espnet_kd -m MODULE [ARGUMENT ...]\n"
    "       python -m espnet_kd SCRIPT [ARGUMENT ...]\n"
    "       python -m espnet_kd COMMAND [ARGUMENT ...]\n"
    "       python -m espnet_kd --version | --help\n"
    "MODULE is a stock ESPnet module, for example espnet2.bin.asr_train; its training "
    "modules then understand --kd_conf FILE."
)
BIN = Path(__file__).parent / "bin"


class VariantFinder(importlib.abc.MetaPathFinder):
    """Notice the import of a module of ESPnet's, and put our variant into its place.

    Args:
        variants: The modules, each with what in it has a variant.
    """

    def __init__(self, variants: Mapping[str, Variant]) -> None:
        self.variants = variants

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Wrap the loader of such a module; leave every other import alone."""
        if fullname not in self.variants:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.variants[fullname])
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, variant: Variant) -> None:
        self.loader, self.variant = loader, variant

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        # By name, for spawned workers find the class by its name.
        found = importlib.import_module(self.variant.module)
        setattr(module, self.variant.attribute, getattr(found, self.variant.name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


def register() -> None:
    """Register the plugin: modules of ESPnet's imported from now on know distillation.

    Raises:
        KDError: If some were imported before, and would ignore a ``kd_conf``.
    """
    if any(isinstance(finder, VariantFinder) for finder in sys.meta_path):
        return
    if late := sorted(VARIANTS.keys() & sys.modules.keys()):
        raise KDError(
            f"{', '.join(late)} was imported before espnet_kd was registered, and would "
            "ignore a kd_conf; call register() before anything of ESPnet is imported"
        )
    sys.meta_path.insert(0, VariantFinder(VARIANTS))


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
    head = "Commands, each with its own --help:"
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
    # An option or a script's path need not wait until every command's file is read.
    if arguments[0].isidentifier() and arguments[0] in dict(commands()):
        command = importlib.import_module(f"espnet_kd.bin.{arguments[0]}")
        command.main(arguments[1:])
        return
    register()
    try:
        _run(arguments)
    except KDError as error:
        sys.exit(f"espnet_kd: {error}")


def console() -> None:
    """Run the program's own arguments: the command ``espnet_kd``."""
    # As "python -m" does: modules of the working directory are found.
    sys.path.insert(0, "")
    main(sys.argv[1:])


def _run(arguments: list[str]) -> None:
    from espnet_kd.tasks.unknown import explained_kd_conf

    with explained_kd_conf(), explained_absence():
        if arguments[0] == "-m":
            _check_module(arguments[1])
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            script = Path(arguments[0])
            if not (script.is_file() or (script / "__main__.py").is_file()):
                raise KDError(_no_script(arguments[0]))
            sys.argv = arguments
            # A script finds its neighbours, as it does without the plugin.
            sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
            runpy.run_path(arguments[0], run_name="__main__")


def _no_script(name: str) -> str:
    """What is said of a word that is neither a script nor a command."""
    close = get_close_matches(name, dict(commands()), n=1)
    hint = f"; did you mean the command '{close[0]}'?" if close else ""
    return f"no script {name}; a module's name comes after -m{hint}"


def _check_module(name: str) -> None:
    """Refuse a module that is not there, and let one that fails to import say why."""
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        found = None
    if found is None:
        raise KDError(
            absence_of(name)
            or f"no module named '{name}' in {sys.executable}; check the name after -m"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
