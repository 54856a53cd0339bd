"""A copy of the sources with a few words changed, and what a program says of it.

`make mutants` and `make chaos-catches` break the copy to see that a test or the chaos finds it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = Path("layers/novaloop/novaloop")


@dataclass(frozen=True)
class Edit:
    """A piece of a source file, which stands there once, and what to put in its place.

    `file` is in the layer's package, or under `functions/`.
    """

    file: str
    old: str
    new: str

    @property
    def path(self) -> Path:
        """Where the file is, from the root of the sources."""
        return Path(self.file) if self.file.startswith("functions/") else PACKAGE / self.file


def copy_sources(target: Path, source: Path = ROOT) -> None:
    """Copy all sources, with their times, so that bytecode that is there stays valid."""
    made = shutil.ignore_patterns(".*", "build", "novaloop-report", "*.egg-info")
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=made)


def edited(edits: Iterable[Edit], root: Path = ROOT) -> dict[Path, str]:
    """Return the edited files' texts. Raises ValueError where an edit does not fit exactly once."""
    texts: dict[Path, str] = {}
    for edit in edits:
        text = texts.get(edit.path) or (root / edit.path).read_text(encoding="utf-8")
        if text.count(edit.old) != 1 or edit.old == edit.new:
            raise ValueError(f"{edit.file} does not hold this once: {edit.old}")
        texts[edit.path] = text.replace(edit.old, edit.new)
    return texts


def write(texts: dict[Path, str], root: Path) -> None:
    """Put edited files in their places."""
    for path, text in texts.items():
        (root / path).write_text(text, encoding="utf-8")


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the sources at `root`, and not on those that are installed."""
    paths = [root, *(root / each for each in ("layers/novaloop", "cli", "localcloud"))]
    return subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env={
            **{name: each for name, each in os.environ.items() if not name.startswith("PYTEST")},
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def failing(root: Path, test: str) -> bool:
    """Whether a test fails on the sources at `root`; one that can't be run at all does not."""
    return run(root, "-m", "pytest", "-qx", test).returncode == pytest.ExitCode.TESTS_FAILED
