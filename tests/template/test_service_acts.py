"""What SageMaker and Bedrock do as our roles, against what the template allows, right by right.

The requests are the application's, the acts the local cloud's table; an offline IAM simulator
judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from novaloop.recipes.bedrock import CustomizationJob, custom_model, customization_job
from novaloop.recipes.endpoints import Endpoint, plan_endpoint
from novaloop.recipes.jobs import Deployment, TrainingJob
from novaloop.recipes.plans import plan_training_job
from novaloop.recipes.serverless import ServerlessJob, serverless_job
from novaloop_localcloud import service_acts
from novaloop_localcloud.service_acts import Act, Place
from tests.template.iam_simulator import Request, verdicts
from tests.template.stack import ACCOUNT, REGION, Stack, deployed

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
PROCESSOR = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:my-SageMaker-processor"
REWARD = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:novaloop-SageMaker-reward"
BUCKET = "s3://novaloop-bucket-example"
ESCROW = f"s3://customer-escrow-{ACCOUNT}-smtj-a/job/step_10"
HERE = Place(REGION, ACCOUNT)
CONFIGURED = deployed(
    OutputKmsKeyArn=KEY,
    SubnetIds="subnet-1",
    SecurityGroupIds="sg-1",
    ProcessorFunctionArns=PROCESSOR,
)
PLAIN = deployed()
JOBS, IMPORTS = "ExecutionRole", "BedrockRole"


def _owned(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


GROUP = _owned("model-package-group", "novaloop-questions")
PACKAGE = _owned("model-package", "novaloop-questions/3")
EVALUATOR = _owned("hub-content", "novaloop-evaluators/JsonDoc/reward-1/0.0.1")
HUB = f"arn:aws:sagemaker:{REGION}:aws:hub-content/SageMakerPublicHub/Model"


def _deployment(role: str, *, configured: bool) -> Deployment:
    plain = Deployment(
        region=REGION,
        execution_role_arn=f"arn:aws:iam::{ACCOUNT}:role/novaloop-{role}-EXAMPLE",
        reward_function_arn=REWARD,
    )
    if not configured:
        return plain
    return Deployment(
        region=plain.region,
        execution_role_arn=plain.execution_role_arn,
        reward_function_arn=REWARD,
        kms_key_arn=KEY,
        subnets=("subnet-1",),
        security_group_ids=("sg-1",),
    )


def _training_job(method: str, **changes: Any) -> TrainingJob:
    overrides = {"max_steps": 100, "save_steps": 50} if method == "rft-lora" else {}
    return TrainingJob(
        **{
            "method": method,
            "model": "nova-lite-2",
            "run_name": "questions",
            "job_name": "novaloop-questions--sft-1",
            "data_uri": f"{BUCKET}/datasets/questions/sft/a/sft.jsonl",
            "output_uri": f"{BUCKET}/jobs/questions",
            "recipe_uri": f"{BUCKET}/jobs/questions/a/recipe.yaml",
            "instance_type": "ml.p5.48xlarge",
            "instance_count": 1 if method in {"gen_qa", "rft_eval"} else 4,
            "overrides": overrides,
            **changes,
        }
    )


def _serverless_job(method: str, **changes: Any) -> ServerlessJob:
    return ServerlessJob(
        **{
            "method": method,
            "model": "nova-lite-2",
            "run_name": "questions",
            "job_name": "novaloop-questions--sft-1",
            "data_uri": f"{BUCKET}/datasets/questions/sft/a/sft.jsonl",
            "output_uri": f"{BUCKET}/jobs/questions",
            "base_model_arn": f"{HUB}/nova-textgeneration-lite-v2/3.0.0",
            "model_package_group_arn": GROUP,
            **changes,
        }
    )


def _acts_of_jobs(deployment: Deployment, *, configured: bool) -> Iterator[tuple[str, Act]]:
    planned = {
        "training": _training_job("sft-lora"),
        "from a checkpoint": _training_job("sft-lora", checkpoint=ESCROW),
        "from a package": _training_job("sft-lora", checkpoint=PACKAGE),
        "reinforcement": _training_job("rft-lora"),
        "evaluation": _training_job("gen_qa"),
    }
    requests = {name: plan_training_job(job, deployment).request for name, job in planned.items()}
    serverless = {
        "serverless training": _serverless_job("sft-lora"),
        "serverless reinforcement": _serverless_job(
            "rft-lora", evaluator_arn=EVALUATOR, checkpoint=PACKAGE
        ),
        "serverless evaluation": _serverless_job("gen_qa", checkpoint=PACKAGE),
    }
    if configured:
        processed = _training_job("gen_qa", processor_function_arn=PROCESSOR)
        requests["processed"] = plan_training_job(processed, deployment).request
    requests |= {name: serverless_job(job, deployment) for name, job in serverless.items()}
    for name, request in requests.items():
        for act in service_acts.of_training_job(request, HERE):
            yield name, act


def _acts_of_models(deployment: Deployment) -> Iterator[tuple[str, Act]]:
    for checkpoint in (ESCROW, PACKAGE):
        endpoint = Endpoint(
            name="novaloop-questions--deploy-1",
            model="nova-lite-2",
            checkpoint=checkpoint,
            instance_type="ml.p5.48xlarge",
            context_length=12_000,
            max_concurrency=16,
        )
        model = plan_endpoint(endpoint, deployment).create_model
        for log in ("Endpoints", "InferenceComponents"):
            for act in service_acts.of_model(model, f"{log}/{endpoint.name}", HERE):
                yield f"{log} of {checkpoint}", act


def _acts_of_bedrock(deployment: Deployment) -> Iterator[tuple[str, Act]]:
    for method in ("sft-lora", "rft-lora"):
        job = CustomizationJob(
            method=method,
            model="nova-lite-2",
            name="novaloop-questions--sft-1",
            data_uri=f"{BUCKET}/datasets/questions/sft/a/sft.jsonl",
            rows=3_500,
            output_uri=f"{BUCKET}/jobs/questions",
        )
        for act in service_acts.of_customization_job(customization_job(job, deployment)):
            yield method, act
    for checkpoint in (ESCROW, PACKAGE):
        request = custom_model("novaloop-questions-deploy-1", checkpoint, deployment)
        for act in service_acts.of_import(request):
            yield f"import of {checkpoint}", act


def _acts(*, configured: bool) -> dict[str, list[tuple[str, Act]]]:
    jobs = _deployment(JOBS, configured=configured)
    return {
        JOBS: [*_acts_of_jobs(jobs, configured=configured), *_acts_of_models(jobs)],
        IMPORTS: list(_acts_of_bedrock(_deployment(IMPORTS, configured=configured))),
    }


def _judged(stack: Stack, role: str, acts: list[tuple[str, Act]]) -> list[str]:
    """What the role may not do."""
    distinct = {(each.action, each.resource): (name, each) for name, each in acts}
    policies = stack.policies(role)
    asked = [
        Request(policies, each.action, each.resource, dict(each.keys), _policy_of(each))
        for _, each in distinct.values()
    ]
    return [
        f"{name}: {act.purpose}: {act.action} on {act.resource}"
        for (name, act), verdict in zip(distinct.values(), verdicts(asked), strict=True)
        if verdict != "Allowed"
    ]


def _policy_of(act: Act) -> Mapping[str, Any] | None:
    """A key's own policy leaves to IAM who may use it."""
    if not act.action.startswith("kms:"):
        return None
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    delegation = {"Effect": "Allow", "Principal": account, "Action": "kms:*", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [delegation]}


@pytest.mark.parametrize("role", [JOBS, IMPORTS])
@pytest.mark.parametrize("configured", [False, True], ids=["plain", "key, VPC and processor"])
def test_the_services_may_do_as_our_roles_what_they_do(role: str, configured: bool) -> None:
    stack = CONFIGURED if configured else PLAIN
    assert _judged(stack, role, _acts(configured=configured)[role]) == []


@pytest.mark.parametrize("role", [JOBS, IMPORTS])
def test_without_any_one_right_some_act_is_denied(role: str) -> None:
    acts = [act for _, act in _acts(configured=True)[role]]
    requests, names = [], []
    for action in sorted({act.action for act in acts}):
        policies = [_without(document, action) for document in CONFIGURED.policies(role)]
        act = next(each for each in acts if each.action == action)
        requests.append(Request(policies, action, act.resource, dict(act.keys)))
        names.append(action)
    told = dict(zip(names, verdicts(requests), strict=True))
    wrong = {action: verdict for action, verdict in told.items() if verdict != "ImplicitlyDenied"}
    assert wrong == {}


def _without(document: Mapping[str, Any], action: str) -> dict[str, Any]:
    kept = []
    for statement in document["Statement"]:
        actions = statement["Action"]
        left = [
            each for each in ([actions] if isinstance(actions, str) else actions) if each != action
        ]
        if left:
            kept.append({**statement, "Action": left})
    return {"Version": document["Version"], "Statement": kept}


BEYOND_THE_TABLE = {
    (JOBS, "s3:PutObject on the escrow bucket"): "documented for jobs, done by the service itself",
    (JOBS, "kms:CreateGrant"): "documented for encrypted volumes, which no request asks for",
    (JOBS, "kms:DescribeKey"): "documented beside the other rights on a key",
    (IMPORTS, "kms:Encrypt"): "documented for the output, whose key Bedrock does not take",
}
"""Rights that no act in the table needs, each with its reason."""


@pytest.mark.parametrize("role", [JOBS, IMPORTS])
def test_no_right_is_given_that_no_act_needs(role: str) -> None:
    needed = {act.action for _, act in _acts(configured=True)[role]}
    explained = {name.partition(" ")[0] for owner, name in BEYOND_THE_TABLE if owner == role}
    given = set()
    for statement in CONFIGURED.statements(role):
        actions = statement["Action"]
        given |= {actions} if isinstance(actions, str) else set(actions)
    assert given - needed - explained == set()
