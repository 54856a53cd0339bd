"""Preferences, benchmarks and the reward function's evaluation, in a world that goes wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from novaloop.experiment.record import ScoreItem, Status
from novaloop.store.serialisation import record_values
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
        requests[f"novaloop-demo--0000-{stage}-1"] for stage in ("sft", "dpo", "known-after")
    )
    assert [c["ChannelName"] for c in sft["InputDataConfig"]] == ["train", "validation", "recipe"]
    assert "-sft-1/" in dpo["HyperParameters"]["base_model_location"]
    assert "-dpo-1/" in after["HyperParameters"]["base_model_location"]
    assert [c["ChannelName"] for c in after["InputDataConfig"]] == ["recipe"]


@pytest.mark.parametrize(("level", "verdict"), [(b"0.5", "INCONCLUSIVE"), (b"0.7", "HOLD")])
def test_the_gate_goes_by_the_benchmark(level: bytes, verdict: str) -> None:
    simulation = submitted(PLAN + GATE % level)
    assert simulation.settles("demo") is Status.HELD
    record = simulation.record("demo")
    assert record.gate is not None
    assert record.gate.verdict == verdict
    assert "+0.0000 (-0.1386 to +0.1386), p = 1.0000" in record.gate.why
    simulation.passes(timedelta(minutes=10))
    told = json.dumps(record_values(simulation.record("demo")))
    assert record_values(simulation.record("demo"))["notified"].startswith("HELD ")
    assert told.count(record.gate.why) == 1, "the record says it once"
    assert record.stage("known-after").metrics["accuracy"].value == 0.6


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
    simulation.passes(timedelta(hours=1))
    record = simulation.record("demo")
    assert record.status is Status.COLLECTING
    assert record.reason == (
        "waiting for dpo.csv, validation.csv; rft.csv is there, but not used: no stage of the plan "
        "uses it"
    )


def test_an_experiment_goes_on_from_another_ones_checkpoint_once_there_is_one() -> None:
    simulation = Simulation()
    simulation.submit("first")
    later = b"checkpoint: first/sft\nplan: [{evaluate: {name: known, task: mmlu}}, rft, deploy]\n"
    simulation.submit("second", SPEC + later)
    assert simulation.reaches("first", Status.RUNNING)
    assert simulation.record("second").status is Status.COLLECTING
    assert simulation.settles("first") is Status.LIVE
    assert simulation.reaches("second", Status.LIVE)
    record = simulation.record("second")
    assert record.base_checkpoint == simulation.record("first").stage("sft").checkpoint
    for stage in ("known", "rft"):
        job = simulation.jobs.jobs[f"novaloop-second--0000-{stage}-1"]
        assert job.request["HyperParameters"]["base_model_location"] == record.base_checkpoint


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [
        (b"nobody/sft", "no experiment is called nobody"),
        (b"first/baseline", "first/baseline is no training"),
        (b"first/rft", "was reinforcement, which only reinforcement can follow"),
    ],
)
def test_a_checkpoint_that_can_not_be_is_refused(checkpoint: bytes, says: str) -> None:
    simulation = Simulation()
    simulation.submit("first")
    assert simulation.settles("first") is Status.LIVE
    simulation.submit("second", SPEC + b"checkpoint: " + checkpoint + b"\nplan: [sft]\n")
    assert simulation.settles("second") is Status.REJECTED
    assert says in simulation.record("second").reason


def test_a_checkpoint_that_will_never_be_is_refused() -> None:
    simulation = Simulation(fate=lambda name: "fails" if "first--0000-sft" in name else "completes")
    simulation.submit("first")
    assert simulation.settles("first") is Status.FAILED
    simulation.submit("second", SPEC + b"checkpoint: first/sft\nplan: [rft]\n")
    assert simulation.settles("second") is Status.REJECTED
    assert "first is FAILED and sft has no checkpoint" in simulation.record("second").reason


def test_a_plan_without_any_dataset_starts_by_its_spec_alone() -> None:
    checkpoint = b"checkpoint: s3://customer-escrow-1-smtj-x/earlier/40\n"
    plan = b"plan: [{evaluate: {name: known, task: mmlu}}, deploy]\n"
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", checkpoint + plan)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").datasets == {}


def test_a_judge_may_be_asked_about_the_questions_of_the_evaluation() -> None:
    simulation = Simulation()
    plan = b"plan: [evaluate: base, evaluate: {name: judged, task: rubric_llm_judge}]\n"
    simulation.upload("demo", "experiment.yaml", SPEC + plan)
    simulation.upload("demo", "eval.csv", questions_csv(24, 1))
    rows = questions_csv(24, 1).replace(b"Id,Body,Y", b"response_A,Body,response_B")
    simulation.upload("demo", "llm-judge.csv", rows)
    assert simulation.settles("demo") is Status.COMPLETED, simulation.record("demo").reason


def test_a_processor_that_the_stack_does_not_name_launches_nothing() -> None:
    function = "arn:aws:lambda:us-east-1:123456789012:function:my-SageMaker-scorer"
    simulation = Simulation()
    plan = f"plan: [evaluate: {{name: a, processor: '{function}'}}]\n"
    simulation.submit("demo", SPEC + plan.encode())
    assert simulation.settles("demo") is Status.REJECTED
    reason = simulation.record("demo").reason
    assert reason.startswith("experiment.yaml: plan[0].evaluate.processor: ")
    assert "parameter ProcessorFunctionArns" in reason
    assert not simulation.jobs.launches


def test_a_reward_function_that_the_stack_does_not_name_launches_nothing() -> None:
    function = "arn:aws:lambda:us-east-1:123456789012:function:my-SageMaker-reward"
    simulation = Simulation()
    simulation.submit("demo", SPEC + f"reward: {{function: '{function}'}}\n".encode())
    assert simulation.settles("demo") is Status.REJECTED
    reason = simulation.record("demo").reason
    assert reason.startswith("experiment.yaml: reward.function: ")
    assert "parameter RewardFunctionArns" in reason
    assert not simulation.jobs.launches


def test_a_reward_that_no_row_can_earn_launches_nothing() -> None:
    simulation = Simulation()
    simulation.submit("demo", SPEC + b"reward: {type: numeric}\n")
    assert simulation.settles("demo") is Status.REJECTED
    assert "`Y` can never earn the reward: " in simulation.record("demo").reason
    assert not simulation.jobs.launches


def test_all_that_the_stack_does_not_name_is_told_at_once() -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/tools:v1"
    function = "arn:aws:lambda:us-east-1:123456789012:function:my-SageMaker-scorer"
    simulation = Simulation()
    plan = f"plan: [sft: {{image: '{image}'}}, evaluate: {{name: a, processor: '{function}'}}]\n"
    simulation.submit("demo", SPEC + plan.encode())
    assert simulation.settles("demo") is Status.REJECTED
    reason = simulation.record("demo").reason
    assert "plan[0].sft.image: " in reason
    assert "plan[1].evaluate.processor: " in reason


def test_an_image_that_the_stack_does_not_name_launches_nothing() -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/tools:v1"
    simulation = Simulation()
    simulation.submit("demo", SPEC + f"plan: [sft: {{image: '{image}'}}]\n".encode())
    assert simulation.settles("demo") is Status.REJECTED
    told = f"plan[0].sft.image: {image!r} is from a repository that the stack does not name"
    assert told in simulation.record("demo").reason
    assert not simulation.jobs.launches


@pytest.mark.parametrize(
    ("region", "spec", "told"),
    [
        ("eu-north-1", SPEC, "plan[0].evaluate: Nova images are not published in eu-north-1"),
        ("eu-north-1", b"runtime: bedrock\n" + SPEC, "plan[0].sft: Bedrock customizes Nova in"),
        (
            "us-west-2",
            SPEC + b"plan: [sft, deploy: {to: bedrock-on-demand}]\n",
            "plan[1].deploy: bedrock-on-demand serves Nova in",
        ),
    ],
)
def test_what_the_region_does_not_have_launches_nothing(
    region: str, spec: bytes, told: str
) -> None:
    simulation = Simulation()
    stack_config = simulation.world.stack_config
    there = replace(stack_config, deployment=replace(stack_config.deployment, region=region))
    simulation.world = replace(simulation.world, stack_config=there)
    simulation.submit("demo", spec)
    assert simulation.settles("demo") is Status.REJECTED
    assert told in simulation.record("demo").reason
    assert not simulation.jobs.launches


def test_rows_of_a_later_stage_that_were_deleted_are_told_by_their_key() -> None:
    """An RFT's rows and those that it is validated by are joined into one file."""
    simulation = Simulation()
    simulation.submit("demo", SPEC + b"plan: [sft, rft]\n")
    assert simulation.run(lambda: bool(simulation.jobs.launches), timedelta(hours=1))
    keys = [key for key, _ in simulation.objects.uploads("datasets/")]
    for key in keys:
        del simulation.objects._versions[key]
    assert simulation.reaches("demo", Status.FAILED)
    reason = simulation.record("demo").reason
    assert "datasets/demo/" in reason
    assert "was deleted" in reason
    simulation.check("demo")
