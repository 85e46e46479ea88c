"""Files that get another content."""

from pathlib import Path


def rewrite(path: Path, content: bytes | str) -> None:
    """Give a file another content, and another inode: copies may be links."""
    path.unlink()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
