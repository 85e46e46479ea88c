"""A checkout to run the recipes in, for a run writes beside its run.sh."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import REPO

from espnet_kd.report.score import PLACES

WORDS = ["ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "ZERO"]
# What runs leave in a recipe's folder.
LEFT = {"data", "dump", "exp", "downloads"}
SCLITE = REPO / ".tools/usr/lib/sctk/bin/sclite"
NEEDS_SCLITE = pytest.mark.skipif(
    not any(map(shutil.which, PLACES)) and not SCLITE.exists(),
    reason="sclite is not installed",
)


def checkout(root: Path, *corpora: str, recipe: str = "asr_kd1") -> Path:
    """Copy the recipes of some corpora, as if nothing had run; gives one of the last's."""
    for name in ("espnet_kd", "conf"):
        (root / name).symlink_to(REPO / name)
    for corpus in ("TEMPLATE", *corpora):
        for source in (REPO / "egs" / corpus).iterdir():
            shutil.copytree(
                source,
                root / "egs" / corpus / source.name,
                symlinks=True,
                ignore=lambda folder, _, top=str(source): LEFT if folder == top else (),
            )
    return root / "egs" / corpora[-1] / recipe


def run(recipe: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a recipe as its user would, with this Python."""
    environment = os.environ | {"KD_PYTHON": sys.executable, "PYTHONPATH": str(REPO)}
    return subprocess.run(
        ["./run.sh", *options],
        cwd=recipe,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def scripts_of(recipe: Path) -> Any:
    """A fixture of a recipe's own scripts."""

    @pytest.fixture(scope="module")
    def local() -> Iterator[SimpleNamespace]:
        with local_scripts(recipe) as scripts:
            yield scripts

    return local


@contextmanager
def local_scripts(recipe: Path) -> Iterator[SimpleNamespace]:
    """A recipe's own scripts, as modules that no other recipe's take for their own."""
    folder = recipe / "local"
    names = [path.stem for path in folder.glob("*.py")]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)
