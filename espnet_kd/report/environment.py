"""What results depend on."""

import os
import platform
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from espnet_kd import __version__
from espnet_kd.host.compat import versions


def environment(command: str = "") -> list[str]:
    """Give what the results depend on, a line each, as ESPnet's recipes do."""
    now = datetime.now(timezone.utc).strftime("%a %b %d %H:%M:%S UTC %Y")
    python = sys.version.replace("\n", " ")
    lines = [
        f"date: `{now}`",
        f"python version: `{python}`",
        f"espnet_kd {__version__}, {versions()}",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
    ]
    if commit := _commit():
        lines.append(f"Git hash: `{commit}`")
    return [*lines, f"command: `{command}`"] if command else lines


def _commit() -> str:
    """The commit of the checkout that runs; empty for an installed package."""
    if shutil.which("git") is None:
        return ""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip()
