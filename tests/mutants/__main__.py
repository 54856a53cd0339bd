"""Whether the tests notice when a guard breaks: `make mutants`.

Each break is made in a copy of the sources, and its test run on that. A break that its test does
not fail on is a failure, and so is a test that fails on the sources as they are.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from tests.edits import copy_sources, edited, failing, run, write
from tests.mutants.breaks import MUTANTS, Mutant


@dataclass(frozen=True)
class Result:
    """Whether the test of a mutant failed, and how long it took."""

    mutant: Mutant
    killed: bool
    seconds: float


def attempt(mutant: Mutant, sources: Path) -> Result:
    """Run a mutant's test on a copy of `sources` that has its edits."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(sources, root, dirs_exist_ok=True)
        write(edited(mutant.edits, root), root)
        killed = failing(root, mutant.test)
    return Result(mutant, killed, time.monotonic() - began)


def results(mutants: Sequence[Mutant], sources: Path, jobs: int) -> Iterator[Result]:
    """Yield the mutants' results, in their order, a few of them at work at once."""
    with ThreadPoolExecutor(jobs) as workers:
        yield from workers.map(partial(attempt, sources=sources), mutants)


def main() -> int:
    """Print a table of the faults and their tests; return 1 if a fault survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("-j", "--jobs", type=int, default=2, help="how many are tried at once")
    parser.add_argument("--only", default="", help="faults with this in their words or test")
    options = parser.parse_args()
    chosen = [each for each in MUTANTS if options.only in f"{each.fault} {each.test}"]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is compiled once goes into each copy
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder)
        copy_sources(sources)
        done = run(sources, "-m", "pytest", "-q", *{each.test: None for each in chosen})
        if done.returncode:
            print(f"{done.stdout}{done.stderr}\nThese fail, or can't be run, without any break.")
            return 1
        found = list(
            track(results(chosen, sources, options.jobs), "Breaking", len(chosen), console=console)
        )
    table = Table("fault", "killed by", "seconds")
    for each in found:
        by = escape(each.mutant.test.rpartition("/")[2]) if each.killed else "[red]nothing[/red]"
        table.add_row(
            each.mutant.fault, by.replace("[", r"\[") if each.killed else by, f"{each.seconds:.1f}"
        )
    console.print(table)
    killed = sum(each.killed for each in found)
    for each in found:
        if not each.killed:
            print(f"{each.mutant.fault}: survived {each.mutant.test}")
    print(f"{killed} of {len(found)} were killed.")
    return 0 if killed == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
