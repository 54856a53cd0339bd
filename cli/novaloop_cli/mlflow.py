"""`novaloop mlflow`: log an experiment to an MLflow tracking server, after the fact."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from novaloop_cli.errors import Failed, Refused
from novaloop_cli.reporting import build, write
from novaloop_cli.stack import Stack, with_stack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop.experiment.record import Record
    from novaloop.reports import Report
    from novaloop.reports.schema import StageLine

EXPERIMENT_PREFIX = "novaloop/"
MAX_PARAMETER = 500  # characters; the strictest of the tracking stores


@click.command()
@click.argument("name")
@click.option(
    "--tracking-uri",
    envvar="MLFLOW_TRACKING_URI",
    required=True,
    help="URI of the tracking server, or ARN of a SageMaker one; or MLFLOW_TRACKING_URI.",
)
@with_stack
def mlflow(stack: Stack, name: str, tracking_uri: str) -> None:
    """Log experiment NAME to an MLflow tracking server.

    That is its stages, numbers and report, each time as a new run.
    """
    library = _library()
    snapshot, record = stack.load(name)
    content = build(stack, snapshot, record)
    try:
        parent = log(library.MlflowClient(tracking_uri), content, parameters(record))
    except library.MlflowException as error:
        reason = str(error).partition("\n")[0]
        raise Failed(f"MLflow at {tracking_uri}: {reason}") from error
    click.echo(f"Logged to {tracking_uri} as run {parent}")


def _library() -> Any:
    try:
        import mlflow as library  # noqa: PLC0415 - optional: nothing else needs it
    except ImportError as error:
        raise Refused("MLflow is not installed; run: pip install mlflow-skinny") from error
    return library


def parameters(record: Record) -> Mapping[str, Mapping[str, str]]:
    """Return what each stage was asked for, by its name."""
    plans = {stage.name: record.plan_of(stage) for stage in record.stages}
    return {name: _flat(plan.model_dump(mode="json")) for name, plan in plans.items()}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            flat[prefix + name] = text[:MAX_PARAMETER]
    return flat


def log(client: Any, content: Report, settings: Mapping[str, Mapping[str, str]]) -> str:
    """Log a run for the experiment and one inside it for each stage; return the former's id."""
    name = EXPERIMENT_PREFIX + content["experiment"]
    known = client.get_experiment_by_name(name)
    experiment_id = str(known.experiment_id if known else client.create_experiment(name))
    parent = client.create_run(experiment_id, run_name=content["experiment"]).info.run_id
    client.set_tag(parent, "novaloop.version", content["code_version"])
    client.set_tag(parent, "novaloop.status", content["status"])
    for dataset in content["datasets"]:
        client.log_param(parent, f"{dataset['role']}.sha256", dataset["sha256"])
    for stage in content["stages"]:
        tags = {"mlflow.parentRunId": parent}
        run = client.create_run(experiment_id, run_name=stage["name"], tags=tags).info.run_id
        _log_stage(client, run, stage, content, settings[stage["name"]])
    with tempfile.TemporaryDirectory() as folder:
        write(content, Path(folder))
        client.log_artifacts(parent, folder)
    client.set_terminated(parent)
    return str(parent)


def _log_stage(
    client: Any, run: str, stage: StageLine, content: Report, settings: Mapping[str, str]
) -> None:
    lineage = {
        "job_arn": stage["job_arn"],
        "recipe_key": stage["recipe_key"],
        "checkpoint": stage["checkpoint"],
    }
    for tag, value in lineage.items():
        if value is not None:
            client.set_tag(run, f"novaloop.{tag}", value)
    for key, value in settings.items():
        client.log_param(run, key, value)
    client.log_metric(run, "instance_hours", stage["instance_hours"])
    of_tasks = [metric for task in content["tasks"] for metric in task["metrics"]]
    for metric in (*content["metrics"], *of_tasks):
        for measured in metric["measurements"]:
            if measured["stage"] == stage["name"]:
                client.log_metric(run, metric["name"], measured["value"])
                if measured["stderr"] is not None:
                    client.log_metric(run, f"{metric['name']}_stderr", measured["stderr"])
    client.set_terminated(run, "FAILED" if stage["state"] == "FAILED" else "FINISHED")
