"""What the SageMaker stand-in refuses of serverless jobs, and what it makes of their settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest

from novaloop_localcloud.container import JobError, serverless_recipe
from novaloop_localcloud.sagemaker.errors import ServiceError
from novaloop_localcloud.sagemaker.serverless import References, require_runtime, resolved

OWN = "arn:aws:sagemaker:us-east-1:000000000000"
REWARD = "arn:aws:lambda:us-east-1:000000000000:function:x-SageMaker-reward"
Change = Callable[[dict[str, Any]], object]


def document(**changes: str) -> str:
    content = {"Reference": REWARD, "EvaluatorType": "RewardFunction"} | changes
    return json.dumps({"SubType": "AWS/Evaluator", "JsonContent": json.dumps(content)})


def request(technique: str | None = "RLVR") -> dict[str, Any]:
    data = {"S3Uri": "s3://b/k", "S3DataType": "Converse" if technique == "SFT" else "S3Prefix"}
    training = {"JobType": "FineTuning", "CustomizationTechnique": technique, "Peft": "LORA"}
    evaluation = {"JobType": "Evaluation", "EvaluationType": "CustomScorerEvaluation"}
    return {
        "HyperParameters": {"name": "run", "max_steps": "9", "global_batch_size": "16"}
        | {"learning_rate": "1e-05", "warmup_steps": "3"},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": data}}],
        "OutputDataConfig": {"S3OutputPath": "s3://b/jobs", "CompressionType": "NONE"},
        "ServerlessJobConfig": {"BaseModelArn": "base", "AcceptEula": True}
        | (training if technique else evaluation)
        | ({"EvaluatorArn": "evaluator"} if technique == "RLVR" else {}),
        "ModelPackageConfig": {
            "ModelPackageGroupArn": f"{OWN}:model-package-group/g",
            "SourceModelPackageArn": f"{OWN}:model-package/g/1",
        },
    }


@pytest.mark.parametrize("technique", ["SFT", "RLVR", None])
def test_a_sound_request_is_accepted(technique: str | None) -> None:
    require_runtime(request(technique))


@pytest.mark.parametrize(
    ("technique", "change", "says"),
    [
        ("SFT", lambda r: r.update(ResourceConfig={}), "ResourceConfig can't be given"),
        ("SFT", lambda r: r.update(AlgorithmSpecification={}), "AlgorithmSpecification can't"),
        ("SFT", lambda r: r["ServerlessJobConfig"].update(AcceptEula=False), "AcceptEula"),
        ("SFT", lambda r: r["OutputDataConfig"].clear(), "CompressionType"),
        ("SFT", lambda r: r.pop("ModelPackageConfig"), "ModelPackageConfig is required"),
        ("SFT", lambda r: r["ServerlessJobConfig"].pop("Peft"), "Peft None"),
        ("RLVR", lambda r: r["ServerlessJobConfig"].pop("EvaluatorArn"), "EvaluatorArn"),
        ("RLVR", lambda r: r.update(InputDataConfig=request("SFT")["InputDataConfig"]), "Converse"),
        (None, lambda r: r["ServerlessJobConfig"].pop("EvaluationType"), "does not do None"),
        ("SFT", lambda r: r.pop("ServerlessJobConfig"), "are required without"),
    ],
)
def test_an_unsound_one_is_not(technique: str | None, change: Change, says: str) -> None:
    changed = deepcopy(request(technique))
    change(changed)
    with pytest.raises(ServiceError, match=says):
        require_runtime(changed)


def registry(told: str | None = None) -> Any:
    def content(arn: str) -> Any:
        if arn not in {"base", "evaluator"}:
            raise ServiceError("ResourceNotFound", f"no {arn}")
        return SimpleNamespace(document=told or document())

    def named(name: str) -> None:
        if name != "g":
            raise ServiceError("ValidationException", f"no {name}")

    packages = {f"{OWN}:model-package/g/1": "s3://escrow/job/9"}
    return SimpleNamespace(
        content=content, groups=SimpleNamespace(named=named), package_uri=packages.__getitem__
    )


def test_references_lead_to_the_weights_and_the_reward_function() -> None:
    assert resolved(request(), registry()) == References("s3://escrow/job/9", REWARD)
    assert resolved(request("SFT"), registry()) == References("s3://escrow/job/9", None)
    assert resolved({}, registry()) == References()


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["ServerlessJobConfig"].update(BaseModelArn="elsewhere"),
        lambda r: r["ServerlessJobConfig"].update(EvaluatorArn="elsewhere"),
        lambda r: r["ModelPackageConfig"].update(ModelPackageGroupArn=f"{OWN}:x/elsewhere"),
        lambda r: r["ModelPackageConfig"].update(SourceModelPackageArn="elsewhere"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(change: Change) -> None:
    changed = request()
    change(changed)
    with pytest.raises((ServiceError, KeyError), match="elsewhere"):
        resolved(changed, registry())


@pytest.mark.parametrize("told", ["{}", document(EvaluatorType="RewardPrompt")])
def test_an_evaluator_must_be_a_reward_function(told: str) -> None:
    with pytest.raises(ServiceError, match="evaluator"):
        resolved(request(), registry(told))


def test_a_job_does_what_its_hyperparameters_say() -> None:
    sft = serverless_recipe(request("SFT"), None)
    assert (sft.method, sft.number("training_config.optim_config.lr")) == ("sft", 1e-05)
    assert sft.number("training_config.lr_scheduler.warmup_steps") == 3
    rft = serverless_recipe(request(), REWARD)
    assert (rft.method, rft.number("training_config.trainer.max_steps")) == ("rft", 9)
    assert rft.get("training_config.rollout.rewards.api_endpoint.lambda_arn") == REWARD
    assert serverless_recipe(request(None), None).method == "evaluation"


def test_a_hyperparameter_that_is_missing_fails_the_job() -> None:
    broken = request("SFT")
    del broken["HyperParameters"]["learning_rate"]
    with pytest.raises(JobError, match="learning_rate"):
        serverless_recipe(broken, None)
