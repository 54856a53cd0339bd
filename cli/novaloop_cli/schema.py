"""`novaloop schema`: the JSON Schema of experiment.yaml, and the stages' state diagram."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from novaloop.experiment.controller.transitions import TABLE
from novaloop.experiment.record import StageState
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import STAGES
from novaloop_cli.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_FILE = "experiment.schema.json"
STATES_FILE = "states.md"
_ENDS = (StageState.SUCCEEDED, StageState.FAILED)


@click.command()
@click.option(
    "--write",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=f"Write {SCHEMA_FILE} and {STATES_FILE} into this folder instead.",
)
def schema(directory: Path | None) -> None:
    """Print the JSON Schema of experiment.yaml.

    Editors complete and check the file by it.
    """
    if directory is None:
        click.echo(schema_text(), nl=False)
        return
    write_whole(directory / SCHEMA_FILE, schema_text())
    write_whole(directory / STATES_FILE, states_text())


def schema_text() -> str:
    """Return the JSON Schema as text."""
    return json.dumps(experiment_schema(), indent=2) + "\n"


def experiment_schema() -> dict[str, Any]:
    """Return the schema of the file, in which a stage is `{kind: settings}`, a name or a word."""
    generated = ExperimentSpec.model_json_schema()
    definitions = generated["$defs"]
    for stage in STAGES.values():
        del definitions[stage.__name__]["properties"]["kind"]
    plan = generated["properties"]["plan"]
    plan["items"] = {"anyOf": [form for stage in STAGES.values() for form in _forms(stage)]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **generated,
        "title": "experiment.yaml",
    }


def _forms(stage: Any) -> Iterator[dict[str, Any]]:
    """Yield the ways in which a stage may be written; some can't go without a setting."""
    kind = str(stage.model_fields["kind"].default)
    settings = [{"$ref": f"#/$defs/{stage.__name__}"}]
    needed = {name for name, field in stage.model_fields.items() if field.is_required()}
    if needed <= {"name"}:
        settings.append({"type": "string"})
    if not needed:
        settings.append({"type": "null"})
        yield {"const": kind}
    yield {
        "type": "object",
        "description": inspect.getdoc(stage),
        "properties": {kind: {"anyOf": settings}},
        "required": [kind],
        "additionalProperties": False,
    }


def states_text() -> str:
    """Return the page on how a stage moves."""
    return "\n".join(
        (
            "# How a stage moves",
            "",
            "Generated from `TABLE` in `experiment/controller/transitions.py` by",
            "`novaloop schema --write docs`.",
            "",
            "Each look at an experiment moves its active stage along at most one arrow at a time;",
            "after a slash stands what the controller does about it. Stopping is not in the",
            "table: a stage whose experiment is stopped becomes STOPPED once its job or endpoint",
            "is gone.",
            "",
            "```mermaid",
            "stateDiagram-v2",
            f"  [*] --> {StageState.PENDING}",
            *_arrows(),
            *(f"  {state} --> [*]" for state in _ENDS),
            "```",
            "",
        )
    )


def _arrows() -> Iterator[str]:
    """Yield one arrow for each pair of states, with all that leads along it."""
    labels: dict[tuple[StageState, StageState], list[str]] = {}
    for (state, condition), rule in TABLE.items():
        action = f" / {rule.action}" if rule.action else ""
        labels.setdefault((state, rule.to), []).append(f"{condition}{action}")
    for (before, after), reasons in labels.items():
        yield f"  {before} --> {after}: {'<br>'.join(reasons)}"
