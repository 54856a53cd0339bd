"""A name that is used again after its items were deleted: nothing of the former life counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from novaloop.experiment.record import CommandItem, CommandKind, Record, Status
from novaloop.experiment.stack import UID_TAG
from tests.simulation.simulation import SPEC, Simulation

MEASURED = SPEC + b"plan: [evaluate: baseline, sft, evaluate: after-sft]\n"
DEPLOYED = SPEC + b"plan: [evaluate: baseline, sft, evaluate: after-sft, deploy]\n"
LASTING = SPEC + b"plan: [sft, deploy: {endpoint: bot}]\n"
SERVERLESS = SPEC + b"runtime: serverless\nplan: [sft, evaluate: after-sft]\n"
ON_BEDROCK = SPEC + b"plan: [sft, deploy: {to: bedrock-on-demand}]\n"
TRAINED_THERE = SPEC + b"runtime: bedrock\nplan: [sft]\n"


def finished(spec: bytes) -> Simulation:
    simulation = Simulation()
    simulation.submit("demo", spec, sft_rows=210)
    simulation.settles("demo")
    return simulation


def launches(simulation: Simulation) -> list[str]:
    return [
        *simulation.jobs.launches,
        *simulation.hosting.launches,
        *simulation.bedrock.launches,
    ]


def names(record: Record) -> set[str]:
    return {stage.attempt.claimed_name for stage in record.stages}


@pytest.mark.parametrize(
    "kept",
    [("spec", "datasets", "checks", "score_items"), (), ("score_items",)],
    ids=["the record is deleted", "all is deleted", "all but the scores is deleted"],
)
@pytest.mark.parametrize(
    "spec", [MEASURED, DEPLOYED, LASTING, SERVERLESS, ON_BEDROCK, TRAINED_THERE]
)
def test_every_job_is_launched_anew(spec: bytes, kept: tuple[str, ...]) -> None:
    simulation = finished(spec)
    former, before = simulation.record("demo"), launches(simulation)
    assert former.status in {Status.LIVE, Status.COMPLETED}
    simulation.forget("demo", *kept)
    simulation.submit("demo", spec, sft_rows=220)
    assert simulation.settles("demo") is former.status
    record = simulation.record("demo")
    assert not names(former) & names(record)
    again = {*launches(simulation)} - {*before}
    assert len(again) + len(before) == len(launches(simulation)), "no name twice"
    # A lasting endpoint is updated, not made anew.
    assert len(again) == len(before) - (spec == LASTING)
    assert record.datasets["sft"].rows == 220
    for old, new in zip(former.stages, record.stages, strict=True):
        assert old.checkpoint is None or old.checkpoint != new.checkpoint
    if spec == LASTING:
        assert simulation.hosting.serving("novaloop-bot") == record.stages[-1].attempt.job_name
        assert simulation.hosting.endpoints["novaloop-bot"].tags[UID_TAG] == record.uid


def test_a_score_of_a_former_life_does_not_count() -> None:
    simulation = finished(MEASURED)
    left = simulation.store.load("demo").score_items
    assert len(left) == 2
    simulation.forget("demo", "score_items")
    simulation.submit("demo", MEASURED)
    simulation.run(lambda: simulation.jobs.launches[3:] != [])
    snapshot = simulation.store.load("demo")
    assert snapshot.record is not None
    assert snapshot.score_items == left
    assert not snapshot.scores
    assert simulation.settles("demo") is Status.COMPLETED
    snapshot = simulation.store.load("demo")
    assert {item.uid for item in snapshot.scores.values()} == {simulation.record("demo").uid}
    assert len(snapshot.scores) == 2


@pytest.mark.parametrize("spec", [DEPLOYED, TRAINED_THERE])
def test_where_the_short_uids_are_the_same_by_chance_the_tags_tell(spec: bytes) -> None:
    simulation = finished(spec)
    before = launches(simulation)
    served = [*simulation.hosting.endpoints, *simulation.bedrock.models]
    simulation.forget("demo")
    simulation.lives = 0
    simulation.submit("demo", spec, sft_rows=220)
    assert simulation.settles("demo") is Status.FAILED
    assert "somebody else's" in simulation.record("demo").reason
    assert launches(simulation) == before
    left = [*simulation.hosting.endpoints, *simulation.bedrock.models]
    assert left == served, "what the former one made is left alone"


def test_a_command_for_a_former_life_is_not_obeyed() -> None:
    simulation = finished(MEASURED)
    uid = simulation.record("demo").uid
    assert uid is not None
    simulation.forget("demo")
    simulation.submit("demo", MEASURED)
    assert simulation.reaches("demo", Status.RUNNING)
    simulation.command("demo", CommandKind.STOP, uid=uid)
    assert simulation.settles("demo") is Status.COMPLETED
    assert not simulation.store.load("demo").commands
    (answer,) = (e.why for e in simulation.store.history("demo") if e.what == "stop by somebody")
    assert answer == "ignored: it was given to a former experiment of this name"
    own = simulation.record("demo").uid
    simulation.command("demo", CommandKind.CLEANUP, uid=own)
    simulation.command("demo", CommandKind.CLEANUP)
    simulation.passes(simulation.world.policy.look_every * 2)
    asked = [e.why for e in simulation.store.history("demo") if e.what == "cleanup by somebody"]
    assert asked == ["", ""]


def test_a_command_that_lies_there_since_a_former_life_is_not_obeyed() -> None:
    simulation = Simulation()
    simulation.submit("demo", MEASURED)
    assert simulation.reaches("demo", Status.RUNNING)
    record = simulation.record("demo")
    stop = CommandItem("1", CommandKind.STOP, "jane", simulation.clock.now(), uid=record.uid)
    snapshot = simulation.store.snapshots["demo"]
    simulation.store.snapshots["demo"] = replace(snapshot, commands=(stop,))
    simulation.forget("demo", "commands")
    simulation.submit("demo", MEASURED)
    assert simulation.settles("demo") is Status.COMPLETED


def test_a_cleanup_deletes_what_a_former_life_left() -> None:
    simulation = finished(DEPLOYED)
    simulation.forget("demo")
    simulation.submit("demo", MEASURED)
    assert simulation.settles("demo") is Status.COMPLETED
    assert simulation.hosting.left("demo")
    simulation.command("demo", CommandKind.CLEANUP)
    assert simulation.run(lambda: not simulation.hosting.left("demo"))


# --------------------------------------------------------------- experiments of release 0.1.0
LONG = "questions-of-the-whole-year-2026"


@pytest.mark.parametrize("upgraded_in", [Status.COLLECTING, Status.RUNNING, Status.LIVE])
@pytest.mark.parametrize("spec", [DEPLOYED, LASTING, ON_BEDROCK])
def test_what_has_no_uid_goes_on_under_the_names_that_it_has(
    spec: bytes, upgraded_in: Status
) -> None:
    assert len(LONG) == 32
    simulation = Simulation()
    upgraded = simulation.world
    simulation.world = replace(upgraded, new_uid=lambda: None)  # type: ignore[arg-type,return-value]
    simulation.submit(LONG, spec)
    assert simulation.reaches(LONG, upgraded_in)
    simulation.world = upgraded
    assert simulation.settles(LONG) is Status.LIVE
    simulation.command(LONG, CommandKind.STOP)
    assert simulation.reaches(LONG, Status.STOPPED)
    simulation.command(LONG, CommandKind.RETRY, stage="deploy")
    assert simulation.reaches(LONG, Status.LIVE)
    record = simulation.record(LONG)
    assert record.uid is None
    attempts = {stage.name: stage.attempt.number for stage in record.stages}
    assert attempts["deploy"] == 2
    assert names(record) == {
        f"novaloop-{LONG}--{name}-{number}" for name, number in attempts.items()
    }
    simulation.command(LONG, CommandKind.CLEANUP)
    assert simulation.reaches(LONG, Status.COMPLETED)
    simulation.check(LONG)


def test_a_new_experiment_with_so_long_a_name_is_refused_with_the_length() -> None:
    simulation = Simulation()
    simulation.submit(LONG, MEASURED)
    assert simulation.settles(LONG) is Status.REJECTED
    assert "at most 27 characters" in simulation.record(LONG).reason
    assert not launches(simulation)
