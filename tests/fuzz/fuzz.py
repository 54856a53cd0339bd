"""Looks for bytes that break a check: `fuzz.py convert -max_total_time=60 CORPUS SEEDS`.

Takes libFuzzer's options. What it finds goes into `finds/`, where the tests replay it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "layers" / "novaloop"), str(ROOT)]

with atheris.instrument_imports(include=["novaloop"]):
    from tests.fuzz.checks import CHECKS


def main() -> None:
    """Fuzz the check that the first argument names."""
    name = sys.argv.pop(1)
    finds = Path(__file__).parent / "finds"
    finds.mkdir(exist_ok=True)
    atheris.Setup([*sys.argv, f"-artifact_prefix={finds}/{name}-"], CHECKS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
