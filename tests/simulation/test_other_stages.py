"""Preferences, benchmarks and the reward function's evaluation, in a world that goes wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest

from novaloop.experiment.record import ScoreItem, Status
from tests.simulation.simulation import SPEC, Chaos, Simulation
from tests.simulation.twins import questions_csv

PLAN = (
    SPEC
    + b"""
model: nova-lite
plan:
  - evaluate: {name: known-before, task: mmlu}
  - sft: {validation: true, overrides: {global_batch_size: 16}}
  - dpo: {overrides: {global_batch_size: 16}}
  - evaluate: {name: rewarded, task: rft_eval}
  - evaluate: {name: known-after, task: mmlu}
  - deploy
"""
)
GATE = b"gate: {metric: accuracy, at_least: %s, better_than: known-before}\n"


def submitted(spec: bytes, chaos: Chaos | None = None, seed: int = 0) -> Simulation:
    simulation = Simulation(seed, chaos or Chaos())
    simulation.upload("demo", "experiment.yaml", spec)
    for number, (role, rows) in enumerate({"sft": 70, "eval": 24, "validation": 20}.items()):
        simulation.upload("demo", f"{role}.csv", questions_csv(rows, number))
    pairs = "".join(f"question {row},HQ,LQ_EDIT\n" for row in range(40))
    simulation.upload("demo", "dpo.csv", b"Body,preferred,rejected\n" + pairs.encode())
    return simulation


@pytest.mark.parametrize("seed", range(4))
def test_it_goes_live_whatever_is_lost_doubled_late_or_crashes(seed: int) -> None:
    chaos = Chaos(duplicated=0.3, lost=0.3, delayed=0.3, crash=0.05)
    simulation = submitted(PLAN, chaos, seed)
    assert simulation.settles("demo") is Status.LIVE
    simulation.check("demo")
    launched = simulation.jobs.launches
    assert len(launched) == len(set(launched)) == 5
    requests = {name: job.request for name, job in simulation.jobs.jobs.items()}
    sft, dpo, after = (
        requests[f"novaloop-demo--{stage}-1"] for stage in ("sft", "dpo", "known-after")
    )
    assert [c["ChannelName"] for c in sft["InputDataConfig"]] == ["train", "validation", "recipe"]
    assert "--sft-1/" in dpo["HyperParameters"]["base_model_location"]
    assert "--dpo-1/" in after["HyperParameters"]["base_model_location"]
    assert [c["ChannelName"] for c in after["InputDataConfig"]] == ["recipe"]


@pytest.mark.parametrize(("level", "verdict"), [(b"0.5", "INCONCLUSIVE"), (b"0.7", "HOLD")])
def test_the_gate_goes_by_the_benchmark(level: bytes, verdict: str) -> None:
    simulation = submitted(PLAN + GATE % level)
    assert simulation.settles("demo") is Status.HELD
    record = simulation.record("demo")
    assert record.gate is not None
    assert record.gate.verdict == verdict
    assert "+0.0000, p = 0.5000" in record.gate.summary
    assert record.stage("known-after").metrics == {"accuracy": 0.6}


def test_a_score_knows_the_earlier_one_of_its_task() -> None:
    simulation = submitted(PLAN)
    assert simulation.settles("demo") is Status.LIVE
    scores = simulation.store.load("demo").scores
    found: ScoreItem = scores["known-after", 1]
    assert found.rows_key is None
    assert set(found.score["changes"]) == {"known-before"}
    assert scores["rewarded", 1].score["changes"] == {}


def test_what_a_plan_needs_is_named_while_it_is_missing() -> None:
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    simulation.run(lambda: False, timedelta(hours=1))
    record = simulation.record("demo")
    assert record.status is Status.COLLECTING
    assert record.reason == "waiting for dpo.csv, validation.csv"
