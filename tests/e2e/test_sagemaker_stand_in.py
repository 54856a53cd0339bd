"""The emulator and the SageMaker stand-in through boto3, with IAM enforced."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from novaloop_localcloud.cloud import LocalCloud, up
from novaloop_localcloud.emulator import Timing
from novaloop_localcloud.questions import questions
from novaloop_localcloud.sagemaker.faults import Fault
from tests.e2e.application import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.e2e

ACCOUNT = "000000000000"
BUCKET = "experiment-bucket"
IMAGES = "708977205387.dkr.ecr.us-east-1.amazonaws.com"
SYSTEM = "Judge the question. Answer with only one of these: HQ, LQ_EDIT, or LQ_CLOSE."
REWARD = """
def handler(event, context):
    return [
        {
            "id": sample["id"],
            "aggregate_reward_score": 1.0
            if sample["messages"][-1]["content"] == sample["reference_answer"]
            else -1.0,
        }
        for sample in event
    ]
"""
FAST = Config(retries={"total_max_attempts": 1})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    timing = Timing(job_starting=0.1, endpoint_creating=0.2)
    with up(tmp_path_factory.mktemp("cloud"), template=None, timing=timing) as running:
        _prepare(running)
        yield running


@pytest.fixture(scope="module")
def sagemaker(cloud: LocalCloud) -> Any:
    return cloud.session().client("sagemaker", config=FAST)


def _prepare(cloud: LocalCloud) -> None:
    session = cloud.session()
    session.client("s3").create_bucket(Bucket=BUCKET)
    _role(session.client("iam"), "execution", "sagemaker.amazonaws.com", _EXECUTION_POLICY)
    _role(session.client("iam"), "reward", "lambda.amazonaws.com", [])
    _role(session.client("iam"), "controller", "lambda.amazonaws.com", _CONTROLLER_POLICY)
    _role(session.client("iam"), "by-tag", "lambda.amazonaws.com", [_BY_TAG])
    _role(session.client("iam"), "by-name", "lambda.amazonaws.com", [_BY_NAME])
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("reward.py", REWARD)
    session.client("lambda").create_function(
        FunctionName="nova-SageMaker-reward",
        Runtime="python3.13",
        Role=f"arn:aws:iam::{ACCOUNT}:role/reward",
        Handler="reward.handler",
        Code={"ZipFile": code.getvalue()},
    )


_EXECUTION_POLICY: list[dict[str, Any]] = [
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"},
    {
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
        "Resource": f"arn:aws:s3:::{BUCKET}/jobs/*",
    },
    {
        "Effect": "Allow",
        "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
        "Resource": f"arn:aws:s3:::{BUCKET}",
    },
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": f"arn:aws:s3:::customer-escrow-{ACCOUNT}-*",
    },
    {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:*:*:*"},
    {"Effect": "Allow", "Action": ["logs:*", "ecr:*"], "Resource": "*"},
    {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*"},
    {
        "Effect": "Allow",
        "Action": [
            f"sagemaker:{verb}*" for verb in ("Add", "Create", "Describe", "List", "Update")
        ],
        "Resource": "*",
    },
]
_BY_TAG = {
    "Effect": "Allow",
    "Action": "sagemaker:Delete*",
    "Resource": "*",
    "Condition": {"Null": {"aws:ResourceTag/owner": "false"}},
}
_BY_NAME = {
    "Effect": "Allow",
    "Action": "sagemaker:Delete*",
    "Resource": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:*/mine-*",
}
_CONTROLLER_POLICY: list[dict[str, Any]] = [
    {
        "Effect": "Allow",
        "Action": ["sagemaker:CreateTrainingJob", "sagemaker:AddTags"],
        "Resource": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/mine-*",
        "Condition": {"StringEquals": {"aws:RequestTag/owner": "me"}},
    },
    {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": f"arn:aws:iam::{ACCOUNT}:role/execution",
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    },
    {
        "Effect": "Allow",
        "Action": "sagemaker:DescribeTrainingJob",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/owner": "me"}},
    },
]


def _role(iam: Any, name: str, service: str, statements: list[dict[str, Any]]) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": service, "AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    if statements:
        policy = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))


def _put(cloud: LocalCloud, key: str, text: str) -> str:
    cloud.session().client("s3").put_object(Bucket=BUCKET, Key=key, Body=text.encode())
    return f"s3://{BUCKET}/{key}"


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _sft_rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": SYSTEM}],
            "messages": [
                {"role": "user", "content": [{"text": question.body}]},
                {"role": "assistant", "content": [{"text": question.label}]},
            ],
        }
        for question in questions(count, seed=1)
    ]


def _rft_rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": str(number),
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": question.body},
            ],
            "reference_answer": question.label,
        }
        for number, question in enumerate(questions(count, seed=2))
    ]


def _evaluation_rows(count: int) -> list[dict[str, Any]]:
    return [
        {"system": SYSTEM, "query": question.body, "response": question.label}
        for question in questions(count, seed=3)
    ]


_SFT = {
    "max_steps": 60,
    "save_steps": 10,
    "global_batch_size": 64,
    "lr_scheduler": {"warmup_steps": 10},
    "optim_config": {"lr": 5.0e-6},
}


def _rft(arn: str) -> dict[str, Any]:
    return {
        "global_batch_size": 16,
        "rollout": {
            "advantage_strategy": {"number_generation": 4},
            "generator": {"max_new_tokens": 50, "temperature": 1.0, "top_k": 5},
            "rewards": {"api_endpoint": {"lambda_arn": arn, "lambda_concurrency_limit": 12}},
        },
        "trainer": {
            "max_steps": 5,
            "ent_coeff": 0.01,
            "kl_loss_coef": 0.02,
            "optim_config": {"lr": 1.0e-5},
        },
    }


_INFERENCE = {"max_new_tokens": 100, "top_k": -1, "top_p": 1.0, "temperature": 0.0}


def _request(
    cloud: LocalCloud,
    name: str,
    image: str,
    data: str,
    *,
    recipe: dict[str, Any],
    hyper_parameters: dict[str, str] | None = None,
) -> dict[str, Any]:
    hyper_parameters = hyper_parameters or {"base_model": "nova-lite-2/prod"}
    model = hyper_parameters.get("base_model") or hyper_parameters["base_model_location"]
    run = {"name": name, "model_name_or_path": model, "data_s3_path": data, "replicas": 1}
    document = {"run": {**run, **recipe.pop("run", {})}, **recipe}
    recipe_uri = _put(cloud, f"jobs/{name}/recipe.yaml", yaml.safe_dump(document))
    data_type = "Converse" if "SFT" in image else "S3Prefix"
    return {
        "TrainingJobName": name,
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/execution",
        "AlgorithmSpecification": {
            "TrainingInputMode": "File",
            "TrainingImage": f"{IMAGES}/{image}",
        },
        "HyperParameters": {
            **hyper_parameters,
            "sagemaker_recipe_local_path": "/opt/ml/input/data/recipe/recipe.yaml",
        },
        "InputDataConfig": [_channel("train", data, data_type), _channel("recipe", recipe_uri)],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/jobs"},
        "ResourceConfig": {
            "InstanceType": "ml.p5.48xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "Tags": [{"Key": "owner", "Value": "me"}],
    }


def _channel(name: str, uri: str, data_type: str = "S3Prefix") -> dict[str, Any]:
    source = {"S3DataType": data_type, "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _sft_request(cloud: LocalCloud, name: str, **changes: Any) -> dict[str, Any]:
    data = _put(cloud, f"data/{name}.jsonl", _lines(_sft_rows(300)))
    recipe = {"training_config": {**_SFT, **changes}}
    return _request(cloud, name, "nova-fine-tune-repo:SM-TJ-SFT-V2-latest", data, recipe=recipe)


def _evaluation_request(cloud: LocalCloud, name: str, model: dict[str, str]) -> dict[str, Any]:
    data = _put(cloud, f"data/{name}/gen_qa.jsonl", _lines(_evaluation_rows(120)))
    recipe = {"evaluation": {"task": "gen_qa"}, "inference": _INFERENCE}
    image = "nova-evaluation-repo:SM-TJ-Eval-V2-latest"
    return _request(cloud, name, image, data, recipe=recipe, hyper_parameters=model)


def _finished(sagemaker: Any, name: str) -> Any:
    def ended() -> Any:
        job = sagemaker.describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] in {"Completed", "Failed", "Stopped"} else None

    return wait_for(ended)


def _archive(cloud: LocalCloud, name: str) -> dict[str, bytes]:
    key = f"jobs/{name}/output/output.tar.gz"
    body = cloud.session().client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return {member.name: _content(archive, member) for member in archive}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _scores(cloud: LocalCloud, name: str) -> dict[str, float]:
    files = _archive(cloud, name)
    results = next(text for path, text in files.items() if "/eval_results/results_" in path)
    scores: dict[str, float] = json.loads(results)["results"]["all"]
    return scores


def _refused(call: Callable[..., Any], **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def checkpoint(cloud: LocalCloud, sagemaker: Any) -> str:
    sagemaker.create_training_job(**_sft_request(cloud, "mine-sft"))
    job = _finished(sagemaker, "mine-sft")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    manifest = json.loads(_archive(cloud, "mine-sft")["manifest.json"])
    return str(manifest["checkpoint_s3_bucket"])


def test_training_walks_through_the_documented_statuses(sagemaker: Any, checkpoint: str) -> None:
    job = sagemaker.describe_training_job(TrainingJobName="mine-sft")
    walked = [entry["Status"] for entry in job["SecondaryStatusTransitions"]]
    assert walked == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["BillableTimeInSeconds"] >= 1
    assert checkpoint.startswith(f"s3://customer-escrow-{ACCOUNT}-smtj-")


def test_training_logs_its_losses(cloud: LocalCloud, checkpoint: str) -> None:
    logs, group = cloud.session().client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="mine-sft/algo-1-")
    stream = streams["logStreams"][0]["logStreamName"]
    lines = logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]
    assert sum("reduced_train_loss" in line["message"] for line in lines) == _SFT["max_steps"]


def test_supervised_training_helps(cloud: LocalCloud, sagemaker: Any, checkpoint: str) -> None:
    models = {"base": {"base_model": "nova-lite-2/prod"}}
    models["tuned"] = {"base_model_location": checkpoint}
    for name, model in models.items():
        sagemaker.create_training_job(**_evaluation_request(cloud, f"mine-{name}", model))
    for name in models:
        job = _finished(sagemaker, f"mine-{name}")
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    base, tuned = _scores(cloud, "mine-base"), _scores(cloud, "mine-tuned")
    assert base["em"] < 0.35
    assert tuned["em"] > base["em"] + 0.2


def test_reinforcement_asks_the_reward_function(
    cloud: LocalCloud, sagemaker: Any, checkpoint: str
) -> None:
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:nova-SageMaker-reward"
    data = _put(cloud, "data/rft.jsonl", _lines(_rft_rows(60)))
    recipe = {"run": {"reward_lambda_arn": arn}, "training_config": _rft(arn)}
    model = {"base_model_location": checkpoint, "reward_lambda_arn": arn}
    image = "nova-fine-tune-repo:SM-TJ-RFT-V2-latest"
    sagemaker.create_training_job(
        **_request(cloud, "mine-rft", image, data, recipe=recipe, hyper_parameters=model)
    )
    job = _finished(sagemaker, "mine-rft")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    logs = cloud.session().client("logs")
    found = logs.filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs",
        logStreamNamePrefix="mine-rft/",
        filterPattern='"critic/rewards/mean"',
    )
    assert len(found["events"]) == 5


def test_a_name_is_given_out_once(cloud: LocalCloud, sagemaker: Any, checkpoint: str) -> None:
    code, message = _refused(sagemaker.create_training_job, **_sft_request(cloud, "mine-sft"))
    assert code == "ResourceInUse"
    assert "already exists" in message


def test_what_is_missing_is_reported_in_aws_words(sagemaker: Any) -> None:
    asked = _refused(sagemaker.describe_training_job, TrainingJobName="nobody")
    assert asked == ("ValidationException", "Requested resource not found.")
    code, message = _refused(sagemaker.describe_endpoint, EndpointName="nobody")
    assert code == "ValidationException"
    assert message.startswith('Could not find endpoint "arn:aws:sagemaker:')


def test_contradicting_recipe_fails_the_job(cloud: LocalCloud, sagemaker: Any) -> None:
    request = _sft_request(cloud, "mine-contradiction")
    request["ResourceConfig"]["InstanceCount"] = 4
    sagemaker.create_training_job(**request)
    job = _finished(sagemaker, "mine-contradiction")
    assert job["TrainingJobStatus"] == "Failed"
    assert "run.replicas: recipe has 1, request has 4" in job["FailureReason"]


def test_missing_data_fails_the_job(cloud: LocalCloud, sagemaker: Any) -> None:
    missing = f"s3://{BUCKET}/data/none.jsonl"
    image = "nova-fine-tune-repo:SM-TJ-SFT-V2-latest"
    request = _request(cloud, "mine-nodata", image, missing, recipe={"training_config": _SFT})
    sagemaker.create_training_job(**request)
    job = _finished(sagemaker, "mine-nodata")
    assert job["TrainingJobStatus"] == "Failed"
    assert "channel train" in job["FailureReason"]


def test_the_execution_role_bounds_the_job(cloud: LocalCloud, sagemaker: Any) -> None:
    request = _sft_request(cloud, "mine-elsewhere")
    request["OutputDataConfig"]["S3OutputPath"] = f"s3://{BUCKET}/elsewhere"
    sagemaker.create_training_job(**request)
    job = _finished(sagemaker, "mine-elsewhere")
    assert job["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]


KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_IN_VPC = {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
_UNDER_KEY = {"OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/jobs", "KmsKeyId": KEY}}


@pytest.mark.parametrize(
    ("denied", "changes"),
    [
        ("ecr:GetAuthorizationToken", {}),
        ("ecr:BatchGetImage", {}),
        ("s3:ListBucket", {}),
        ("s3:AbortMultipartUpload", {}),
        ("logs:PutLogEvents", {}),
        ("cloudwatch:PutMetricData", {}),
        ("ec2:CreateNetworkInterface", _IN_VPC),
        ("kms:GenerateDataKey", _UNDER_KEY),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_job_can_do_no_more_than_its_role(
    cloud: LocalCloud, sagemaker: Any, denied: str, changes: dict[str, Any]
) -> None:
    name = f"mine-without-{denied.replace(':', '-')}"
    refuse = {"Effect": "Deny", "Action": denied, "Resource": "*"}
    more = {"Effect": "Allow", "Action": ["ec2:*", "kms:*"], "Resource": "*"}
    iam = cloud.session().client("iam")
    _role(iam, name, "sagemaker.amazonaws.com", [*_EXECUTION_POLICY, more, refuse])
    request = _sft_request(cloud, name) | changes
    sagemaker.create_training_job(**request | {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{name}"})
    job = _finished(sagemaker, name)
    assert job["TrainingJobStatus"] == "Failed"
    assert f"is not authorized to perform: {denied} on resource" in job["FailureReason"]
    assert f"assumed-role/{name}/" in job["FailureReason"]
    assert "BillableTimeInSeconds" not in job or job["BillableTimeInSeconds"] == 0


def test_a_job_writes_under_its_key(cloud: LocalCloud, sagemaker: Any) -> None:
    key = {"Effect": "Allow", "Action": "kms:*", "Resource": KEY}
    iam = cloud.session().client("iam")
    _role(iam, "keyed", "sagemaker.amazonaws.com", [*_EXECUTION_POLICY, key])
    request = _evaluation_request(cloud, "mine-keyed", {"base_model": "nova-lite-2/prod"})
    role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/keyed"}
    sagemaker.create_training_job(**request | _UNDER_KEY | role)
    job = _finished(sagemaker, "mine-keyed")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    output = {"Bucket": BUCKET, "Key": "jobs/mine-keyed/output/output.tar.gz"}
    assert cloud.session().client("s3").head_object(**output)["SSEKMSKeyId"] == KEY


def test_what_does_not_exist_has_no_tags_to_be_allowed_by(cloud: LocalCloud) -> None:
    by_tag, by_name = (_controller(cloud, name=name) for name in ("by-tag", "by-name"))
    calls = {
        "delete_endpoint": {"EndpointName": "mine-nobody"},
        "delete_endpoint_config": {"EndpointConfigName": "mine-nobody"},
        "delete_model": {"ModelName": "mine-nobody"},
        "delete_inference_component": {"InferenceComponentName": "mine-nobody"},
    }
    for call, arguments in calls.items():
        code, _ = _refused(getattr(by_tag, call), **arguments)
        assert code == "AccessDeniedException", call
        code, message = _refused(getattr(by_name, call), **arguments)
        assert code == "ValidationException", call
        assert message.startswith("Could not find"), call


def _controller(cloud: LocalCloud, service: str = "sagemaker", name: str = "controller") -> Any:
    role = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    sts = cloud.session().client("sts")
    key = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=cloud.state.endpoint_url,
        verify=cloud.state.ca_bundle,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key["SessionToken"],
        config=FAST,
    )


def _change(request: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**request, **changes}


def test_the_callers_policy_is_enforced(cloud: LocalCloud) -> None:
    controller = _controller(cloud)
    request = _sft_request(cloud, "mine-allowed")
    changes: dict[str, dict[str, Any]] = {
        "not its resource": {"TrainingJobName": "others-job"},
        "tag condition": {"Tags": [{"Key": "owner", "Value": "you"}]},
        "role it may not pass": {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/reward"},
    }
    for change in changes.values():
        code, _ = _refused(controller.create_training_job, **_change(request, **change))
        assert code == "AccessDeniedException"
    controller.create_training_job(**request)
    assert controller.describe_training_job(TrainingJobName="mine-allowed")
    code, _ = _refused(controller.stop_training_job, TrainingJobName="mine-allowed")
    assert code == "AccessDeniedException"


def test_stopping_ends_the_work(cloud: LocalCloud, sagemaker: Any) -> None:
    sagemaker.create_training_job(**_sft_request(cloud, "mine-stopped", max_steps=100000))

    def training() -> bool:
        job = sagemaker.describe_training_job(TrainingJobName="mine-stopped")
        return bool(job["SecondaryStatus"] == "Training")

    wait_for(training)
    sagemaker.stop_training_job(TrainingJobName="mine-stopped")
    job = _finished(sagemaker, "mine-stopped")
    assert job["TrainingJobStatus"] == "Stopped"
    code, message = _refused(sagemaker.stop_training_job, TrainingJobName="mine-stopped")
    assert code == "ValidationException"
    assert "in status Stopped" in message


def test_the_longest_runtime_holds(cloud: LocalCloud, sagemaker: Any) -> None:
    request = _sft_request(cloud, "mine-overran", max_steps=100000)
    request["StoppingCondition"] = {"MaxRuntimeInSeconds": 1}
    sagemaker.create_training_job(**request)
    job = _finished(sagemaker, "mine-overran")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_planned_faults_strike_once(cloud: LocalCloud, sagemaker: Any) -> None:
    request = _sft_request(cloud, "mine-unlucky")
    cloud.inject(Fault("CreateTrainingJob", "mine-unlucky", code="ResourceLimitExceeded"))
    cloud.inject(Fault("training-job", "mine-unlucky", outcome="Stopped"))
    code, _ = _refused(sagemaker.create_training_job, **request)
    assert code == "ResourceLimitExceeded"
    sagemaker.create_training_job(**request)
    job = _finished(sagemaker, "mine-unlucky")
    assert (job["TrainingJobStatus"], job["BillableTimeInSeconds"]) == ("Stopped", 0)
    cloud.inject(Fault("training-job", "mine-broken", outcome="Failed", reason="made up"))
    sagemaker.create_training_job(**_sft_request(cloud, "mine-broken"))
    job = _finished(sagemaker, "mine-broken")
    assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", "made up")


def test_a_call_may_take_effect_and_answer_an_error(cloud: LocalCloud, sagemaker: Any) -> None:
    """Each attempt of the client but the first meets what the first one made."""
    fault = Fault("CreateTrainingJob", "mine-made", code="InternalFailure", took_effect=True)
    cloud.inject(fault)
    with pytest.raises(ClientError) as refused:
        sagemaker.create_training_job(**_sft_request(cloud, "mine-made"))
    assert refused.value.response["Error"]["Code"] in {"InternalFailure", "ResourceInUse"}
    assert _finished(sagemaker, "mine-made")["TrainingJobStatus"] == "Completed"


def test_state_changes_reach_a_queue(cloud: LocalCloud, sagemaker: Any) -> None:
    queue = _queue_of_events(cloud)
    sagemaker.create_training_job(**_evaluation_request(cloud, "mine-events", {"base_model": "b"}))
    events: list[dict[str, Any]] = []

    def completed() -> bool:
        answer = (
            cloud.session()
            .client("sqs")
            .receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        )
        events.extend(json.loads(message["Body"]) for message in answer.get("Messages", []))
        return any(event["detail"]["TrainingJobStatus"] == "Completed" for event in events)

    wait_for(completed)
    mine = [event for event in events if event["detail"]["TrainingJobName"] == "mine-events"]
    event = mine[-1]
    assert event["source"] == "aws.sagemaker"
    assert event["detail-type"] == "SageMaker Training Job State Change"
    assert event["resources"] == [event["detail"]["TrainingJobArn"]]
    assert event["detail"]["Tags"] == {"owner": "me"}
    assert event["detail"]["CreationTime"].isdigit()
    assert {e["detail"]["SecondaryStatus"] for e in mine} >= {"Starting", "Training", "Completed"}


def _queue_of_events(cloud: LocalCloud) -> str:
    session = cloud.session()
    queue = str(session.client("sqs").create_queue(QueueName="events")["QueueUrl"])
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:events"
    allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    session.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    pattern = json.dumps({"source": ["aws.sagemaker"]})
    session.client("events").put_rule(Name="all", EventPattern=pattern)
    session.client("events").put_targets(Rule="all", Targets=[{"Id": "queue", "Arn": arn}])
    return queue


def test_versioned_uploads_say_their_version(cloud: LocalCloud) -> None:
    session = cloud.session()
    s3, sqs = session.client("s3"), session.client("sqs")
    s3.create_bucket(Bucket="versioned-bucket")
    versioning = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket="versioned-bucket", VersioningConfiguration=versioning)
    s3.put_bucket_notification_configuration(
        Bucket="versioned-bucket", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    queue = sqs.create_queue(QueueName="uploads")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:uploads"
    events = session.client("events")
    events.put_rule(Name="uploads", EventPattern=json.dumps({"source": ["aws.s3"]}))
    events.put_targets(Rule="uploads", Targets=[{"Id": "queue", "Arn": arn}])
    version = s3.put_object(Bucket="versioned-bucket", Key="a", Body=b"1")["VersionId"]
    message = wait_for(
        lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages")
    )[0]
    assert json.loads(message["Body"])["detail"]["object"]["version-id"] == version


@pytest.fixture(scope="module")
def endpoint(cloud: LocalCloud, sagemaker: Any, checkpoint: str) -> str:
    source = {
        "S3Uri": f"{checkpoint}/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    sagemaker.create_model(
        ModelName="mine-model",
        ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/execution",
        PrimaryContainer={
            "Image": f"{IMAGES}/nova-inference-repo:SM-Inference-latest",
            "Environment": {"CONTEXT_LENGTH": "12000", "MAX_CONCURRENCY": "16"},
            "ModelDataSource": {"S3DataSource": source},
        },
        EnableNetworkIsolation=True,
    )
    variant = {
        "VariantName": "primary",
        "ModelName": "mine-model",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.p5.48xlarge",
    }
    sagemaker.create_endpoint_config(EndpointConfigName="mine-config", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="mine-endpoint", EndpointConfigName="mine-config")
    assert _settled(sagemaker)["EndpointStatus"] == "InService"
    return "mine-endpoint"


def _settled(sagemaker: Any) -> Any:
    def settled() -> Any:
        described = sagemaker.describe_endpoint(EndpointName="mine-endpoint")
        return described if described["EndpointStatus"] in {"InService", "Failed"} else None

    return wait_for(settled)


_CHAT = {
    "messages": [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": questions(1, seed=5)[0].body},
    ],
    "temperature": 0,
    "max_tokens": 20,
}


def test_the_endpoint_answers(cloud: LocalCloud, endpoint: str) -> None:
    runtime = cloud.session().client("sagemaker-runtime", config=FAST)
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json", Body=json.dumps(_CHAT)
    )
    body = json.loads(answer["Body"].read())
    assert body["model"] == "novaloop-stand-in"
    assert body["choices"][0]["message"]["content"] in {"HQ", "LQ_EDIT", "LQ_CLOSE"}
    assert body["usage"]["completion_tokens"] == 1


def test_the_endpoint_streams(cloud: LocalCloud, endpoint: str) -> None:
    runtime = cloud.session().client("sagemaker-runtime", config=FAST)
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName=endpoint,
        ContentType="application/json",
        Body=json.dumps({**_CHAT, "stream": True, "stream_options": {"include_usage": True}}),
    )
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    events = [block.removeprefix("data: ") for block in b"".join(parts).decode().split("\n\n")]
    assert len(parts) > 2
    assert events[-2:] == ["[DONE]", ""]
    chunks = [json.loads(event) for event in events[:-2]]
    told = "".join(c["choices"][0]["delta"]["content"] for c in chunks if c["choices"])
    assert told in {"HQ", "LQ_EDIT", "LQ_CLOSE"}
    assert chunks[-1]["usage"]["completion_tokens"] == 1


def test_the_endpoint_refuses_bad_bodies(cloud: LocalCloud, endpoint: str) -> None:
    runtime = cloud.session().client("sagemaker-runtime", config=FAST)
    code, message = _refused(runtime.invoke_endpoint, EndpointName=endpoint, Body=b"{}")
    assert code == "ModelError"
    assert "messages" in message
    code, _ = _refused(runtime.invoke_endpoint, EndpointName="nobody", Body=b"{}")
    assert code == "ValidationError"


def test_a_deleted_endpoint_is_gone(sagemaker: Any, endpoint: str) -> None:
    sagemaker.delete_endpoint(EndpointName=endpoint)
    sagemaker.delete_endpoint_config(EndpointConfigName="mine-config")
    sagemaker.delete_model(ModelName="mine-model")

    def gone() -> bool:
        return not sagemaker.list_endpoints()["Endpoints"]

    wait_for(gone)


OWN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"
REWARD_ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:nova-SageMaker-reward"
MODEL_CONTENT = ("SageMakerPublicHub", "Model", "nova-textgeneration-lite-v2")
CHAIN_STEPS = {
    "global_batch_size": "64",
    "max_steps": "40",
    "learning_rate": "5e-06",
    "warmup_steps": "4",
}


def _hub_content(sagemaker: Any, hub: str, kind: str, name: str) -> str:
    described = sagemaker.describe_hub_content(
        HubName=hub, HubContentType=kind, HubContentName=name
    )
    assert described["HubContentStatus"] == "Available"
    return str(described["HubContentArn"])


@pytest.fixture(scope="module")
def evaluator(sagemaker: Any) -> str:
    content = json.dumps({"Reference": REWARD_ARN, "EvaluatorType": "RewardFunction"})
    sagemaker.create_hub(HubName="mine", HubDescription="rewards")
    sagemaker.import_hub_content(
        HubName="mine",
        HubContentName="reward",
        HubContentType="JsonDoc",
        HubContentVersion="0.0.1",
        DocumentSchemaVersion="2.0.0",
        HubContentDocument=json.dumps({"SubType": "AWS/Evaluator", "JsonContent": content}),
    )
    sagemaker.create_model_package_group(ModelPackageGroupName="mine")
    return _hub_content(sagemaker, "mine", "JsonDoc", "reward")


def _serverless(
    sagemaker: Any, name: str, data: str, source: str | None = None, **config: str
) -> dict[str, Any]:
    packages = {"ModelPackageGroupArn": f"{OWN}:model-package-group/mine"}
    if source:
        packages["SourceModelPackageArn"] = source
    technique = config.get("CustomizationTechnique")
    request = {
        "TrainingJobName": name,
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/execution",
        "HyperParameters": {"name": name, **CHAIN_STEPS},
        "InputDataConfig": [
            _channel("train", data, "Converse" if technique == "SFT" else "S3Prefix")
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/jobs", "CompressionType": "NONE"},
        "ServerlessJobConfig": {
            "BaseModelArn": _hub_content(sagemaker, *MODEL_CONTENT),
            "AcceptEula": True,
            "JobType": "FineTuning" if technique else "Evaluation",
            **({"Peft": "LORA"} if technique else {"EvaluationType": "CustomScorerEvaluation"}),
            **config,
        },
    }
    return request | ({"ModelPackageConfig": packages} if technique or source else {})


def _package(sagemaker: Any, name: str) -> str:
    job = _finished(sagemaker, name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return str(job["OutputModelPackageArn"])


def test_serverless_jobs_chain_by_package(
    cloud: LocalCloud, sagemaker: Any, evaluator: str
) -> None:
    rows = {"sft": _sft_rows(300), "rft": _rft_rows(80), "eval": _evaluation_rows(120)}
    data = {role: _put(cloud, f"data/{role}.jsonl", _lines(each)) for role, each in rows.items()}
    sft = _serverless(sagemaker, "free-sft", data["sft"], CustomizationTechnique="SFT")
    sagemaker.create_training_job(**sft)
    first = _package(sagemaker, "free-sft")
    reinforced = {"CustomizationTechnique": "RLVR", "EvaluatorArn": evaluator}
    rft = _serverless(sagemaker, "free-rft", data["rft"], first, **reinforced)
    sagemaker.create_training_job(**rft)
    second = _package(sagemaker, "free-rft")
    assert [first, second] == [f"{OWN}:model-package/mine/{version}" for version in (1, 2)]
    described = sagemaker.describe_model_package(ModelPackageName=second)
    (container,) = described["InferenceSpecification"]["Containers"]
    assert "customer-escrow" in container["ModelDataSource"]["S3DataSource"]["S3Uri"]

    for name, source in (("free-base", None), ("free-tuned", second)):
        sagemaker.create_training_job(**_serverless(sagemaker, name, data["eval"], source))
        job = _finished(sagemaker, name)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert "OutputModelPackageArn" not in job
    base, tuned = (_loose_scores(cloud, name) for name in ("free-base", "free-tuned"))
    assert tuned["em"] > base["em"] + 0.2


def _loose_scores(cloud: LocalCloud, name: str) -> dict[str, float]:
    s3 = cloud.session().client("s3")
    prefix = f"jobs/{name}/output/output/{name}/eval_results/"
    left = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    key = next(each["Key"] for each in left if "/results_" in each["Key"])
    scores: dict[str, float] = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())[
        "results"
    ]["all"]
    return scores


def test_serverless_requests_that_lead_nowhere_are_refused(sagemaker: Any, evaluator: str) -> None:
    missing = f"{OWN}:model-package/mine/99"
    sft = _serverless(sagemaker, "lost", "s3://b/k", missing, CustomizationTechnique="SFT")
    assert missing in _refused(sagemaker.create_training_job, **sft)[1]
    rft = {"CustomizationTechnique": "RLVR", "EvaluatorArn": evaluator.replace("reward", "other")}
    request = _serverless(sagemaker, "lost", "s3://b/k", **rft)
    assert _refused(sagemaker.create_training_job, **request)[0] == "ResourceNotFound"
    assert _refused(sagemaker.describe_training_job, TrainingJobName="lost")


def test_a_role_must_be_allowed_the_package_that_it_serves(sagemaker: Any, evaluator: str) -> None:
    """Runs after the chain; the execution role of this module may not."""
    code, message = _refused(
        sagemaker.create_model,
        ModelName="packaged",
        ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/execution",
        PrimaryContainer={"ModelPackageName": f"{OWN}:model-package/mine/1"},
    )
    assert code == "ValidationException"
    assert "AccessModelPackage" in message


def test_everything_with_a_tag_is_found(cloud: LocalCloud, sagemaker: Any) -> None:
    tags = [{"Key": "owner", "Value": "finder"}]
    role = f"arn:aws:iam::{ACCOUNT}:role/execution"
    for name, its in {"found": tags, "not-found": []}.items():
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={}, Tags=its)
    tagging = cloud.session().client("resourcegroupstaggingapi")
    wanted = {"TagFilters": [{"Key": "owner", "Values": ["finder"]}]}
    (found,) = tagging.get_resources(**wanted)["ResourceTagMappingList"]
    assert found["ResourceARN"].endswith(":model/found")
    assert found["Tags"] == tags
    others = tagging.get_resources(**wanted, ResourceTypeFilters=["sagemaker:endpoint"])
    assert others["ResourceTagMappingList"] == []


def test_who_may_not_look_for_tags_is_told_so(cloud: LocalCloud) -> None:
    with pytest.raises(ClientError, match="tag:GetResources"):
        _controller(cloud, "resourcegroupstaggingapi").get_resources()


def test_an_update_that_fails_leaves_what_served(cloud: LocalCloud, sagemaker: Any) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/execution"
    for name in ("one", "two", "three"):
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={})
        variant = {"VariantName": "primary", "ModelName": name, "InitialInstanceCount": 1}
        variants = [{**variant, "InstanceType": "ml.p5.48xlarge"}]
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    sagemaker.create_endpoint(EndpointName="lasting", EndpointConfigName="one")
    assert _rests(sagemaker)["EndpointConfigName"] == "one"
    with cloud.under(Fault("endpoint", "lasting", outcome="Held")):
        sagemaker.update_endpoint(EndpointName="lasting", EndpointConfigName="two")
        with pytest.raises(ClientError, match="in-progress"):
            sagemaker.update_endpoint(EndpointName="lasting", EndpointConfigName="three")
    assert _rests(sagemaker)["EndpointConfigName"] == "two"
    cloud.inject(Fault("endpoint", "lasting", reason="made up"))
    sagemaker.update_endpoint(EndpointName="lasting", EndpointConfigName="three")
    described = _rests(sagemaker)
    assert (described["EndpointConfigName"], described["FailureReason"]) == ("two", "made up")


def _rests(sagemaker: Any) -> Any:
    def rests() -> Any:
        described = sagemaker.describe_endpoint(EndpointName="lasting")
        return described if described["EndpointStatus"] == "InService" else None

    return wait_for(rests)


def test_an_inference_component_serves_and_is_deleted_first(
    cloud: LocalCloud, sagemaker: Any
) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/execution"
    variant = {"VariantName": "primary", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(
        EndpointConfigName="empty",
        ExecutionRoleArn=role,
        ProductionVariants=[{**variant, "InstanceType": "ml.p5.48xlarge"}],
    )
    sagemaker.create_model(ModelName="part", ExecutionRoleArn=role, PrimaryContainer={})
    request = {
        "InferenceComponentName": "part",
        "EndpointName": "lasting-parts",
        "VariantName": "primary",
        "Specification": {
            "ModelName": "part",
            "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024},
        },
        "RuntimeConfig": {"CopyCount": 1},
    }
    named = {"EndpointName": "lasting-parts"}
    with cloud.under(Fault("endpoint", "lasting-parts", outcome="Held")):
        sagemaker.create_endpoint(**named, EndpointConfigName="empty")
        with pytest.raises(ClientError, match="must be in service"):
            sagemaker.create_inference_component(**request)

    def status(describe: Callable[..., Any], field: str, **names: str) -> Callable[[], bool]:
        return lambda: describe(**names)[field] == "InService"

    wait_for(status(sagemaker.describe_endpoint, "EndpointStatus", **named))
    sagemaker.create_inference_component(**request)
    part = {"InferenceComponentName": "part"}
    describe = sagemaker.describe_inference_component
    wait_for(status(describe, "InferenceComponentStatus", **part))
    with pytest.raises(ClientError, match="has inference components"):
        sagemaker.delete_endpoint(**named)
    sagemaker.delete_inference_component(**part)
