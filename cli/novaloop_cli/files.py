"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkstemp


def write_whole(file: Path, content: str | bytes) -> None:
    """Write a file, text in UTF-8. Whatever fails on the way, what was there before stays.

    Raises OSError. The content is written beside it first, and then takes its place in one step.
    """
    handle, beside = mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with open(handle, "wb") as opened:  # noqa: PTH123 - a descriptor
            opened.write(content.encode() if isinstance(content, str) else content)
        Path(beside).chmod(0o666 & ~_umask())
        Path(beside).replace(file)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Return which rights new files don't get; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
