"""docs/ says what the code does: generated files are current, the reference is complete."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from novaloop.experiment.controller.transitions import TABLE
from novaloop.experiment.record import Stage
from novaloop.experiment.spec.defaults import SpecDefaults
from novaloop.experiment.spec.experiment import ExperimentSpec, Gate, SplitSettings
from novaloop.experiment.spec.stages import STAGES
from novaloop.experiment.validation.reading import read_spec
from novaloop.metrics.registry import METRICS
from novaloop.store.items import RecordModel
from novaloop_cli import schema
from novaloop_cli.main import main

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
SECTIONS: dict[str, type[BaseModel]] = {
    "experiment.yaml": ExperimentSpec,
    "split": SplitSettings,
    **STAGES,
    "gate": Gate,
}


OF_THE_STACK = {field.name for field in fields(SpecDefaults)}


@pytest.mark.parametrize(
    ("file", "text"),
    [(schema.SCHEMA_FILE, schema.schema_text), (schema.STATES_FILE, schema.states_text)],
)
def test_generated_files_are_current(file: str, text: Any) -> None:
    assert (DOCS / file).read_text(encoding="utf-8") == text(), "run: make docs"


def test_every_move_of_the_table_is_in_the_diagram() -> None:
    arrows = [line for line in schema.states_text().splitlines() if " --> " in line]
    for (state, condition), rule in TABLE.items():
        assert any(
            line.startswith(f"  {state} --> {rule.to}: ") and condition in line for line in arrows
        )


def examples() -> list[str]:
    texts = [(DOCS / "configuration.md").read_text(), (ROOT / "README.md").read_text()]
    return [block for text in texts for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]


@pytest.mark.parametrize("text", examples())
def test_the_examples_are_valid_and_match_the_schema(text: str) -> None:
    read_spec(text.encode())
    jsonschema.validate(yaml.safe_load(text), schema.experiment_schema())


ACCEPTED = [
    "{}",
    "plan: [{evaluate: baseline}, sft, {evaluate: {name: after}}]",
    "plan: [{sft: {instances: 4}}, deploy]",
    "plan: [{evaluate: base}, {sft: null}, {deploy: {ttl_hours: 1.5}}]",
    "plan: [sft, {deploy: {to: bedrock-on-demand, ttl_hours: 1.5}}]",
    "plan: [sft, {deploy: {to: bedrock-provisioned, model_units: 2}}]",
]
REFUSED = [
    "modle: nova-lite-2",
    "plan: [evaluate]",
    "plan: [{evaluate: baseline, sft: {}}]",
    "plan: [{sft: {instances: 0}}]",
    "plan: [{deploy: {ttl: 1}}]",
    "plan: [sft, {deploy: {to: bedrock}}]",
    "plan: [sft, {deploy: {to: bedrock-on-demand, model_units: 2}}]",
    "plan: [sft, {deploy: {to: bedrock-provisioned, instance_type: ml.p5.48xlarge}}]",
    "gate: {confidence: 2}",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_the_schema_accepts_what_the_reader_accepts(text: str) -> None:
    read_spec(text.encode())
    jsonschema.validate(yaml.safe_load(text), schema.experiment_schema())


@pytest.mark.parametrize("text", REFUSED)
def test_the_schema_refuses_what_the_reader_refuses(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema.experiment_schema())
    with pytest.raises(Exception, match=r"."):
        read_spec(text.encode())


@pytest.mark.parametrize("section", SECTIONS)
def test_the_reference_has_every_setting_with_its_default(section: str) -> None:
    documented = reference()[section]
    model = SECTIONS[section]
    fields = {name: field for name, field in model.model_fields.items() if name != "kind"}
    assert list(documented) == list(fields)
    for name, field in fields.items():
        if field.is_required():
            assert documented[name] == "required", name
        elif section == "experiment.yaml" and name in OF_THE_STACK:
            assert documented[name] == "the stack's", name
        elif name != "plan":
            default = field.get_default(call_default_factory=True)
            assert yaml.safe_load(documented[name].strip("`")) == plain(default), name


def plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def reference() -> dict[str, dict[str, str]]:
    """Return, for each section of the reference, its settings and the defaults it gives."""
    sections: dict[str, dict[str, str]] = {}
    for part in (DOCS / "configuration.md").read_text().split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", body, re.M)
        sections[title.strip("`")] = dict(rows)
    return sections


def test_the_reference_names_every_metric_that_a_gate_may_ask_for() -> None:
    gate = (DOCS / "configuration.md").read_text().partition("\n## `gate`")[2]
    (row,) = re.findall(r"^\| `metric` \|.*", gate, re.M)
    names = re.findall(r"`(\w+)`", row.split("|")[3])
    assert names == [metric.full_name or metric.name for metric in METRICS if metric.gated]


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [name for name in main.commands if f"novaloop {name}" not in readme]
    assert missing == []


def test_every_attribute_of_the_record_is_documented_and_no_other() -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## The record in the console")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| `")]
    named = {name for line in table for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    keys, of_0_1_0 = {"experiment_id", "item", "ttl"}, {"spec", "datasets", "handled_commands"}
    assert named == RecordModel.get_attributes().keys() - keys - of_0_1_0
    (stages,) = (line for line in table if line.startswith("| `stages`"))
    own = {"kind", "name", "metrics"}  # plain, and metrics stand in one place for all stages
    assert {each.name for each in fields(Stage)} - own <= {*re.findall(r"`(\w+)`", stages)}
