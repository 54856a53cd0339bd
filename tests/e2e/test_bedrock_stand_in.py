"""The Bedrock stand-in through boto3 and through the application's adapter, IAM enforced."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from novaloop.cloud.bedrock import OnDemandDeployments, ProvisionedThroughputs
from novaloop.experiment.controller.observation import Phase
from novaloop.experiment.record import Obstacle, Owner
from novaloop.experiment.runtimes.serving import EndpointRef
from novaloop.recipes.bedrock_serving import BedrockServing, native_request, plan_bedrock_serving
from novaloop.recipes.jobs import Deployment
from novaloop.recipes.names import bedrock_name
from novaloop.usecases.ports import LaunchRefused, NotServing
from novaloop_localcloud.cloud import LocalCloud, up
from novaloop_localcloud.emulator import Timing
from novaloop_localcloud.learner import Model
from novaloop_localcloud.sagemaker.faults import Fault
from tests.e2e.application import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from novaloop.cloud.bedrock import BedrockEndpoints
    from novaloop.experiment.controller.observation import ResourceStatus
    from novaloop.recipes.bedrock_serving import BedrockPlan

pytestmark = pytest.mark.e2e

ACCOUNT = "000000000000"
ESCROW = f"customer-escrow-{ACCOUNT}-smtj-test"
CHECKPOINT = f"s3://{ESCROW}/job/9"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/import"
DEPLOYMENT = Deployment(region="us-east-1", execution_role_arn=ROLE)
TAGS = {"novaloop:experiment": "demo", "novaloop:stage": "deploy-1"}
AS_IT_IS = [
    Fault(kind, outcome="Held")
    for kind in ("custom-model", "custom-model-deployment", "provisioned-model")
]
FAST = Config(retries={"total_max_attempts": 1})
OWN = {"Null": {"aws:ResourceTag/novaloop:experiment": "false"}}
"""The condition under which something is ours to delete and to ask."""
CONTROLLER: list[dict[str, Any]] = [
    {
        "Effect": "Allow",
        "Action": ["bedrock:Get*", "bedrock:List*", "bedrock:Create*", "bedrock:TagResource"],
        "Resource": "*",
    },
    {
        "Effect": "Allow",
        "Action": ["bedrock:Delete*", "bedrock:InvokeModel"],
        "Resource": "*",
        "Condition": OWN,
    },
    {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": f"arn:aws:iam::{ACCOUNT}:role/*",
        "Condition": {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}},
    },
]
UUID = "11111111-2222-3333-4444-555555555555"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{UUID}"
USE_KEY = ("kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKey")
READ_ESCROW: list[dict[str, Any]] = [
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{ESCROW}", f"arn:aws:s3:::{ESCROW}/*"],
    }
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    timing = Timing(job_starting=0.1, endpoint_creating=0.2)
    with up(tmp_path_factory.mktemp("cloud"), template=None, timing=timing) as running:
        iam = running.session().client("iam")
        _role(iam, "import", "bedrock.amazonaws.com", READ_ESCROW)
        _role(iam, "blind", "bedrock.amazonaws.com", [])
        _role(iam, "elsewhere", "sagemaker.amazonaws.com", READ_ESCROW)
        _role(iam, "controller", "lambda.amazonaws.com", CONTROLLER)
        _put_checkpoint(running.session().client("s3"))
        yield running


def _role(iam: Any, name: str, service: str, statements: list[dict[str, Any]]) -> None:
    principal = {"Service": service, "AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))
    if statements:
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=policy)


def _put_checkpoint(s3: Any) -> None:
    """Put a model there that always answers with its one answer."""
    s3.create_bucket(Bucket=ESCROW)
    model = Model()
    model.learn_answers(["süß"])
    model.weights[:, model.answers.index("süß")] += np.float32(9)
    with tempfile.TemporaryDirectory() as directory:
        model.save(Path(directory))
        for file in Path(directory).iterdir():
            s3.upload_file(str(file), ESCROW, f"job/9/{file.name}")


@pytest.fixture(scope="module")
def session(cloud: LocalCloud) -> boto3.Session:
    return _session(cloud, "controller")


def _session(cloud: LocalCloud, role: str) -> boto3.Session:
    sts = cloud.session().client("sts")
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    found = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return boto3.Session(
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["SessionToken"],
        region_name="us-east-1",
    )


@pytest.fixture(params=[OnDemandDeployments, ProvisionedThroughputs])
def endpoints(request: pytest.FixtureRequest, cloud: LocalCloud, session: boto3.Session) -> Any:
    clients = [_client(cloud, session, name) for name in ("bedrock", "bedrock-runtime")]
    return request.param(*clients)


def _client(cloud: LocalCloud, session: boto3.Session, name: str) -> Any:
    state = cloud.state
    return session.client(
        name, config=FAST, endpoint_url=state.endpoint_url, verify=str(state.ca_bundle)
    )


def plan(endpoints: BedrockEndpoints, name: str, role: str = ROLE, **changes: Any) -> BedrockPlan:
    units = 1 if isinstance(endpoints, ProvisionedThroughputs) else None
    serving = replace(
        BedrockServing(name, CHECKPOINT, name.replace("_", "--"), units, TAGS), **changes
    )
    return plan_bedrock_serving(serving, replace(DEPLOYMENT, execution_role_arn=role))


def ref(name: str) -> EndpointRef:
    return EndpointRef(name, bedrock_name(name))


def named(endpoints: BedrockEndpoints, word: str) -> str:
    return f"{word}-{type(endpoints).__name__.lower()}-1"


def served(endpoints: BedrockEndpoints, name: str) -> BedrockPlan:
    asked = plan(endpoints, name)
    endpoints.launch(asked)
    wait_until(endpoints, name, Phase.HALFWAY)
    endpoints.proceed(asked)
    wait_until(endpoints, name, Phase.READY)
    return asked


def wait_until(endpoints: BedrockEndpoints, name: str, phase: Phase) -> None:
    def look() -> ResourceStatus:
        return endpoints.describe(ref(name), Owner("demo"))

    wait_for(lambda: look().phase is phase, look)


def test_a_checkpoint_is_imported_deployed_asked_and_deleted(
    cloud: LocalCloud, endpoints: BedrockEndpoints
) -> None:
    name = f"novaloop-demo--{type(endpoints).__name__.lower()}-1"
    asked = plan(endpoints, name.replace("--", "_"))
    assert endpoints.describe(ref(name), Owner("demo")).phase is Phase.ABSENT
    with cloud.under(*AS_IT_IS):
        endpoints.launch(asked)
        endpoints.launch(asked)  # as after a crash
        assert endpoints.describe(ref(name), Owner("demo")).phase is Phase.ACTIVE
    wait_until(endpoints, name, Phase.HALFWAY)
    with cloud.under(*AS_IT_IS):
        endpoints.proceed(asked)
        endpoints.proceed(asked)
        assert endpoints.describe(ref(name), Owner("demo")).phase is Phase.ACTIVE
    assert not endpoints.describe(ref(name), Owner("another")).ours
    wait_until(endpoints, name, Phase.READY)
    assert endpoints.ask(ref(name), native_request("hello?", "Be sweet.", 20)) == "süß"
    while endpoints.describe(ref(name), Owner("demo")).phase is not Phase.ABSENT:
        endpoints.delete(ref(name))
    endpoints.delete(ref(name))


def test_a_model_that_exists_is_deployed_at_once(endpoints: BedrockEndpoints) -> None:
    first = named(endpoints, "first")
    endpoints.launch(plan(endpoints, first))
    wait_until(endpoints, first, Phase.HALFWAY)
    arn = endpoints.describe(ref(first), Owner("demo")).arn
    assert arn is not None
    second = named(endpoints, "second")
    endpoints.launch(plan(endpoints, second, checkpoint=arn))
    wait_until(endpoints, second, Phase.READY)
    endpoints.delete(ref(first))
    assert endpoints.describe(ref(first), Owner("demo")).phase is Phase.HALFWAY, (
        "it serves under another name"
    )


def test_an_import_fails_with_its_reason(endpoints: BedrockEndpoints) -> None:
    name = named(endpoints, "blind")
    endpoints.launch(plan(endpoints, name, ROLE.replace("import", "blind")))
    wait_until(endpoints, name, Phase.FAILED)
    assert "not authorized to perform: s3:GetObject" in (
        endpoints.describe(ref(name), Owner("demo")).reason or ""
    )
    endpoints.delete(ref(name))
    assert endpoints.describe(ref(name), Owner("demo")).phase is Phase.ABSENT


def test_what_can_never_be_is_refused_for_good(endpoints: BedrockEndpoints) -> None:
    with pytest.raises(LaunchRefused, match="can't assume the role") as caught:
        endpoints.launch(plan(endpoints, "other-role", ROLE.replace("import", "elsewhere")))
    assert caught.value.cause is Obstacle.INVALID


def test_a_quota_is_waited_for(cloud: LocalCloud, endpoints: BedrockEndpoints) -> None:
    name = named(endpoints, "quota")
    cloud.inject(Fault("CreateCustomModel", name, code="ServiceQuotaExceededException"))
    with pytest.raises(LaunchRefused) as caught:
        endpoints.launch(plan(endpoints, name))
    assert caught.value.cause is Obstacle.QUOTA
    assert endpoints.describe(ref(name), Owner("demo")).phase is Phase.ABSENT


def test_a_failed_deployment_says_why(cloud: LocalCloud, endpoints: BedrockEndpoints) -> None:
    name = named(endpoints, "failing")
    for kind in ("custom-model-deployment", "provisioned-model"):
        cloud.inject(Fault(kind, name, reason="no capacity"))
    asked = plan(endpoints, name)
    endpoints.launch(asked)
    wait_until(endpoints, name, Phase.HALFWAY)
    endpoints.proceed(asked)
    wait_until(endpoints, name, Phase.FAILED)
    assert endpoints.describe(ref(name), Owner("demo")).reason == "no capacity"


def test_what_is_not_ours_is_neither_served_nor_deleted(
    cloud: LocalCloud, endpoints: BedrockEndpoints
) -> None:
    name = named(endpoints, "foreign")
    administrator = cloud.session().client("bedrock")
    request = dict(plan(endpoints, name).create_model or {})
    administrator.create_custom_model(**{**request, "modelTags": []})
    endpoints.launch(plan(endpoints, name))
    wait_until(endpoints, name, Phase.HALFWAY)
    assert not endpoints.describe(ref(name), Owner("demo")).ours
    endpoints.delete(ref(name))
    assert administrator.get_custom_model(modelIdentifier=name)["modelStatus"] == "Active"


def test_an_answer_is_streamed_in_chunks(cloud: LocalCloud, endpoints: BedrockEndpoints) -> None:
    name = named(endpoints, "streaming")
    served(endpoints, name)
    runtime = cloud.session().client("bedrock-runtime")
    arn = endpoints.describe(ref(name), Owner("demo")).arn
    body = json.dumps(native_request("hello?", None, 20))
    answer = runtime.invoke_model_with_response_stream(modelId=arn, body=body)
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    deltas = [chunk["contentBlockDelta"] for chunk in chunks if "contentBlockDelta" in chunk]
    assert "".join(each["delta"]["text"] for each in deltas) == "süß"
    assert [next(iter(chunk)) for chunk in chunks[-2:]] == ["messageStop", "metadata"]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "hello?"}], "max_tokens": 5},
        {"messages": []},
        {
            "messages": [{"role": "user", "content": [{"text": "hello?"}]}],
            "inferenceConfig": {"temperature": 0},
        },
    ],
)
def test_another_schema_is_no_request(endpoints: BedrockEndpoints, body: dict[str, Any]) -> None:
    name = named(endpoints, "schema")
    if endpoints.describe(ref(name), None).phase is Phase.ABSENT:
        served(endpoints, name)
    with pytest.raises(NotServing, match="Malformed input request") as caught:
        endpoints.ask(ref(name), body)
    assert not caught.value.for_now


def test_a_role_without_rights_can_create_nothing(cloud: LocalCloud) -> None:
    session = _session(cloud, "blind")
    with pytest.raises(ClientError, match="not authorized to perform: bedrock:CreateCustomModel"):
        _client(cloud, session, "bedrock").create_custom_model(
            modelName="no", roleArn=ROLE, modelSourceConfig={"s3DataSource": {"s3Uri": CHECKPOINT}}
        )


@pytest.mark.parametrize("denied", [None, *USE_KEY])
def test_a_model_under_a_key_is_asked_for_by_who_may_use_the_key(
    cloud: LocalCloud, denied: str | None
) -> None:
    role = f"without-{(denied or 'nothing').rpartition(':')[2]}"
    through = {"StringEquals": {"kms:ViaService": "bedrock.us-east-1.amazonaws.com"}}
    use = {
        "Effect": "Allow",
        "Action": [action for action in USE_KEY if action != denied],
        "Resource": KEY,
        "Condition": through,
    }
    _role(cloud.session().client("iam"), role, "lambda.amazonaws.com", [*CONTROLLER, use])
    bedrock = _client(cloud, _session(cloud, role), "bedrock")
    imported = {
        "modelName": role,
        "roleArn": ROLE,
        "modelSourceConfig": {"s3DataSource": {"s3Uri": CHECKPOINT}},
        "modelKmsKeyArn": KEY,
    }
    customized = {
        "jobName": role,
        "customModelName": f"{role}-customized",
        "roleArn": ROLE,
        "baseModelIdentifier": "amazon.nova-lite-v1:0:300k",
        "trainingDataConfig": {"s3Uri": f"{CHECKPOINT}/rows.jsonl"},
        "outputDataConfig": {"s3Uri": f"{CHECKPOINT}/out"},
        "customModelKmsKeyId": KEY,
    }
    if denied is None:
        assert bedrock.create_custom_model(**imported)["modelArn"]
        return
    for ask, request in (
        (bedrock.create_custom_model, imported),
        (bedrock.create_model_customization_job, customized),
    ):
        with pytest.raises(ClientError, match=f"not authorized to perform: {denied}"):
            ask(**request)
