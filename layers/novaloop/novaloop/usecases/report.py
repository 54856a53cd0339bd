"""Report: one page, its content as JSON, and a Markdown summary, always of the present record."""

from __future__ import annotations

import json

from novaloop import reports
from novaloop.experiment.names import report_prefix
from novaloop.usecases.score import ScoreWorld, load_flips
from novaloop.usecases.training import load_curves


def write_report(experiment_id: str, world: ScoreWorld) -> None:
    """Write the report of an experiment that has started."""
    snapshot = world.store.load(experiment_id)
    if snapshot.record is None or not snapshot.record.stages:
        return
    history = world.store.history(experiment_id)
    curves = load_curves(snapshot.record, world.objects)
    flips = load_flips(snapshot.record, world.objects)
    content = reports.report(
        snapshot.record, snapshot.scores, history, snapshot.datasets, curves=curves, flips=flips
    )
    prefix = report_prefix(experiment_id)
    text = json.dumps(content, indent=2, allow_nan=False)
    world.objects.put(f"{prefix}.json", text.encode(), "application/json")
    world.objects.put(f"{prefix}.html", reports.html(content).encode(), "text/html; charset=utf-8")
    world.objects.put(f"{prefix}.md", reports.markdown(content).encode(), "text/markdown")
