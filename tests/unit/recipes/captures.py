"""The requests another implementation was observed to make, where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_REPOSITORY = Path(__file__).resolve().parents[3]
CONTRACT = Path(os.environ.get("NOVALOOP_SHARED", _REPOSITORY.parent / "shared")) / "contract"


def capture(name: str) -> dict[str, Any]:
    return _load(CONTRACT / "requests" / f"{name}.json")


def probes() -> dict[str, str]:
    document = _load(CONTRACT / "09_validation_probes.json")
    return {probe["probe"]: probe["sdk_1_4_10_result"] for probe in document["probes"]}


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        pytest.skip(f"no captures at {path}; set NOVALOOP_SHARED")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded
