"""Answers that were recorded anywhere are scored without a job, and stand in the gate."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest

from novaloop.experiment.record import CommandKind, StageState, Status
from novaloop.reports.content import report
from tests.simulation.simulation import ROUGH, SPEC, Chaos, Crashes, Simulation
from tests.simulation.twins import questions_csv

PLAN = SPEC + b"plan: [evaluate: {name: old, recorded: old.jsonl}, sft, evaluate: new, deploy]\n"
GATE = b"gate: {better_than: old}\n"
EVAL = questions_csv(24, 2)
ROWS = list(csv.DictReader(io.StringIO(EVAL.decode(), newline="")))
SOON = timedelta(minutes=5)


def answers(*, right: int = 0, by: str = "question") -> bytes:
    """Return an answer to each evaluation row, of which the first so many are right."""
    names = {"question": "Body", "id": "Id"}
    lines = [
        {by: row[names[by]], "answer": row["Y"] if number < right else "none of them"}
        for number, row in enumerate(ROWS)
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def submitted(
    recorded: bytes | None, spec: bytes = PLAN + GATE, chaos: Chaos | None = None, seed: int = 0
) -> Simulation:
    simulation = Simulation(seed, chaos or Chaos())
    if recorded is not None:
        simulation.upload("demo", "old.jsonl", recorded)
    simulation.upload("demo", "experiment.yaml", spec)
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    simulation.upload("demo", "eval.csv", EVAL)
    return simulation


@pytest.mark.parametrize("seed", range(3))
def test_they_are_scored_whatever_is_lost_doubled_late_or_crashes(seed: int) -> None:
    simulation = submitted(answers(right=3), chaos=ROUGH, seed=seed)
    assert simulation.settles("demo") is Status.LIVE, simulation.record("demo").reason
    simulation.check("demo")
    old = simulation.record("demo").stage("old")
    assert old.state is StageState.SUCCEEDED
    assert old.metrics["exact_match"].value == 3 / 24
    assert old.attempt.job_name is None
    assert not any("-old-" in name for name in simulation.jobs.launches)
    gate = simulation.record("demo").gate
    assert gate is not None
    assert gate.why.startswith("exact_match better than old: +")


def alone(crashes: Crashes | None = None) -> Simulation:
    """Submit a plan that has nothing but the evaluation of recorded answers."""
    simulation = Simulation(crashes=crashes)
    simulation.upload("demo", "old.jsonl", answers(right=3))
    plan = SPEC + b"plan: [evaluate: {name: old, recorded: old.jsonl}]\n"
    simulation.upload("demo", "experiment.yaml", plan)
    simulation.upload("demo", "eval.csv", EVAL)
    return simulation


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_crash_at_any_call_changes_nothing(*, after_effect: bool) -> None:
    undisturbed = alone()
    assert undisturbed.settles("demo") is Status.COMPLETED
    for at in range(len(undisturbed.crashes.calls)):
        simulation = alone(Crashes(at=at, after_effect=after_effect))
        assert simulation.settles("demo") is Status.COMPLETED, simulation.record("demo").reason
        assert simulation.record("demo").stage("old").metrics["exact_match"].value == 3 / 24
        assert not simulation.jobs.launches


def test_a_model_that_is_worse_than_what_was_recorded_is_held() -> None:
    gate = b"gate: {not_worse_than: old, margin: 0.01}\n"
    simulation = submitted(answers(right=24), PLAN + gate)
    assert simulation.settles("demo") is Status.HELD
    verdict = simulation.record("demo").gate
    assert verdict is not None
    assert "not worse than old by 0.01" in verdict.why


def test_answers_are_found_by_id_in_any_order_and_in_csv() -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["Id", "answer"])
    table.writerows((row["Id"], row["Y"]) for row in reversed(ROWS))
    spec = (
        (PLAN + GATE).replace(b"old.jsonl", b"old.csv").replace(b"{question", b"{id: Id, question")
    )
    simulation = Simulation()
    simulation.submit("demo", spec)
    simulation.upload("demo", "eval.csv", EVAL)
    simulation.passes(SOON)
    assert "waiting for old.csv" in simulation.record("demo").reason
    simulation.upload("demo", "old.csv", text.getvalue().encode())
    assert simulation.settles("demo") is Status.HELD
    assert simulation.record("demo").stage("old").metrics["exact_match"].value == 1


@pytest.mark.parametrize(
    ("recorded", "says"),
    [
        (b'{"question": "q"}\n', "old.jsonl: has no field answer"),
        (b'{"answer": "q"}\n', "old.jsonl: has neither a field id nor a field question"),
        (
            b'{"question": "q", "answer": ["x"]}\n',
            "old.jsonl line 1: a list or an object as answer",
        ),
        (b"no json\n", "old.jsonl line 1: is no valid JSON"),
        (b'\n{"question": "q", "answer": "a"}\nx\n', "old.jsonl line 3: is no valid JSON"),
        (answers().split(b"\n", 1)[1], "old.jsonl: has no answer with the question of row 1 of"),
        (answers() + answers().split(b"\n")[4] + b"\n", "old.jsonl: line 25: field question: more"),
        (answers(by="id"), "old.jsonl: finds the evaluation rows by id, and these have none"),
    ],
)
def test_bad_answers_are_refused_before_anything_is_launched(recorded: bytes, says: str) -> None:
    simulation = submitted(recorded)
    assert simulation.settles("demo") is Status.REJECTED
    reason = simulation.record("demo").reason
    assert says in reason
    assert "a second line" not in reason, "text of the data"
    assert not simulation.jobs.launches
    simulation.upload("demo", "old.jsonl", answers(right=3))
    assert simulation.reaches("demo", Status.LIVE), simulation.record("demo").reason


def test_the_rows_that_changed_against_recorded_answers_are_kept_for_the_report() -> None:
    simulation = submitted(answers(right=3))
    assert simulation.settles("demo") is Status.LIVE
    flips = json.loads(simulation.objects.get("scores/demo/new-1-flips.json").read())
    assert len(flips["old"]["improved"]) > 5
    assert flips["old"]["improved"][0]["before"] == "none of them"


def test_the_report_has_them_beside_the_answers_of_the_model() -> None:
    simulation = submitted(answers(right=3))
    assert simulation.settles("demo") is Status.LIVE
    snapshot = simulation.store.load("demo")
    content = report(simulation.record("demo"), snapshot.scores, datasets=snapshot.datasets)
    old = content["stages"][0]
    assert (old["name"], old["job_name"], old["image"], old["instances"]) == ("old", None, None, 0)
    assert [each["stage"] for each in content["evaluations"]] == ["old", "new"]
    score = content["evaluations"][0]["score"]
    assert score is not None
    assert not any("reported no metrics" in note for note in score["notes"])


def test_answers_to_what_is_not_asked_are_left_out_and_told() -> None:
    more = b'{"question": "of last year", "answer": "HQ"}\n'
    simulation = submitted(more + answers(right=3))
    assert simulation.settles("demo") is Status.LIVE
    (item,) = (
        each for each in simulation.store.load("demo").scores.values() if each.stage == "old"
    )
    assert "1 answer is to no evaluation row, and left out" in item.score["notes"]
    assert item.score["n"] == 24


def test_a_retry_scores_them_anew() -> None:
    simulation = submitted(answers(right=24))
    assert simulation.settles("demo") is Status.HELD
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.command("demo", CommandKind.RETRY, stage="old")
    assert simulation.reaches("demo", Status.HELD)
    old = simulation.record("demo").stage("old")
    assert old.attempt.number == 2
    assert old.state is StageState.SUCCEEDED


def test_it_can_be_stopped_while_they_are_scored() -> None:
    simulation = submitted(answers())
    simulation.request_score = lambda *_: None  # type: ignore[method-assign]
    assert simulation.run(
        lambda: (
            (record := simulation.store.load("demo").record) is not None
            and record.stages != ()
            and record.stage("old").state is StageState.SCORING
        )
    )
    simulation.command("demo", CommandKind.STOP)
    assert simulation.settles("demo") is Status.STOPPED
    assert simulation.record("demo").stage("old").state is StageState.STOPPED
    simulation.check("demo")


def test_other_answers_can_not_be_given_to_a_retry() -> None:
    simulation = submitted(answers(right=24))
    assert simulation.settles("demo") is Status.HELD
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    changed = (PLAN + GATE).replace(b"old.jsonl", b"newer.jsonl").decode()
    simulation.command("demo", CommandKind.RETRY, stage="old", spec=changed)
    simulation.passes(SOON)
    assert simulation.record("demo").status is Status.STOPPED
    told = "\n".join(entry.why for entry in simulation.store.history("demo"))
    assert "recorded: can't be changed after the start" in told
