"""Download a corpus archive with checksum and resume, and unpack it safely."""

import hashlib
import os
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from corpora import Archive

from espnet_kd.errors import KDError

CHUNK = 1 << 20


def fetch(archive: Archive, corpus_dir: Path) -> None:
    """Bring a subset's folder into ``corpus_dir``.

    A broken download continues where it stopped; the checksum decides whether it is
    whole; unpacking happens beside, so that a folder that is there is complete.
    """
    file = corpus_dir / archive.url.rsplit("/", 1)[1]
    download(archive.url, file)
    if md5_of(file) != archive.md5:
        file.unlink()
        raise KDError(
            f"{file} has not the publisher's checksum; it was removed. Run the stage "
            "again to download it anew."
        )
    unpack(file, corpus_dir)
    file.unlink()


def download(url: str, file: Path) -> None:
    """Download to ``file``, continuing ``file.partial`` if there is one."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            done = have if answer.status == 206 else 0  # else it begins anew
            total = done + int(answer.headers.get("Content-Length") or 0)
            with open(partial, "ab" if done else "wb") as out:
                _copy(answer, out, done, total, url)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the partial file is whole already
            raise KDError(f"{url}: {error}") from None
    except (urllib.error.URLError, OSError) as error:
        raise KDError(
            f"{url} cannot be downloaded: {error}. Run the stage again to continue, or "
            "give --librispeech_dir."
        ) from None
    partial.rename(file)


def _copy(answer: IO[bytes], out: IO[bytes], done: int, total: int, url: str) -> None:
    start, first, shown = time.monotonic(), done, 0.0
    while block := answer.read(CHUNK):
        out.write(block)
        done += len(block)
        now = time.monotonic()
        if now - shown > 5:
            rate = (done - first) / max(now - start, 1e-9)
            left = (total - done) / max(rate, 1)
            text = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB, {left / 60:.0f} min left"
            print(f"{url}: {text}", file=sys.stderr, flush=True)
            shown = now


def md5_of(file: Path) -> str:
    """MD5 of a file, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(file, "rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def unpack(file: Path, corpus_dir: Path) -> None:
    """Unpack ``LibriSpeech/SUBSET`` beside, then move the subset into place."""
    if not os.path.isfile(file):
        raise KDError(f"{file} cannot be unpacked: it is missing, or no file")
    beside = corpus_dir / (file.name + ".unpacking")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        with tarfile.open(file) as archive:
            archive.extractall(beside, filter="data")  # no links or paths outward
    except (tarfile.TarError, EOFError, OSError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise KDError(f"{file} cannot be unpacked: {error}") from None
    root = beside / "LibriSpeech"
    for path in sorted((root if root.is_dir() else beside).iterdir()):
        if path.is_dir() and not (corpus_dir / path.name).exists():
            path.rename(corpus_dir / path.name)
    shutil.rmtree(beside)
