"""The controller follows trainings by their logs: progress, warnings, stopping, and no harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Never

import pytest

from novaloop.experiment.record import CommandKind, Progress, Stage, StageState, Status
from novaloop.training.notes import HealthKind
from novaloop.usecases.training import load_training
from tests.simulation.faults import Calls, Scenario, at_any_call
from tests.simulation.simulation import ROUGH, SPEC, Chaos, Simulation, crash
from tests.simulation.twin_service import refusal
from tests.simulation.twin_training import LINES_PER_LOOK

PLAN = b"""
plan:
  - sft: {overrides: {max_steps: 100}}
  - rft: {overrides: {max_steps: 40, max_new_tokens: 50}%s}
"""
STOP = PLAN % b", stop_on: [reward_collapse]"
STOP_IF_STALLED = PLAN % b", stop_on: [stalled_training]"


def simulate(course: str, chaos: Chaos | None = None, seed: int = 0) -> Simulation:
    return Simulation(
        seed, chaos or Chaos(), course=lambda job: course if "--0000-rft" in job else "healthy"
    )


def progress_over_time(simulation: Simulation, stage: str) -> list[Progress]:
    """Let the experiment end; return each progress that the stage's record showed on the way."""
    shown: list[Progress] = []

    def watch() -> bool:
        record = simulation.store.load("demo").record
        if record is None or not record.stages:
            return False
        now = record.stage(stage)
        progress = now.attempt.progress if now.state is StageState.RUNNING else None
        if progress is not None and progress not in shown:
            shown.append(progress)
        return record.status.is_final

    assert simulation.run(watch)
    return shown


def warnings(simulation: Simulation) -> list[str]:
    return [subject for subject, _ in simulation.notifier.messages if "demo rft:" in subject]


def lines(simulation: Simulation, what: str) -> list[str]:
    return [entry.why for entry in simulation.store.history("demo") if entry.what == what]


def test_progress_moves_by_the_sweep_alone() -> None:
    """A job that runs tells nobody of its steps: without looks there is only its start and end."""
    simulation = simulate("healthy")
    simulation.submit("demo", SPEC + PLAN % b"")
    shown = progress_over_time(simulation, "rft")
    steps = [progress.step or 0 for progress in shown]
    assert steps == sorted(steps)
    assert len(steps) >= 6
    assert all(progress.max_steps == 40 for progress in shown if progress.step)
    ends = {progress.finishes_at for progress in shown if (progress.step or 0) > 1}
    started = simulation.record("demo").stage("rft").attempt.started_at
    assert started is not None
    assert ends == {started + timedelta(minutes=40)}


def test_looks_at_a_training_are_few() -> None:
    """One for each sweep of the 40 minutes, and one for each event: no chain of hints."""
    simulation = simulate("healthy")
    simulation.submit("demo", SPEC + PLAN % b"")
    assert simulation.settles("demo") is Status.COMPLETED
    assert simulation.logs.reads <= 2 * (8 + 3)


def test_the_curve_of_a_long_log_is_read_piece_by_piece() -> None:
    simulation = simulate("healthy")
    simulation.submit("demo", SPEC + PLAN % b"")
    assert simulation.settles("demo") is Status.COMPLETED
    job = simulation.record("demo").stage("rft").attempt.job_name or ""
    curve = load_training("demo", job, simulation.objects).training.curve
    assert [bucket.step for bucket in curve.series["reward_mean"].buckets] == [*range(1, 41)]
    assert LINES_PER_LOOK < 40


def test_a_healthy_training_gives_no_notes() -> None:
    simulation = simulate("healthy")
    simulation.submit("demo", SPEC + PLAN % b"")
    assert simulation.settles("demo") is Status.COMPLETED
    assert not simulation.record("demo").stage("rft").attempt.health
    assert not warnings(simulation)


def test_a_collapsing_reward_is_noted_and_told_once_and_goes_on() -> None:
    simulation = simulate("collapses")
    simulation.submit("demo", SPEC + PLAN % b"")
    assert simulation.settles("demo") is Status.COMPLETED
    stage = simulation.record("demo").stage("rft")
    assert [note.kind for note in stage.attempt.health] == [HealthKind.REWARD_COLLAPSE]
    assert lines(simulation, "rft reward_collapse") == [stage.attempt.health[0].message]
    assert warnings(simulation) == ["Novaloop: demo rft: reward collapse"]


def test_a_collapsing_reward_stops_the_job_if_that_was_asked_for() -> None:
    simulation = simulate("collapses")
    simulation.submit("demo", SPEC + STOP)
    assert simulation.settles("demo") is Status.FAILED
    record = simulation.record("demo")
    stage = record.stage("rft")
    assert stage.state is StageState.FAILED
    assert "reward_collapse" in (stage.reason or "")
    assert "the mean reward fell from 0.6 to -0.5" in record.reason
    job = simulation.jobs.jobs[stage.attempt.job_name or ""]
    assert job.stop_asked
    assert job.ended_at is not None
    assert job.ended_at - job.created_at < timedelta(minutes=35)
    assert warnings(simulation) == ["Novaloop: demo rft: reward collapse"]
    simulation.check("demo")


def test_another_ill_than_those_to_stop_on_stops_nothing() -> None:
    simulation = simulate("collapses")
    simulation.submit("demo", SPEC + STOP_IF_STALLED)
    assert simulation.settles("demo") is Status.COMPLETED
    assert warnings(simulation)


@pytest.mark.parametrize("course", ["stalls", "silent"])
def test_a_training_that_stands_still_is_told_of_and_stopped_if_asked(course: str) -> None:
    simulation = Simulation(
        fate=lambda job: "hangs" if "--0000-rft" in job else "completes",
        course=lambda job: course if "--0000-rft" in job else "healthy",
    )
    simulation.submit("demo", SPEC + STOP_IF_STALLED)
    assert simulation.settles("demo") is Status.FAILED
    assert [note.kind for note in simulation.record("demo").stage("rft").attempt.health] == [
        HealthKind.STALLED_TRAINING
    ]
    assert warnings(simulation) == ["Novaloop: demo rft: stalled training"]
    simulation.check("demo")


def test_a_retry_begins_with_a_clean_bill_of_health() -> None:
    simulation = simulate("collapses")
    simulation.submit("demo", SPEC + STOP)
    assert simulation.settles("demo") is Status.FAILED
    simulation.logs.course = lambda _: "healthy"
    simulation.command("demo", CommandKind.RETRY)
    assert simulation.reaches("demo", Status.COMPLETED)
    assert not simulation.record("demo").stage("rft").attempt.health


class BrokenLogs:
    def read(self, job_name: str, after: str | None) -> Never:
        raise refusal("ServiceUnavailableException", "the logs service is down")


def test_logs_that_cannot_be_read_hold_nothing_up() -> None:
    simulation = simulate("collapses")
    simulation.world = replace(simulation.world, logs=BrokenLogs())
    simulation.submit("demo", SPEC + STOP)
    assert simulation.settles("demo") is Status.COMPLETED
    assert simulation.record("demo").stage("rft").state is StageState.SUCCEEDED


def test_a_curve_of_another_version_is_read_anew() -> None:
    simulation = simulate("collapses")
    simulation.submit("demo", SPEC + PLAN % b"")
    key = "jobs/demo/novaloop-demo--0000-rft-1/training-curve.json"
    simulation.objects.put(key, b'{"training": "of another version"}', "application/json")
    assert simulation.settles("demo") is Status.COMPLETED
    assert simulation.record("demo").stage("rft").attempt.health


def collapsing() -> Simulation:
    simulation = simulate("collapses")
    simulation.submit("demo", SPEC + STOP)
    return simulation


SCENARIO = Scenario(collapsing, lambda simulation: simulation.is_in("demo", Status.FAILED))


@at_any_call
def test_a_crash_at_any_call_heals(calls: Calls) -> None:
    for call, simulation in SCENARIO.struck(crash, calls):
        assert simulation.settles("demo") is Status.FAILED, call
        stage: Stage = simulation.record("demo").stage("rft")
        assert "reward_collapse" in (stage.reason or "")
        assert len(lines(simulation, "rft reward_collapse")) == 1
        assert simulation.run(lambda: True) or warnings(simulation)
        assert set(warnings(simulation)) == {"Novaloop: demo rft: reward collapse"}
        simulation.check("demo")


@pytest.mark.parametrize("seed", range(10))
def test_rough_weather(seed: int) -> None:
    simulation = simulate("collapses", ROUGH, seed)
    simulation.submit("demo", SPEC + STOP)
    status = simulation.settles("demo")
    simulation.passes(timedelta(hours=3))
    health = simulation.record("demo").stage("rft").attempt.health
    assert [note.kind for note in health] == [HealthKind.REWARD_COLLAPSE]
    assert warnings(simulation)
    assert status in {Status.FAILED, Status.COMPLETED}
    simulation.check("demo")


def test_an_ill_of_attempt_after_attempt_is_told_once() -> None:
    """What is lost to capacity trains anew, by the same data and settings, with the same ill."""
    simulation = Simulation(
        fate=lambda name: (
            "no capacity" if "rft" in name and int(name.rpartition("-")[2]) < 6 else "completes"
        ),
        course=lambda name: "collapses" if "rft" in name else "healthy",
    )
    simulation.submit("demo", SPEC + b"plan: [sft, rft]\n")
    assert simulation.settles("demo") is Status.COMPLETED
    stage = simulation.record("demo").stages[-1]
    assert (stage.attempt.number, bool(stage.attempt.health)) == (6, True)
    warned = [subject for subject, _ in simulation.notifier.messages if "collapse" in subject]
    assert len(warned) == 1
    simulation.command("demo", CommandKind.RETRY, stage="rft")
    assert simulation.reaches("demo", Status.RUNNING)
    assert simulation.settles("demo") is Status.COMPLETED
    warned = [subject for subject, _ in simulation.notifier.messages if "collapse" in subject]
    assert len(warned) == 2, "whoever has it run again is told again"
