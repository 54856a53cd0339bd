"""Requests and verdicts that were observed of another implementation.

The project keeps the part that its tests compare. Where the full captures are at hand
(``NOVALOOP_SHARED``), a test checks that the kept part still says the same.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

KEPT = Path(__file__).parent / "contract"
_REPOSITORY = Path(__file__).resolve().parents[3]
FULL = Path(os.environ.get("NOVALOOP_SHARED", _REPOSITORY.parent / "shared")) / "contract"


def capture(name: str) -> dict[str, Any]:
    return load(KEPT / f"{name}.json")


def verdicts() -> dict[str, str]:
    """``OK`` or ``ERR`` by probe."""
    return load(KEPT / "verdicts.json")


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded
