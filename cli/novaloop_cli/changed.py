"""Other settings for a retry: `--set` and `--spec`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from novaloop.experiment.controller.commands import first_again
from novaloop.experiment.spec.yaml_file import MAX_BYTES, read_settings
from novaloop.experiment.validation.changes import changed_spec, changes
from novaloop.problem import Invalid
from novaloop_cli.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from novaloop.experiment.record import Record
    from novaloop.experiment.spec.experiment import ExperimentSpec

_OPEN = ("overrides", "environment")
"""Settings of a stage whose keys may have dots themselves."""


def settings_for(
    record: Record, stage: str | None, assignments: Sequence[str], file: Path | None
) -> tuple[str, tuple[str, ...]]:
    """Return the text of an experiment.yaml for a retry, and what it changes, in lines.

    Checked as the controller will. Raises Refused.
    """
    if assignments and file is not None:
        raise Refused("--set changes the present settings, --spec replaces them: give one of them")
    text = _of_file(file) if file is not None else _with(record.spec, assignments)
    try:
        spec = changed_spec(record, text, first_again(record, stage))
    except Invalid as invalid:
        told = (f"{record.experiment_id} can't be retried with these settings:", *invalid.problems)
        raise Refused("\n  ".join(map(str, told))) from None
    told_changes = changes(record.spec, spec)
    if not told_changes:
        raise Refused("these are the present settings; retry without them, or change something")
    return text, told_changes


def _of_file(file: Path) -> str:
    with file.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Refused(f"{file} has more than {MAX_BYTES:,} bytes, which no experiment.yaml has")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8; save it as that") from None


def _with(spec: ExperimentSpec, assignments: Sequence[str]) -> str:
    """Write a spec with some settings changed, as YAML. Raises Refused."""
    content = json.loads(spec.model_dump_json())
    for each in assignments:
        path, equals, value = each.partition("=")
        if not (path and equals):
            raise Refused(f"--set {each}: write PATH=VALUE, as in sft.overrides.lr=1e-5")
        _assign(content, path, _value(each, value))
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _value(each: str, text: str) -> Any:
    """Read a value as experiment.yaml has it: `32`, `true`, `null`, `[a, b]`, a text."""
    try:
        read = read_settings(f"value: {text}".encode(), example="value: 32")
    except Invalid as invalid:
        raise Refused(f"--set {each}: {invalid.problems[0]}") from None
    if read.keys() != {"value"}:
        raise Refused(f"--set {each}: give one value in one line")
    return read["value"]


def _assign(content: dict[str, Any], path: str, value: Any) -> None:
    """Set what `path` names: a setting, or a stage by its name and a setting of it."""
    stages = {stage["name"]: stage for stage in content["plan"]}
    first, *rest = path.split(".")
    section = content
    if first in stages and rest:
        section, (first, *rest) = stages[first], rest
    while rest:
        inner = section.get(first)
        if first not in section or not isinstance(inner, dict | None):
            where = f"the settings that have others in them, and the stages: {', '.join(stages)}"
            raise Refused(f"--set {path}: {first} is none of {where}")
        if inner is None:
            section[first] = inner = {}
        section = inner
        first, rest = (".".join(rest), []) if first in _OPEN else (rest[0], rest[1:])
    section[first] = value
