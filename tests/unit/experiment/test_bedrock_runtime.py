"""What `experiment.yaml` may ask of Bedrock, what is refused, and what would be requested."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from novaloop.experiment.controller.intake import check_row_counts
from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.planning import ExperimentPlan, plan_experiment
from novaloop.experiment.record import DatasetItem, DatasetRef, DatasetStatus, Record
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.stack import StackConfig
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid
from novaloop.recipes.jobs import Deployment
from tests.unit.recipes.wire import assert_valid

EXECUTION, IMPORT = (f"arn:aws:iam::123456789012:role/{name}" for name in ("jobs", "bedrock"))
REWARD = "arn:aws:lambda:us-east-1:123456789012:function:novaloop-SageMaker-reward"
SITE = StackConfig("bucket", Deployment("us-east-1", EXECUTION, REWARD), bedrock_role_arn=IMPORT)
DATASETS = {
    role: DatasetRef("v1", "0" * 64, 400, {key: f"datasets/demo/{role}/{key}.jsonl"})
    for role, key in {"sft": "sft", "rft": "rft", "eval": "evaluation"}.items()
}
TRAINED = "runtime: bedrock\n"


def planned(text: str, stack_config: StackConfig = SITE) -> ExperimentPlan:
    spec = read_spec(text.encode())
    record = Record("demo", spec, datetime(2026, 1, 5, tzinfo=UTC), datasets=DATASETS)
    return plan_experiment(record, stack_config, packaged_prices())


def requests(plan: ExperimentPlan) -> list[tuple[str, Any]]:
    return [(each.operation, each.parameters) for stage in plan.stages for each in stage.requests]


def refusals(text: str) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        read_spec(text.encode())
    return dict(line.partition(": ")[::2] for line in map(str, caught.value.problems))


@pytest.mark.parametrize(
    ("to", "operation"),
    [
        ("bedrock-on-demand", "CreateCustomModelDeployment"),
        ("bedrock-provisioned, model_units: 2", "CreateProvisionedModelThroughput"),
    ],
)
def test_a_checkpoint_is_imported_with_bedrocks_role_then_deployed(to: str, operation: str) -> None:
    plan = planned(f"plan: [sft, deploy: {{to: {to}}}]")
    (_, (first, imported), (second, deployed)) = requests(plan)
    assert (first, second) == ("CreateCustomModel", operation)
    for each in ((first, imported), (second, deployed)):
        assert_valid("bedrock", *each)
    assert imported["roleArn"] == IMPORT
    assert imported["modelName"] == "novaloop-demo_0000-deploy-1"
    assert imported["clientRequestToken"] == deployed["clientRequestToken"]
    tags = {tag["key"]: tag["value"] for tag in deployed["tags"]}
    assert tags == {
        "novaloop:experiment": "demo",
        "novaloop:stage": "deploy-1",
        "novaloop:prefix": "novaloop",
    }
    assert plan.cost is None


def test_the_default_plan_there_is_one_training_and_its_deployment() -> None:
    (training, deployment) = requests(planned(TRAINED))
    assert training[0] == "CreateModelCustomizationJob"
    assert_valid("bedrock", *training)
    assert training[1]["jobName"] == "novaloop-demo--0000-sft-1"
    assert training[1]["customModelName"] == "novaloop-demo_0000-sft-1"
    assert training[1]["roleArn"] == IMPORT
    assert deployment[0] == "CreateCustomModelDeployment"
    assert ":custom-model/amazon.nova-2-lite-v1:0:256k/" in deployment[1]["modelArn"]
    assert_valid("bedrock", *deployment)


def test_reinforcement_is_graded_by_the_reward_function() -> None:
    spec = "plan: [rft: {include_sft_rows: false, overrides: {batchSize: 64}}]"
    plan = planned(f"{TRAINED}reward: {{type: exact}}\n{spec}")
    ((_, request),) = requests(plan)
    settings = request["customizationConfig"]["rftConfig"]
    assert settings["graderConfig"] == {"lambdaGrader": {"lambdaArn": REWARD}}
    assert settings["hyperParameters"]["batchSize"] == 64


@pytest.mark.parametrize(
    ("plan", "path", "says"),
    [
        ("[evaluate: baseline, sft]", "plan[0].evaluate", "no evaluation"),
        ("[sft: {instances: 4}]", "plan[0].sft.instances", "would ignore it"),
        ("[sft: {instance_type: ml.p5.48xlarge}]", "plan[0].sft.instance_type", "ignore it"),
        ("[sft: {max_runtime_seconds: 900}]", "plan[0].sft.max_runtime_seconds", "ignore it"),
        ("[sft: {stop_on: [loss_divergence]}]", "plan[0].sft.stop_on", "ignore it"),
        ("[sft: {validation: true}]", "plan[0].sft.validation", "not sent to Bedrock"),
        ("[sft: {peft: full}]", "plan[0].sft.peft", "Bedrock has no sft-full"),
        ("[dpo]", "plan[0].dpo", "Bedrock has no dpo-lora"),
        ("[sft: {overrides: {lr: 1.0e-5}}]", "plan[0].sft.overrides.lr", "learningRate"),
        ("[sft: {overrides: {epochCount: 9}}]", "plan[0].sft.overrides.epochCount", "5"),
        ("[sft, rft]", "plan[1].rft", "from the base model"),
        ("[sft, deploy]", "plan[1].deploy.to", "only Bedrock serves"),
    ],
)
def test_what_bedrock_would_drop_is_refused_by_its_path(plan: str, path: str, says: str) -> None:
    found = refusals(f"{TRAINED}reward: {{type: exact}}\nplan: {plan}")
    assert found.keys() == {path}
    assert says in found[path]


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        (
            f"{TRAINED}model: nova-pro\nreward: {{type: exact}}\nplan: [rft]",
            "plan[0].rft",
            "rft-lora on nova-lite-2",
        ),
        (f"{TRAINED}checkpoint: s3://customer-escrow-1-smtj-x/job/9", "checkpoint", "base model"),
        (f"{TRAINED}budget_usd: 10", "budget_usd", "runtime bedrock are billed by tokens"),
        ("runtime: hyperpod", "runtime", "use runtime training-job"),
        ("runtime: batch", "runtime", "training-job, serverless, bedrock"),
        ("plan: [rft-multiturn: {}]", "plan[0]", "multi-turn reinforcement is refused"),
        ("plan: [sft, deploy: {to: lambda}]", "plan[1].deploy.to", "bedrock-on-demand"),
        (
            "budget_usd: 10\nplan: [sft, deploy: {to: bedrock-on-demand}]",
            "plan[1].deploy.to",
            "no price of bedrock-on-demand is known",
        ),
    ],
)
def test_refusals_say_what_to_do(text: str, path: str, says: str) -> None:
    found = refusals(text)
    assert path in found
    assert says in found[path]


@pytest.mark.parametrize(("rows", "says"), [(199, "200 to 20000"), (200, None)])
def test_too_few_rows_are_told_before_anything_starts(rows: int, says: str | None) -> None:
    item = DatasetItem(
        role="sft",
        status=DatasetStatus.ACCEPTED,
        source_key="inbox/demo/sft.csv",
        version_id="v1",
        uploaded_at=datetime(2026, 1, 5, tzinfo=UTC),
        fingerprint="f",
        updated_at=datetime(2026, 1, 5, tzinfo=UTC),
        rows=rows,
    )
    spec = ExperimentSpec.model_validate({"runtime": "bedrock"})
    problems = [str(each) for each in check_row_counts(spec, [item])]
    assert [says in each for each in problems if says] == [True] * bool(says)
    assert bool(problems) == bool(says)


def test_another_region_is_refused() -> None:
    elsewhere = replace(SITE, deployment=replace(SITE.deployment, region="us-west-2"))
    with pytest.raises(Invalid, match="us-east-1"):
        planned("plan: [sft, deploy: {to: bedrock-on-demand}]", elsewhere)
