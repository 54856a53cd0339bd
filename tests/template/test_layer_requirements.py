"""What the layer holds: pinned, hashed, licensed, and told in step. Without the network."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "novaloop"
REQUIREMENTS = (LAYER / "requirements.txt").read_text(encoding="utf-8")
PIN = re.compile(r"^(\S+)==(\S+) \\\n((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)
PINS = {name: pinned for name, pinned, _ in PIN.findall(REQUIREMENTS)}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_line_is_a_pin_with_its_hashes_and_names_no_index() -> None:
    left = [line for line in PIN.sub("", REQUIREMENTS).splitlines() if not line.startswith("#")]
    assert left == []
    assert "://" not in REQUIREMENTS


def test_whatever_is_asked_for_is_pinned() -> None:
    asked = re.findall(r"^[A-Za-z][\w.-]*", (LAYER / "requirements.in").read_text(), re.MULTILINE)
    assert {normalised(name) for name in asked} <= PINS.keys()


@pytest.mark.parametrize("package", ["numpy", "orjson", "pydantic-core", "rapidfuzz", "xxhash"])
def test_the_hashes_are_those_of_the_wheels_of_every_machine(package: str) -> None:
    """Of what is compiled there are files for each Python, processor and operating system."""
    hashes = next(found for name, _, found in PIN.findall(REQUIREMENTS) if name == package)
    assert hashes.count("--hash") > 10


def test_the_licences_told_are_those_of_the_pins() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^ |]+) \| ([^ |]+) \| ([^|]+) \|$", page, re.MULTILINE)
    told = {name: pinned for name, pinned, _ in rows if name in PINS}
    assert told == PINS
    assert ("pygal", PINS["pygal"], "LGPL-3.0-or-later") in rows
    assert "pygal, which draws the charts of reports, is under the LGPL-3.0-or-later" in page


def test_development_uses_the_pins() -> None:
    assert {name: version(name) for name in PINS} == PINS


def oldest_python() -> str:
    """Return the oldest Python that the project promises to run on."""
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    return str(promised).removeprefix(">=")


def test_the_pins_run_on_every_python_that_is_promised() -> None:
    """The environment of development is held to them, on whatever Python somebody has."""
    too_new = {
        name: needed
        for name in PINS
        if not SpecifierSet(needed := metadata(name)["Requires-Python"] or "").contains(
            oldest_python()
        )
    }
    assert too_new == {}


def test_renewed_pins_will_run_there_too() -> None:
    """One version of each for all Pythons: the newest NumPy alone would need a newer one."""
    printed = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "lock"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.replace("\\\n", "")
    (compile_,) = (line for line in printed.splitlines() if "pip compile" in line)
    options = compile_.split()
    assert "--universal" in options
    assert "--python-platform" not in options
    assert options[options.index("--python-version") + 1] == oldest_python()
    assert options[options.index("--fork-strategy") + 1] == "fewest"


@pytest.mark.parametrize("target", ["", "host"])
def test_the_layer_is_built_of_files_whose_hashes_are_pinned(target: str) -> None:
    settings = [f"NOVALOOP_LAYER_TARGET={target}", "ARTIFACTS_DIR=/layer", "build-NovaloopLayer"]
    run = subprocess.run(
        # A make that another make started says first in which folder it is.
        ["make", "--no-print-directory", "--dry-run", *settings],
        cwd=LAYER,
        check=True,
        capture_output=True,
        text=True,
    )
    installs = run.stdout.replace("\\\n", "").split("\n")[0]
    assert "--require-hashes" in installs
    assert '--target "/layer/python" --requirement requirements.txt' in installs
    assert ("--python-version 3.13" in installs) is (target == "")


def test_a_package_without_a_licence_is_none_to_use() -> None:
    sbom = '{"components": [{"name": "a", "version": "1"}]}'
    done = subprocess.run(
        [sys.executable, "-c", f"import json, licences; licences.page(json.loads('{sbom}'))"],
        cwd=LAYER,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "a declares no licence" in done.stderr
