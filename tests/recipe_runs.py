"""A checkout to run the recipes in, for a run writes beside its run.sh."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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


def checkout(root: Path, *recipes: str) -> Path:
    """Copy some recipes, as if nothing had run; gives the last one.

    Args:
        root: Where to.
        recipes: Names such as ``voice_de/tts_kd1``; a corpus alone names its ``asr_kd1``.
    """
    for name in ("espnet_kd", "conf"):
        (root / name).symlink_to(REPO / name)
    for name in ("TEMPLATE", "TEMPLATE/task_kd1", *recipes):
        folder = name if "/" in name else f"{name}/asr_kd1"
        source, recipe = REPO / "egs" / folder, root / "egs" / folder
        shutil.copytree(
            source,
            recipe,
            symlinks=True,
            ignore=lambda folder, _, top=str(source): LEFT if folder == top else (),
        )
    return recipe


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
