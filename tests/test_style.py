"""Sizes, types and words of the package's source."""

import ast
import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from source import FILES, PACKAGE, REPO, tree_of

FILE_LINES = 300
FUNCTION_LINES = 40
MEDIAN_LINES = 10
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
# Names that say nothing of what is inside.
DRAWERS = {"common", "helper", "helpers", "misc", "util", "utils"}
IGNORE = re.compile(r"#\s*type:\s*ignore")
GOOD_IGNORE = re.compile(r"# type: ignore\[[a-z-]+(, [a-z-]+)*\]  # \w.*")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def check(find: Callable[[Path], Iterable[str]]) -> None:
    """Fail with everything that a rule finds wrong in any file."""
    wrong = [f"{path.relative_to(PACKAGE)}: {w}" for path in FILES for w in find(path)]
    assert not wrong, "\n".join(["", *wrong])


def functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, FUNCTION)]


def lines_of(function: Function) -> int:
    """Lines from its ``def`` to its end, without the docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    said = first.end_lineno - first.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - said


def public(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Public classes, functions and methods, by their dotted names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTION, ast.ClassDef)) and not child.name.startswith("_"):
            yield f"{prefix}{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{prefix}{child.name}.")


def untyped(function: Function) -> Iterator[str]:
    """Arguments without a type, and the return."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    arguments += [a for a in (given.vararg, given.kwarg) if a is not None]
    for argument in arguments:
        if argument.annotation is None and argument.arg not in ("self", "cls"):
            yield f"{function.name}:{function.lineno} {argument.arg}"
    if function.returns is None:
        yield f"{function.name}:{function.lineno} return"


def large(path: Path) -> Iterator[str]:
    """Functions that are too long."""
    for function in functions(path):
        if lines_of(function) > FUNCTION_LINES:
            yield f"{function.name}:{function.lineno} {lines_of(function)} lines"


def undocumented(path: Path) -> Iterator[str]:
    """Public names without a docstring, the module first."""
    tree = tree_of(path)
    for name, node in [("the module", tree), *public(tree)]:
        if not ast.get_docstring(node):
            yield name


def unreasoned(path: Path) -> Iterator[str]:
    """What is not ``# type: ignore[code]  # why``, nor has its reason on the line above."""
    above = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        reason = "  # above" if above.strip().startswith("# ") else ""
        if IGNORE.search(line) and not GOOD_IGNORE.search(line + reason):
            yield f"{number}: {line.strip()}"
        above = line


def test_the_rules_find_what_they_are_for(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(
        "def f(x, *y: int): ...\n"
        "class A:\n"
        "    def g(self) -> None: ...\n"
        "    def _h(self) -> None: ...\n"
        "def long() -> None:\n"
        '    """Said\n    in two lines."""\n' + "    print()\n" * 40
    )
    assert list(undocumented(path)) == ["the module", "f", "A", "A.g"]
    assert [w for f in functions(path) for w in untyped(f)] == ["f:1 x", "f:1 return"]
    assert list(large(path)) == ["long:5 41 lines"]


def test_files_stay_small():
    sizes = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    check(lambda p: [f"{sizes[p]} lines"] if sizes[p] > FILE_LINES else [])


def test_functions_stay_small():
    check(large)
    sizes = [lines_of(function) for path in FILES for function in functions(path)]
    assert statistics.median(sizes) <= MEDIAN_LINES


def test_arguments_and_results_are_typed():
    check(lambda p: (w for f in functions(p) for w in untyped(f)))


def test_public_names_are_documented():
    check(undocumented)


def test_types_are_ignored_by_code_and_with_a_reason():
    check(unreasoned)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x = f()  # type: ignore\n", 1),
        ("x = f()  # type: ignore[misc]\n", 1),
        ("# why\nx = f()  # type: ignore\n", 1),
        ("# why\nx = f()  # type: ignore[misc]\n", 0),
        ("x = f()  # type: ignore[misc, arg-type]  # why\n", 0),
    ],
)
def test_what_counts_as_a_reason(tmp_path, text, count):
    (tmp_path / "one.py").write_text(text)
    assert len(list(unreasoned(tmp_path / "one.py"))) == count


@pytest.mark.parametrize("word", ["ours", "theirs"])
def test_the_student_and_the_teacher_are_called_so(word):
    pattern = re.compile(rf".*\b{word}\b.*")
    check(lambda p: pattern.findall(p.read_text(encoding="utf-8")))


def test_no_module_is_a_drawer():
    scripts = [p for p in REPO.glob("egs/**/*.py") if "exp" not in p.parts]
    assert [str(path) for path in [*FILES, *scripts] if path.stem in DRAWERS] == []
