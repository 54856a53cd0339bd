"""The YAML files that are packaged with the code."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML may have been built without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]


def packaged_yaml(package: str, file: str) -> Any:
    """Read a packaged file, on the way of every cold start: in C, several times as fast.

    What people write is read by `yaml.safe_load`, whose messages are better.
    """
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    return yaml.load(text, Loader=SafeLoader)
