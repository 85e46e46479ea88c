"""What the project's pages say, for the test that holds it against what there is."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from source import FILES, REPO, tree_of

WRITTEN = ("README.md", "CHANGELOG.md", "TROUBLESHOOTING.md", "RESULTS.md")
# What a run leaves behind is nobody's page.
MADE = {"exp", "dump", "data", "downloads"}
FOLDERS = ("conf", "egs", "espnet_kd", "tests")
FOUND = (path for folder in FOLDERS for path in (REPO / folder).rglob("*.md"))
PAGES = [
    REPO / "README.md",
    *sorted(
        path
        for path in FOUND
        if path.name in WRITTEN and not MADE & set(path.relative_to(REPO).parts)
    ),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
# What varies, in a message's source and where a page quotes it.
VARIES = "…"


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [body for found, body in FENCE.findall(text) if found == language]


def inline_code(text: str) -> list[str]:
    """What stands between single backticks, outside of fenced blocks."""
    return [" ".join(code.split()) for code in CODE.findall(FENCE.sub("", text))]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of the shell blocks, comments and pipes left out."""
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            # An angle bracket would be a redirection: '<your arguments>' stands for some.
            line = re.sub(r"<[^>]*>", "...", line)
            words = shlex.split(line, comments=True)
            if words:
                yield words


def links(text: str) -> list[str]:
    """The targets of relative links, without what stands behind ``#``."""
    targets = (link.partition("#")[0] for link in LINK.findall(FENCE.sub("", text)))
    return [target for target in targets if target and "://" not in target]


def headings(text: str) -> set[str]:
    """The names by which a page's headings can be linked."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w -]", "", title).strip().lower() for title in titles)
    return {title.replace(" ", "-") for title in plain}


def spaced(text: str) -> str:
    """A text in one line, each space one."""
    return " ".join(text.split())


def messages() -> set[str]:
    """Every text of the package's source, with a mark for what varies in it."""
    return {
        spaced(text)
        for path in FILES
        for node in ast.walk(tree_of(path))
        if (text := _text(node))
    }


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (_text(v) if isinstance(v, ast.Constant) else VARIES for v in node.values)
        return "".join(parts)
    return ""


def files_of(name: str) -> list[Path]:
    """Files of the repository whose path ends in a name, which may hold a ``*``."""
    return [path for folder in FOLDERS for path in (REPO / folder).rglob(name)]
