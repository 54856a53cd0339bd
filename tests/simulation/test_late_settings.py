"""Settings that are uploaded after the start are not used, and whoever looks at them reads that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from novaloop.experiment.record import Status
from tests.simulation.simulation import Simulation

LATER = b"columns: {question: Body, answer: Y}\nlabels: [HQ, LQ_EDIT, LQ_CLOSE]\nplan: [sft]\n"
NAMED = "experiment.yaml version {} is not used: the experiment started with version v1"


def started() -> Simulation:
    simulation = Simulation()
    simulation.submit("demo")
    assert simulation.reaches("demo", Status.RUNNING)
    return simulation


def test_what_was_used_is_not_marked_though_its_event_comes_again() -> None:
    simulation = started()
    simulation.request_ingest("inbox/demo/experiment.yaml")
    simulation.passes(timedelta(minutes=1))
    snapshot = simulation.store.load("demo")
    assert snapshot.spec is not None
    assert snapshot.record is not None
    assert snapshot.record.spec_upload == snapshot.spec.version_id == "v1"
    assert snapshot.spec.not_used == ""
    assert snapshot.record.unused_uploads == ""


def test_what_comes_after_the_start_is_marked_and_told_once() -> None:
    simulation = started()
    simulation.upload("demo", "experiment.yaml", LATER)
    assert simulation.settles("demo") is Status.LIVE
    snapshot = simulation.store.load("demo")
    assert snapshot.record is not None
    assert snapshot.spec is not None
    late = snapshot.spec.version_id
    assert late not in {"", "v1"}
    assert snapshot.spec.not_used.startswith(f"version {late} came after the start at ")
    assert "the experiment runs by version v1, as RESOLVED_SPEC has it" in snapshot.spec.not_used
    assert "started with version v1 in its place" in snapshot.record.unused_uploads
    assert snapshot.record.unused_uploads.startswith(NAMED.format(late))
    assert len(snapshot.record.stages) == 6
    told = [line for line in simulation.store.history("demo") if line.what == "late upload"]
    assert [line.why.partition(":")[0] for line in told] == [NAMED.format(late).partition(":")[0]]


@pytest.mark.parametrize(("remembered", "is_late"), [("", True), (None, False)])
def test_it_depends_on_what_the_record_remembers(remembered: str | None, *, is_late: bool) -> None:
    """Empty: it started without any settings. None: a release before 0.2.0 did not remember."""
    simulation = started()
    simulation.store.commit(replace(simulation.record("demo"), spec_upload=remembered), [])
    simulation.upload("demo", "experiment.yaml", LATER)
    simulation.passes(timedelta(minutes=10))
    found = simulation.store.load("demo")
    assert found.spec is not None
    assert bool(found.spec.not_used) is is_late
    assert bool(simulation.record("demo").unused_uploads) is is_late


WITHOUT = " by the default plan, since no experiment.yaml was there"


@pytest.mark.parametrize("plan", ["", WITHOUT])
def test_the_start_tells_what_it_may_cost_and_that_the_default_plan_was_taken(plan: str) -> None:
    """Who uploads settings late sees from the start on that others run, and on which machines."""
    simulation = Simulation()
    if not plan:
        simulation.upload("demo", "experiment.yaml", b"approval: manual\n")
    for role in ("sft", "rft", "eval"):
        rows = "".join(f"{role} {number},HQ\n" for number in range(300))
        simulation.upload("demo", f"{role}.csv", f"question,answer\n{rows}".encode())
    assert simulation.reaches("demo", Status.RUNNING)
    (line,) = [each for each in simulation.store.history("demo") if each.what == "RUNNING"]
    jobs = "baseline, sft, after-sft, rft, after-rft"
    assert line.why.startswith(f"started with sft 300, rft 300, eval 300 rows{plan}; {jobs}: ")
    assert "USD at the most; a deployment: 24 h of 1 ml.p5.48xlarge, " in line.why


def test_each_late_upload_is_named_and_one_of_several_datasets_once() -> None:
    divided = b"split: {eval: 0.3, sft: 0.7}\nplan: [evaluate: baseline, sft]\n"
    rows = "".join(f"how is number {number} doing,fine\n" for number in range(300))
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", divided)
    simulation.upload("demo", "data.csv", f"question,answer\n{rows}".encode())
    assert simulation.reaches("demo", Status.RUNNING)
    simulation.upload("demo", "data.csv", b"question,answer\nq,a\n")
    simulation.passes(timedelta(minutes=10))
    late = simulation.store.load("demo").datasets["sft"].version_id
    told = simulation.record("demo").unused_uploads
    assert told.startswith(f"data.csv version {late} is not used: the experiment started with ")
    simulation.upload("demo", "experiment.yaml", LATER)
    simulation.passes(timedelta(minutes=10))
    settings = simulation.store.load("demo").spec
    assert settings is not None
    told = simulation.record("demo").unused_uploads
    assert told == (
        f"data.csv version {late}, experiment.yaml version {settings.version_id} are not used: "
        "the experiment started without them; submit them under a new experiment name"
    )
