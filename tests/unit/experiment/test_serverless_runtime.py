"""Runtime serverless: what it refuses at its field, what it sends, and that it has no price."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.planning import ExperimentPlan, plan_experiment
from novaloop.experiment.record import DatasetRef, Record
from novaloop.experiment.runtimes.registry import runtime_of
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import (
    RFT_OVERRIDES,
    SFT_OVERRIDES,
    EvaluateStage,
    RftStage,
    Runtime,
    SftStage,
)
from novaloop.experiment.stack import StackConfig
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid
from novaloop.recipes.jobs import Deployment
from novaloop.recipes.serverless import serverless
from tests.unit.recipes.wire import assert_valid

OWN = "arn:aws:sagemaker:us-east-1:123456789012"
REWARD = "arn:aws:lambda:us-east-1:123456789012:function:novaloop-SageMaker-reward"
SITE = StackConfig(
    "application-bucket",
    Deployment("us-east-1", "arn:aws:iam::123456789012:role/Nova", REWARD),
)
DATASETS = {
    role: DatasetRef("v1", "0" * 64, 100, {row_format: f"datasets/demo/{role}/1/{row_format}"})
    for role, row_format in (("sft", "sft"), ("rft", "rft"), ("eval", "evaluation"))
}
DATASETS["sft"] = replace(
    DATASETS["sft"], outputs={"sft": "datasets/demo/sft/1/s", "rft": "datasets/demo/sft/1/r"}
)


def spec(text: str = "") -> ExperimentSpec:
    return read_spec(f"runtime: serverless\n{text}".encode())


def refusals(text: str) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        spec(text)
    return dict(line.split(": ", 1) for line in map(str, refused.value.problems))


def planned(chosen: ExperimentSpec) -> ExperimentPlan:
    record = Record("demo", chosen, datetime(2026, 1, 5, tzinfo=UTC), datasets=DATASETS)
    return plan_experiment(record, SITE, packaged_prices())


def requests(plan: ExperimentPlan) -> list[tuple[str, str, Any]]:
    return [
        (stage.name, request.operation, request.parameters)
        for stage in plan.stages
        for request in stage.requests
    ]


def test_everything_that_it_would_drop_is_refused_at_its_field_and_at_once() -> None:
    refused = refusals(
        """
budget_usd: 100
checkpoint: s3://customer-escrow-123456789012-smtj-a/job/step_9
plan:
  - evaluate: {name: baseline, instances: 1, overrides: {max_new_tokens: 50}}
  - sft: {instance_type: ml.p5.48xlarge, overrides: {lr: 7, weight_decay: 0.1}}
  - rft: {overrides: {number_generation: 4, save_steps: 5, nonsense: 1}}
"""
    )
    assert refused.keys() == {
        "budget_usd",
        "checkpoint",
        "plan[0].evaluate.instances",
        "plan[0].evaluate.overrides.max_new_tokens",
        "plan[1].sft.instance_type",
        "plan[1].sft.overrides.lr",
        "plan[1].sft.overrides.weight_decay",
        "plan[2].rft.overrides.number_generation",
        "plan[2].rft.overrides.nonsense",
    }
    assert "billed by tokens" in refused["budget_usd"]
    assert "model package ARN" in refused["checkpoint"]
    assert "chooses the machines" in refused["plan[1].sft.instance_type"]
    assert "would drop it" in refused["plan[2].rft.overrides.number_generation"]


def test_full_rank_is_refused_at_peft() -> None:
    refused = refusals("plan: [{rft: {peft: full, overrides: {save_steps: 5}}}]")
    assert refused.keys() == {"plan[0].rft.peft"}
    assert "runtime serverless has no rft-full" in refused["plan[0].rft.peft"]


def test_a_model_that_it_lacks_is_refused_once() -> None:
    assert refusals("model: nova-pro\nplan: [{evaluate: a}, sft, {evaluate: b}]").keys() == {
        "model"
    }


def test_the_default_plan_keeps_the_settings_that_reach_the_job() -> None:
    plan = {stage.name: stage for stage in spec().plan}
    sft, rft = plan["sft"], plan["rft"]
    assert isinstance(sft, SftStage)
    assert isinstance(rft, RftStage)
    assert sft.overrides == SFT_OVERRIDES
    dropped = RFT_OVERRIDES.keys() - rft.overrides.keys()
    assert dropped == {
        *("number_generation", "max_new_tokens", "kl_loss_coef"),
        *("temperature", "ent_coeff", "top_k"),
    }
    assert [stage.name for stage in spec().plan] == [stage.name for stage in read_spec(b"").plan]


def test_the_documented_settings_are_those_that_reach_the_job() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "runtimes.md").read_text(encoding="utf-8")
    section = page.partition("## Settings that reach a serverless job")[2].partition("\n## ")[0]
    table = re.findall(r"^\| `(sft|rft|evaluate)` \| (.+) \|$", section, re.M)
    documented = {stage: re.findall(r"`(\w+)`", names) for stage, names in table}
    methods = {"sft": "sft-lora", "rft": "rft-lora", "evaluate": "gen_qa"}
    assert documented == {
        stage: list(serverless().methods[method].hyperparameters)
        for stage, method in methods.items()
    }


def test_only_settings_that_reach_the_job_count_as_its_settings() -> None:
    assert (
        runtime_of(spec()).settings(spec(), RftStage(overrides={"max_steps": 7}))["max_steps"] == 7
    )
    assert "max_new_tokens" not in runtime_of(spec()).settings(spec(), RftStage())
    assert "max_new_tokens" in runtime_of(read_spec(b"")).settings(
        read_spec(b""), EvaluateStage(name="a")
    )


def test_the_plan_is_what_will_be_sent() -> None:
    told = requests(planned(spec()))
    assert [(name, operation) for name, operation, _ in told[:-3]] == [
        ("baseline", "CreateTrainingJob"),
        ("sft", "CreateModelPackageGroup"),
        ("sft", "CreateTrainingJob"),
        ("after-sft", "CreateModelPackageGroup"),
        ("after-sft", "CreateTrainingJob"),
        ("rft", "CreateModelPackageGroup"),
        ("rft", "CreateHub"),
        ("rft", "ImportHubContent"),
        ("rft", "CreateTrainingJob"),
        ("after-rft", "CreateModelPackageGroup"),
        ("after-rft", "CreateTrainingJob"),
    ]
    for _, operation, parameters in told:
        assert_valid("sagemaker", operation, parameters)


def test_models_chain_by_package_and_the_reward_is_an_evaluator() -> None:
    told = requests(planned(spec()))
    jobs = {name: body for name, operation, body in told if operation == "CreateTrainingJob"}
    package = f"{OWN}:model-package/novaloop-demo"
    sources = {
        name: job.get("ModelPackageConfig", {}).get("SourceModelPackageArn")
        for name, job in jobs.items()
    }
    assert sources == {
        "baseline": None,
        "sft": None,
        "after-sft": f"{package}/1",
        "rft": f"{package}/1",
        "after-rft": f"{package}/2",
    }
    (content,) = (body for _, operation, body in told if operation == "ImportHubContent")
    name, version = content["HubContentName"], content["HubContentVersion"]
    evaluator = f"{OWN}:hub-content/novaloop-evaluators/JsonDoc/{name}/{version}"
    assert jobs["rft"]["ServerlessJobConfig"]["EvaluatorArn"] == evaluator
    document = json.loads(content["HubContentDocument"])
    wrapped = json.loads(document["JsonContent"])
    assert document["SubType"] == "AWS/Evaluator"
    assert wrapped == {"Reference": REWARD, "EvaluatorType": "RewardFunction"}


def test_another_function_is_another_evaluator() -> None:
    def name_of(function: str) -> str:
        stack_config = replace(
            SITE, deployment=replace(SITE.deployment, reward_function_arn=function)
        )
        record = Record("demo", spec(), datetime(2026, 1, 5, tzinfo=UTC), datasets=DATASETS)
        told = requests(plan_experiment(record, stack_config, packaged_prices()))
        (name,) = {body["HubContentName"] for _, op, body in told if op == "ImportHubContent"}
        return str(name)

    assert name_of(REWARD) == name_of(REWARD) != name_of(f"{REWARD}-2")


def test_a_package_of_another_experiment_is_evaluated_in_a_group_that_exists() -> None:
    start = f"{OWN}:model-package/others/3"
    told = requests(planned(spec(f"checkpoint: {start}\nplan: [{{evaluate: a}}]")))
    assert [operation for _, operation, _ in told] == [
        "CreateModelPackageGroup",
        "CreateTrainingJob",
    ]
    assert told[1][2]["ModelPackageConfig"] == {
        "ModelPackageGroupArn": f"{OWN}:model-package-group/novaloop-demo",
        "SourceModelPackageArn": start,
    }


def test_a_supervised_job_validates_by_rows_of_its_own() -> None:
    chosen = spec("plan: [{sft: {validation: true, overrides: {val_check_interval: 5}}}]")
    validation = replace(DATASETS["sft"], outputs={"sft": "datasets/demo/validation/1/s"})
    record = Record("demo", chosen, datetime(2026, 1, 5, tzinfo=UTC))
    record = replace(record, datasets={**DATASETS, "validation": validation})
    (*_, (_, _, job)) = requests(plan_experiment(record, SITE, packaged_prices()))
    channels = {
        each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"]
        for each in job["InputDataConfig"]
    }
    assert channels == {
        "train": "s3://application-bucket/datasets/demo/sft/1/s",
        "validation": "s3://application-bucket/datasets/demo/validation/1/s",
    }
    late = refusals("plan: [{sft: {validation: true, overrides: {val_check_interval: 500}}}]")
    assert late.keys() == {"plan[0].sft.validation"}


def test_its_cost_is_unknown_and_no_quota_is_needed_but_the_endpoints() -> None:
    plan = planned(spec())
    assert plan.cost is None
    jobs = [stage for stage in plan.stages if stage.method != "endpoint"]
    assert {(stage.instance_type, stage.instances, stage.cost) for stage in jobs} == {
        (None, 0, None)
    }
    assert [quota.name for quota in plan.quotas] == ["ml.p5.48xlarge for endpoint usage"]


def test_a_training_job_keeps_its_price_and_its_one_request() -> None:
    plan = planned(read_spec(b"plan: [sft]"))
    assert plan.cost is not None
    assert [operation for _, operation, _ in requests(plan)] == ["CreateTrainingJob"]
    assert read_spec(b"").runtime is Runtime.TRAINING_JOB
