#!/usr/bin/env python3
"""Say whether a stage's result is there and still valid, or that it has just landed.

    landed.py check MARK --inputs FILE ... --settings WORD ...    exit 0: skip the stage
    landed.py mark MARK --inputs FILE ... --settings WORD ...     write the mark

The mark holds a fingerprint of what the result was made from. No mark means unfinished;
another fingerprint means stale. Either way the stage runs again.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.host.files import whole_file

WHOLE = 32 << 20  # larger files are known by size and time


def main(cmd: list[str] | None = None) -> None:
    """Check or mark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["check", "mark"])
    parser.add_argument("mark", type=Path)
    parser.add_argument("--inputs", nargs="*", type=Path, default=[])
    parser.add_argument("--settings", nargs="*", default=[])
    args = parser.parse_args(cmd)
    print_of_now = fingerprint(args.inputs, args.settings)
    if args.verb == "mark":
        with named_errors("landed"), whole_file(args.mark) as file:
            file.write(print_of_now + "\n")
    elif not args.mark.is_file() or args.mark.read_bytes().strip() != print_of_now.encode():
        sys.exit(1)


def fingerprint(inputs: list[Path], settings: list[str]) -> str:
    """Hash of the inputs' contents and of the settings."""
    digest = hashlib.sha256("\0".join(settings).encode())
    for path in inputs:
        digest.update(f"\0{path}\0".encode())
        if not path.is_file():
            digest.update(b"missing")
        elif path.stat().st_size > WHOLE:
            stat = path.stat()
            digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
        else:
            digest.update(path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
