"""Writes docs/licences.md from the bill of materials of `make sbom`: python licences.py SBOM."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEAD = (
    "# Licences\n\n"
    "Novaloop itself is under Apache-2.0. The layer holds these packages, unchanged, as they are "
    "published; `make sbom` writes this page, and a bill of materials in CycloneDX's format to "
    "`build/sbom.json`.\n\n"
    "pygal, which draws the charts of reports, is under the LGPL-3.0-or-later, and orjson in part "
    "under the MPL-2.0. Both are used as separate libraries, unchanged and replaceable, which "
    "these licences allow; whoever passes on a changed copy of one of them offers its source too. "
    "The others ask for their notices to be kept.\n\n"
    "| package | version | licence, as the package declares it |\n|---|---|---|\n"
)
_CLASSIFIER = "License :: OSI Approved :: "


def page(sbom: Mapping[str, Any]) -> str:
    """Return the page for the content of a CycloneDX file."""
    rows = sorted((normalised(each["name"]), each) for each in sbom["components"])
    return HEAD + "".join(
        f"| {name} | {each['version']} | {_licence(each)} |\n" for name, each in rows
    )


def normalised(name: str) -> str:
    """Return a package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _licence(component: Mapping[str, Any]) -> str:
    declared = [
        each.get("expression") or each["license"].get("id") or each["license"]["name"]
        for each in component.get("licenses", ())
    ]
    names = sorted({name.removeprefix(_CLASSIFIER) for name in declared})
    if not names:
        raise SystemExit(f"{component['name']} declares no licence: look it up before using it")
    return ", ".join(names)


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), end="")
