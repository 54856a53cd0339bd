"""What each role may do, and above all what it may not, by an offline IAM simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.template.iam_simulator import Request, verdicts
from tests.template.stack import ACCOUNT, REGION, deployed, sam_template

STACK = deployed()
BUCKET = "arn:aws:s3:::novaloop-bucket-example"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/novaloop-Table-EXAMPLE"
DUE_INDEX = f"{TABLE}/index/due-index"
QUOTA_INDEX = f"{TABLE}/index/quota-index"
OTHER_TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/other"
HINTS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:novaloop-HintQueue-EXAMPLE"
DEAD_LETTERS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:novaloop-DeadLetterQueue-EXAMPLE"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:novaloop-Topic-EXAMPLE"
ESCROW = f"arn:aws:s3:::customer-escrow-{ACCOUNT}-smtj-a"
INGEST, METRICS = (
    f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:novaloop-{name}Function-EXAMPLE"
    for name in ("Ingest", "Metrics")
)
REWARD = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:novaloop-SageMaker-reward"
BEDROCK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/novaloop-BedrockRole-EXAMPLE"
EXECUTION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/novaloop-ExecutionRole-EXAMPLE"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:"
OTHER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"

TAG = "novaloop:experiment"
Context = Mapping[str, str | list[str]]

ASKED: Context = {f"aws:RequestTag/{TAG}": "questions", "aws:TagKeys": [TAG]}
TAGGED = {f"aws:ResourceTag/{TAG}": "questions"}
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
TO_BEDROCK = {"iam:PassedToService": "bedrock.amazonaws.com"}
PREFIX = "novaloop:prefix"
ASKED_HERE: Context = {**ASKED, f"aws:RequestTag/{PREFIX}": "novaloop"}
TAGGED_HERE: Context = {**TAGGED, f"aws:ResourceTag/{PREFIX}": "novaloop"}
TAGGED_ELSEWHERE: Context = {**TAGGED, f"aws:ResourceTag/{PREFIX}": "second"}

CONTROLLER, INGESTER, SCORER, SWEEPER = (
    f"{name}FunctionRole" for name in ("Controller", "Ingest", "Metrics", "Sweeper")
)
BIG_FILES = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:novaloop-big-files"
BIG_FILES_ROLE = "BigFilesRole"
REWARDER, JOBS, IMPORTS = "RewardFunctionRole", "ExecutionRole", "BedrockRole"

MANAGED = {
    "AWSLambdaBasicExecutionRole": (
        "writes the function's log; every function gets it from SAM",
        ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
    ),
    "AWSXrayWriteOnlyAccess": (
        "writes traces, which can't be restricted to a resource",
        ["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules"],
    ),
    "AWSLambdaSQSQueueExecutionRole": (
        "polls the hint queue; SAM attaches it to a function with an SQS event",
        ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
    ),
    "AWSLambdaDynamoDBExecutionRole": (
        "reads the table's stream; SAM attaches it to a function with a stream event",
        [
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        ],
    ),
}
"""AWS's managed policies that the roles have: why, and what they allow on every resource."""


def own(kind: str, name: str = "novaloop-questions--sft-1") -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def on_bedrock(kind: str) -> str:
    return f"arn:aws:bedrock:{REGION}:{ACCOUNT}:{kind}/0123456789ab"


MODEL, ON_DEMAND, PROVISIONED = map(
    on_bedrock, ("custom-model/imported", "custom-model-deployment", "provisioned-model")
)


GROUP = own("model-package-group", "novaloop-questions")
EVALUATORS = own("hub", "novaloop-evaluators")
EVALUATOR = own("hub-content", "novaloop-evaluators/JsonDoc/reward-1/0.0.1")
PUBLIC_HUB, NOVA = (
    f"arn:aws:sagemaker:{REGION}:aws:{resource}"
    for resource in (
        "hub/SageMakerPublicHub",
        "hub-content/SageMakerPublicHub/Model/nova-textgeneration-lite-v2/3.0.0",
    )
)


CUSTOMIZATION = on_bedrock("model-customization-job/amazon.nova-2-lite-v1:0:256k")
FOUNDATION = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-2-lite-v1:0:256k"


@dataclass(frozen=True)
class Case:
    """What a role wants to do."""

    role: str
    action: str
    resource: str
    context: Context = field(default_factory=dict)

    def __str__(self) -> str:
        context = "".join(f" {key}={value}" for key, value in self.context.items())
        place = self.resource.split(":", 5)[-1]
        return f"{self.role} {self.action} {place}{context}"


ALLOWED = [
    Case(INGESTER, "s3:GetObject", f"{BUCKET}/inbox/questions/sft.csv"),
    Case(INGESTER, "s3:GetObjectVersion", f"{BUCKET}/inbox/questions/sft.csv"),
    Case(INGESTER, "s3:GetObject", f"{BUCKET}/datasets/questions/sft/a/profile"),
    Case(INGESTER, "s3:PutObject", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(INGESTER, "s3:AbortMultipartUpload", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(INGESTER, "s3:PutObject", f"{BUCKET}/parts/questions/a/0/sft.jsonl"),
    Case(INGESTER, "s3:GetObject", f"{BUCKET}/parts/questions/a/0/sft.jsonl"),
    Case(INGESTER, "states:StartExecution", BIG_FILES),
    Case(BIG_FILES_ROLE, "lambda:InvokeFunction", INGEST),
    Case(BIG_FILES_ROLE, "states:StartExecution", BIG_FILES),
    Case(INGESTER, "dynamodb:PutItem", TABLE),
    Case(INGESTER, "sqs:SendMessage", DEAD_LETTERS),
    Case(CONTROLLER, "dynamodb:Query", TABLE),
    Case(CONTROLLER, "dynamodb:PutItem", TABLE),
    Case(CONTROLLER, "dynamodb:DeleteItem", TABLE),
    Case(CONTROLLER, "dynamodb:Query", QUOTA_INDEX),
    Case(CONTROLLER, "sqs:ReceiveMessage", HINTS),
    Case(CONTROLLER, "sqs:SendMessage", HINTS),
    Case(CONTROLLER, "s3:GetObject", f"{BUCKET}/jobs/questions/a/output/output.tar.gz"),
    Case(CONTROLLER, "s3:PutObject", f"{BUCKET}/jobs/questions/a/recipe.yaml"),
    Case(CONTROLLER, "s3:PutObject", f"{BUCKET}/reports/questions/plan.json"),
    Case(CONTROLLER, "logs:DescribeLogStreams", f"{LOGS}/aws/sagemaker/TrainingJobs:*"),
    Case(CONTROLLER, "logs:FilterLogEvents", f"{LOGS}/aws/sagemaker/TrainingJobs:*"),
    Case(CONTROLLER, "s3:PutObject", f"{BUCKET}/reports/questions/plan.json"),
    Case(CONTROLLER, "lambda:InvokeFunction", METRICS),
    Case(CONTROLLER, "lambda:InvokeFunction", INGEST),
    Case(CONTROLLER, "sns:Publish", TOPIC),
    Case(CONTROLLER, "sagemaker:CreateTrainingJob", own("training-job"), ASKED),
    Case(CONTROLLER, "sagemaker:CreateModelPackageGroup", GROUP, ASKED),
    Case(CONTROLLER, "sagemaker:AddTags", GROUP, ASKED),
    Case(CONTROLLER, "sagemaker:DescribeModelPackageGroup", GROUP),
    Case(CONTROLLER, "sagemaker:ListTags", GROUP),
    *(
        Case(CONTROLLER, f"sagemaker:{action}", resource)
        for action in ("ImportHubContent", "DescribeHubContent")
        for resource in (EVALUATORS, EVALUATOR)
    ),
    Case(CONTROLLER, "sagemaker:CreateHub", EVALUATORS),
    Case(CONTROLLER, "sagemaker:DescribeHub", EVALUATORS),
    Case(CONTROLLER, "sagemaker:DescribeHubContent", PUBLIC_HUB),
    Case(CONTROLLER, "sagemaker:DescribeHubContent", NOVA),
    Case(CONTROLLER, "sagemaker:CreateModel", own("model"), ASKED),
    Case(CONTROLLER, "sagemaker:CreateEndpointConfig", own("endpoint-config"), ASKED),
    Case(CONTROLLER, "sagemaker:CreateEndpoint", own("endpoint"), ASKED),
    Case(CONTROLLER, "sagemaker:AddTags", own("training-job"), ASKED),
    Case(CONTROLLER, "sagemaker:DescribeTrainingJob", own("training-job")),
    Case(CONTROLLER, "sagemaker:ListTags", own("endpoint")),
    Case(CONTROLLER, "sagemaker:StopTrainingJob", own("training-job"), TAGGED),
    Case(CONTROLLER, "sagemaker:DeleteEndpoint", own("endpoint"), TAGGED),
    Case(CONTROLLER, "sagemaker:DeleteEndpointConfig", own("endpoint-config"), TAGGED),
    Case(CONTROLLER, "sagemaker:DeleteModel", own("model"), TAGGED),
    Case(CONTROLLER, "sagemaker:InvokeEndpoint", own("endpoint")),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", own("endpoint", "novaloop-bot"), TAGGED),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", own("endpoint-config"), TAGGED),
    Case(CONTROLLER, "sagemaker:AddTags", own("endpoint", "novaloop-bot"), ASKED),
    Case(CONTROLLER, "sagemaker:CreateInferenceComponent", own("inference-component"), ASKED),
    Case(CONTROLLER, "sagemaker:CreateInferenceComponent", own("endpoint"), ASKED),
    Case(CONTROLLER, "sagemaker:DescribeInferenceComponent", own("inference-component")),
    Case(CONTROLLER, "sagemaker:DeleteInferenceComponent", own("inference-component"), TAGGED),
    Case(CONTROLLER, "sagemaker:InvokeEndpoint", own("inference-component")),
    Case(CONTROLLER, "tag:GetResources", "*"),
    Case(CONTROLLER, "iam:PassRole", EXECUTION_ROLE, TO_SAGEMAKER),
    Case(CONTROLLER, "iam:PassRole", BEDROCK_ROLE, TO_BEDROCK),
    Case(CONTROLLER, "bedrock:CreateCustomModel", "*", ASKED_HERE),
    Case(CONTROLLER, "bedrock:CreateCustomModelDeployment", MODEL, {**ASKED_HERE, **TAGGED_HERE}),
    Case(CONTROLLER, "bedrock:CreateProvisionedModelThroughput", MODEL,
         {**ASKED_HERE, **TAGGED_HERE}),
    Case(CONTROLLER, "bedrock:TagResource", MODEL, ASKED_HERE),
    Case(CONTROLLER, "bedrock:TagResource", ON_DEMAND, ASKED_HERE),
    Case(CONTROLLER, "bedrock:TagResource", PROVISIONED, ASKED_HERE),
    Case(CONTROLLER, "bedrock:GetCustomModel", MODEL),
    Case(CONTROLLER, "bedrock:GetCustomModelDeployment", ON_DEMAND),
    Case(CONTROLLER, "bedrock:GetProvisionedModelThroughput", PROVISIONED),
    Case(CONTROLLER, "bedrock:ListTagsForResource", ON_DEMAND),
    Case(CONTROLLER, "bedrock:DeleteCustomModel", MODEL, TAGGED_HERE),
    Case(CONTROLLER, "bedrock:DeleteCustomModelDeployment", ON_DEMAND, TAGGED_HERE),
    Case(CONTROLLER, "bedrock:DeleteProvisionedModelThroughput", PROVISIONED, TAGGED_HERE),
    Case(CONTROLLER, "bedrock:InvokeModel", ON_DEMAND, TAGGED_HERE),
    Case(CONTROLLER, "bedrock:InvokeModel", PROVISIONED, TAGGED_HERE),
    Case(CONTROLLER, "bedrock:CreateModelCustomizationJob", FOUNDATION, ASKED_HERE),
    Case(CONTROLLER, "bedrock:TagResource", CUSTOMIZATION, ASKED_HERE),
    Case(CONTROLLER, "bedrock:GetModelCustomizationJob", CUSTOMIZATION),
    Case(CONTROLLER, "bedrock:StopModelCustomizationJob", CUSTOMIZATION, TAGGED_HERE),
    Case(IMPORTS, "s3:GetObject", f"{ESCROW}/job/step_10/weights"),
    Case(IMPORTS, "s3:GetObject", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(IMPORTS, "s3:PutObject", f"{BUCKET}/jobs/questions/a/output/metrics.csv"),
    Case(IMPORTS, "lambda:InvokeFunction", REWARD),
    Case(IMPORTS, "sagemaker:AccessModelPackage", own("model-package", "novaloop-questions/3")),
    Case(CONTROLLER, "logs:DescribeLogStreams", f"{LOGS}/aws/sagemaker/TrainingJobs"),
    Case(CONTROLLER, "logs:FilterLogEvents", f"{LOGS}/aws/sagemaker/TrainingJobs"),
    Case(SCORER, "s3:GetObject", f"{BUCKET}/jobs/questions/a/output/output.tar.gz"),
    Case(SCORER, "s3:PutObject", f"{BUCKET}/scores/questions/baseline-1.jsonl"),
    Case(SCORER, "s3:PutObject", f"{BUCKET}/reports/questions/report.html"),
    Case(SCORER, "dynamodb:PutItem", TABLE),
    Case(SWEEPER, "dynamodb:Query", DUE_INDEX),
    Case(SWEEPER, "s3:ListBucket", BUCKET, {"s3:prefix": "inbox/"}),
    Case(SWEEPER, "sqs:SendMessage", HINTS),
    Case(SWEEPER, "lambda:InvokeFunction", INGEST),
    Case(JOBS, "s3:GetObject", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(JOBS, "s3:PutObject", f"{BUCKET}/jobs/questions/a/output/output.tar.gz"),
    Case(JOBS, "s3:PutObject", f"{ESCROW}/job/step_10/weights"),
    Case(JOBS, "sagemaker:AccessModelPackage", own("model-package", "novaloop-questions/1")),
    *(
        Case(JOBS, "logs:PutLogEvents", f"{LOGS}/aws/sagemaker/{group}:log-stream:a")
        for group in ("TrainingJobs", "Endpoints/novaloop-a", "InferenceComponents/novaloop-a")
    ),
    Case(JOBS, "lambda:InvokeFunction", REWARD),
    Case(JOBS, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/x"}),
    Case("SweeperFunctionSweepRole", "lambda:InvokeFunction",
         f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:novaloop-SweeperFunction-EXAMPLE"),
]  # fmt: skip

FORBIDDEN = [
    Case(CONTROLLER, "sagemaker:CreateModelPackageGroup", GROUP),
    Case(CONTROLLER, "sagemaker:CreateModelPackageGroup", own("model-package-group", "a"), ASKED),
    Case(CONTROLLER, "sagemaker:DeleteModelPackageGroup", GROUP, TAGGED),
    Case(CONTROLLER, "sagemaker:CreateHub", own("hub", "others")),
    Case(CONTROLLER, "sagemaker:ImportHubContent", own("hub-content", "others/JsonDoc/a/0.0.1")),
    Case(CONTROLLER, "sagemaker:DeleteHubContent", EVALUATOR),
    Case(CONTROLLER, "sagemaker:DescribeHubContent", NOVA.replace("nova-", "llama-")),
    Case(INGESTER, "s3:DeleteObject", f"{BUCKET}/parts/questions/a/0/sft.jsonl"),
    Case(INGESTER, "states:StartExecution", f"{BIG_FILES}-of-others"),
    Case(INGESTER, "lambda:InvokeFunction", INGEST),
    Case(BIG_FILES_ROLE, "lambda:InvokeFunction", METRICS),
    Case(BIG_FILES_ROLE, "s3:GetObject", f"{BUCKET}/inbox/questions/sft.csv"),
    Case(CONTROLLER, "logs:FilterLogEvents", f"{LOGS}/aws/sagemaker/Endpoints/other:*"),
    Case(INGESTER, "logs:FilterLogEvents", f"{LOGS}/aws/sagemaker/TrainingJobs:*"),
    Case(INGESTER, "s3:PutObject", f"{BUCKET}/inbox/questions/sft.csv"),
    Case(INGESTER, "s3:PutObject", f"{BUCKET}/jobs/questions/a/recipe.yaml"),
    Case(INGESTER, "s3:DeleteObject", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(INGESTER, "s3:GetObject", f"{BUCKET}/jobs/questions/a/output/output.tar.gz"),
    Case(INGESTER, "dynamodb:PutItem", OTHER_TABLE),
    Case(INGESTER, "dynamodb:DeleteItem", TABLE),
    Case(INGESTER, "sagemaker:CreateTrainingJob", own("training-job"), ASKED),
    Case(INGESTER, "sqs:SendMessage", HINTS),
    Case(CONTROLLER, "sagemaker:CreateTrainingJob", own("training-job")),
    Case(CONTROLLER, "sagemaker:CreateTrainingJob", own("training-job", "other-job"), ASKED),
    Case(CONTROLLER, "sagemaker:CreateEndpoint", own("endpoint")),
    Case(CONTROLLER, "sagemaker:CreateNotebookInstance", own("notebook-instance"), ASKED),
    Case(CONTROLLER, "sagemaker:StopTrainingJob", own("training-job")),
    Case(CONTROLLER, "sagemaker:StopTrainingJob", own("training-job", "other-job"), TAGGED),
    Case(CONTROLLER, "sagemaker:DeleteEndpoint", own("endpoint")),
    Case(CONTROLLER, "sagemaker:DeleteEndpoint", own("endpoint", "production"), TAGGED),
    Case(CONTROLLER, "sagemaker:DeleteModel", own("model"), {"aws:ResourceTag/owner": "jane"}),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", own("endpoint")),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", own("endpoint", "production"), TAGGED),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", own("endpoint-config")),
    Case(CONTROLLER, "sagemaker:CreateInferenceComponent", own("inference-component")),
    Case(CONTROLLER, "sagemaker:DeleteInferenceComponent", own("inference-component")),
    Case(CONTROLLER, "sagemaker:InvokeEndpoint", own("inference-component", "production")),
    Case(CONTROLLER, "tag:TagResources", "*"),
    Case(SWEEPER, "tag:GetResources", "*"),
    Case(CONTROLLER, "sagemaker:InvokeEndpoint", own("endpoint", "production")),
    Case(CONTROLLER, "iam:PassRole", OTHER_ROLE, TO_SAGEMAKER),
    Case(CONTROLLER, "iam:PassRole", EXECUTION_ROLE, TO_BEDROCK),
    Case(CONTROLLER, "iam:PassRole", BEDROCK_ROLE, TO_SAGEMAKER),
    Case(CONTROLLER, "bedrock:CreateCustomModel", "*"),
    Case(CONTROLLER, "bedrock:CreateCustomModel", "*", ASKED),
    Case(CONTROLLER, "bedrock:CreateCustomModelDeployment", MODEL, ASKED_HERE),
    Case(CONTROLLER, "bedrock:CreateCustomModelDeployment", MODEL,
         {**ASKED_HERE, **TAGGED_ELSEWHERE}),
    Case(CONTROLLER, "bedrock:DeleteCustomModel", MODEL),
    Case(CONTROLLER, "bedrock:DeleteCustomModel", MODEL, TAGGED_ELSEWHERE),
    Case(CONTROLLER, "bedrock:DeleteCustomModelDeployment", ON_DEMAND),
    Case(CONTROLLER, "bedrock:InvokeModel", ON_DEMAND),
    Case(CONTROLLER, "bedrock:InvokeModel", f"arn:aws:bedrock:{REGION}::foundation-model/a.b"),
    Case(CONTROLLER, "bedrock:DeleteGuardrail", on_bedrock("guardrail"), TAGGED_HERE),
    Case(CONTROLLER, "bedrock:CreateModelCustomizationJob", FOUNDATION, ASKED),
    Case(CONTROLLER, "bedrock:CreateModelCustomizationJob",
         f"arn:aws:bedrock:{REGION}::foundation-model/meta.llama", ASKED_HERE),
    Case(CONTROLLER, "bedrock:StopModelCustomizationJob", CUSTOMIZATION, TAGGED_ELSEWHERE),
    Case(IMPORTS, "s3:PutObject", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(IMPORTS, "lambda:InvokeFunction", METRICS),
    Case(IMPORTS, "s3:PutObject", f"{ESCROW}/job/step_10/weights"),
    Case(IMPORTS, "s3:GetObject", f"{BUCKET}/inbox/questions/sft.csv"),
    Case(IMPORTS, "s3:GetObject", "arn:aws:s3:::customer-escrow-999999999999-smtj-a/weights"),
    Case(IMPORTS, "dynamodb:Query", TABLE),
    Case(CONTROLLER, "iam:PassRole", EXECUTION_ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    Case(CONTROLLER, "s3:PutObject", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(CONTROLLER, "s3:PutObject", f"{BUCKET}/reports/questions/report.html"),
    Case(CONTROLLER, "s3:GetObject", f"{BUCKET}/inbox/questions/sft.csv"),
    Case(CONTROLLER, "s3:DeleteObject", f"{BUCKET}/jobs/questions/a/recipe.yaml"),
    Case(CONTROLLER, "s3:PutObject", f"{BUCKET}/reports/questions/report.html"),
    Case(CONTROLLER, "s3:GetObject", f"{ESCROW}/job/step_10/weights"),
    Case(CONTROLLER, "dynamodb:DeleteItem", OTHER_TABLE),
    Case(SCORER, "dynamodb:DeleteItem", TABLE),
    Case(CONTROLLER, "dynamodb:Query", DUE_INDEX),
    Case(CONTROLLER, "logs:FilterLogEvents", f"{LOGS}/aws/sagemaker/Endpoints/production"),
    Case(CONTROLLER, "lambda:InvokeFunction", REWARD),
    Case(SCORER, "s3:GetObject", f"{BUCKET}/inbox/questions/eval.csv"),
    Case(SCORER, "s3:PutObject", f"{BUCKET}/jobs/questions/a/output/output.tar.gz"),
    Case(SCORER, "sagemaker:DeleteEndpoint", own("endpoint"), TAGGED),
    Case(SCORER, "lambda:InvokeFunction", INGEST),
    Case(SWEEPER, "dynamodb:PutItem", TABLE),
    Case(SWEEPER, "s3:GetObject", f"{BUCKET}/inbox/questions/sft.csv"),
    Case(SWEEPER, "s3:ListBucket", BUCKET, {"s3:prefix": "jobs/"}),
    Case(SWEEPER, "lambda:InvokeFunction", METRICS),
    Case(REWARDER, "s3:GetObject", f"{BUCKET}/datasets/questions/rft/a/rft.jsonl"),
    Case(REWARDER, "dynamodb:Query", TABLE),
    Case(JOBS, "dynamodb:PutItem", TABLE),
    Case(JOBS, "dynamodb:Query", TABLE),
    Case(JOBS, "s3:GetObject", f"{BUCKET}/inbox/questions/sft.csv"),
    Case(JOBS, "s3:PutObject", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(JOBS, "s3:PutObject", f"{BUCKET}/reports/questions/report.html"),
    Case(JOBS, "s3:GetObject", "arn:aws:s3:::customer-escrow-999999999999-smtj-a/weights"),
    Case(JOBS, "lambda:InvokeFunction", METRICS),
    Case(JOBS, "sagemaker:CreateEndpoint", own("endpoint"), ASKED),
    Case(JOBS, "sagemaker:CreateModelPackageGroup", GROUP, ASKED),
    Case(JOBS, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Novaloop"}),
    Case(JOBS, "ec2:CreateNetworkInterface", f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/*"),
    Case(JOBS, "kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"),
]  # fmt: skip


def policies_of(role: str) -> list[Mapping[str, object]]:
    """Return a role's inline policies and what its managed ones allow."""
    allowed = [
        action for arn in managed_policies(role) for action in MANAGED[arn.rpartition("/")[2]][1]
    ]
    statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
    managed = [{"Version": "2012-10-17", "Statement": [statement]}] if allowed else []
    return [*STACK.policies(role), *managed]


def managed_policies(role: str) -> list[str]:
    arns: list[str] = STACK.properties(role).get("ManagedPolicyArns", [])
    return arns


@pytest.fixture(scope="module")
def verdict_of() -> dict[str, str]:
    cases = [*ALLOWED, *FORBIDDEN]
    requests = [Request(policies_of(c.role), c.action, c.resource, c.context) for c in cases]
    return dict(zip(map(str, cases), verdicts(requests), strict=True))


@pytest.mark.parametrize("case", ALLOWED, ids=str)
def test_allowed(case: Case, verdict_of: Mapping[str, str]) -> None:
    assert verdict_of[str(case)] == "Allowed"


@pytest.mark.parametrize("case", FORBIDDEN, ids=str)
def test_forbidden(case: Case, verdict_of: Mapping[str, str]) -> None:
    assert verdict_of[str(case)] == "ImplicitlyDenied"


RESOURCE_POLICIES = {
    "BucketPolicy": ("s3:GetObject", f"{BUCKET}/inbox/questions/sft.csv"),
    "QueuePolicy": ("sqs:SendMessage", HINTS),
    "TopicPolicy": ("sns:Publish", TOPIC),
}


@pytest.mark.parametrize("name", RESOURCE_POLICIES)
def test_nothing_passes_without_tls(name: str) -> None:
    action, resource = RESOURCE_POLICIES[name]
    anything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    policies = [{"Version": "2012-10-17", **anything}]
    document = STACK.properties(name)["PolicyDocument"]
    plain, encrypted = verdicts(
        [
            Request(policies, action, resource, {"aws:SecureTransport": used}, document)
            for used in ("false", "true")
        ]
    )
    assert (plain, encrypted) == ("ExplicitlyDenied", "Allowed")


def test_the_key_and_the_vpc_are_usable_only_when_they_are_configured() -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
    interface = f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/*"
    configured = deployed(OutputKmsKeyId="1", SubnetIds="subnet-1", SecurityGroupIds="sg-1")
    policies = configured.policies(JOBS)
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    delegation = {"Effect": "Allow", "Principal": account, "Action": "kms:*", "Resource": "*"}
    key_policy = {"Version": "2012-10-17", "Statement": [delegation]}
    assert verdicts(
        [
            Request(policies, "kms:GenerateDataKey", key, resource_policy=key_policy),
            Request(policies, "kms:GenerateDataKey", key[:-1] + "2", resource_policy=key_policy),
            Request(policies, "ec2:CreateNetworkInterface", interface),
        ]
    ) == ["Allowed", "ImplicitlyDenied", "Allowed"]


def test_jobs_call_only_the_processor_functions_that_are_configured() -> None:
    ours, other = (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{n}" for n in ("ours", "other"))
    policies = deployed(ProcessorFunctionArns=ours).policies(JOBS)
    called = [Request(policies, "lambda:InvokeFunction", each) for each in (ours, other)]
    without = Request(STACK.policies(JOBS), "lambda:InvokeFunction", ours)
    assert verdicts([*called, without]) == ["Allowed", "ImplicitlyDenied", "ImplicitlyDenied"]


WILDCARDS = {
    ("ControllerFunctionRole", "FindLeftovers"): "GetResources knows no resources; it only reads",
    ("BigFilesRole", "DeliverLogs"): "log deliveries know no resources",
    ("BigFilesRole", "Traces"): "traces can't be restricted to a resource",
    (
        "ControllerFunctionRole",
        "ImportModel",
    ): "CreateCustomModel knows no resources; tags limit it",
    ("ExecutionRole", "ServiceMetrics"): "PutMetricData knows no resources; a namespace limits it",
    ("ExecutionRole", "ImageLogin"): "GetAuthorizationToken knows no resources",
    ("BedrockRole", "NetworkInterfaces"): "what Bedrock's documentation asks for in a VPC",
    ("ExecutionRole", "NetworkInterfaces"): "what SageMaker's documentation asks for in a VPC",
}
"""The statements on every resource, each with its reason."""


def test_only_the_named_statements_are_on_every_resource() -> None:
    stack = deployed(SubnetIds="subnet-1", SecurityGroupIds="sg-1", OutputKmsKeyId="1")
    found = {
        (role, str(statement.get("Sid")))
        for role in stack.of_type("AWS::IAM::Role")
        for statement in stack.statements(role)
        if "*" in _listed(statement["Resource"])
    }
    assert found == set(WILDCARDS)


def test_no_statement_allows_every_action_of_a_service() -> None:
    for role in STACK.of_type("AWS::IAM::Role"):
        for statement in STACK.statements(role):
            assert not any("*" in action for action in _listed(statement["Action"])), role


def test_roles_have_no_other_managed_policies() -> None:
    names = {
        arn.rpartition("/")[2]
        for role in STACK.of_type("AWS::IAM::Role")
        for arn in managed_policies(role)
    }
    assert names == set(MANAGED)


def test_every_function_has_a_role_of_its_own() -> None:
    roles = [properties["Role"] for properties in STACK.of_type("AWS::Lambda::Function").values()]
    assert len(set(roles)) == len(roles) == 5


def test_roles_are_assumed_by_the_one_service_that_needs_them() -> None:
    for role, properties in STACK.of_type("AWS::IAM::Role").items():
        (statement,) = properties["AssumeRolePolicyDocument"]["Statement"]
        services = {
            "BigFilesRole": "states.amazonaws.com",
            "BedrockRole": "bedrock.amazonaws.com",
            "ExecutionRole": "sagemaker.amazonaws.com",
            "SweeperFunctionSweepRole": "scheduler.amazonaws.com",
        }
        expected = services.get(role, "lambda.amazonaws.com")
        assert _listed(statement["Principal"]["Service"]) == [expected], role


def test_who_may_invoke_a_function_is_bound_to_its_source() -> None:
    permissions = STACK.of_type("AWS::Lambda::Permission")
    assert permissions
    for name, properties in permissions.items():
        assert properties.get("SourceArn"), name


def test_what_services_may_send_is_bound_to_this_account_and_source() -> None:
    for name in ("QueuePolicy", "TopicPolicy"):
        for statement in STACK.properties(name)["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                keys = {key for operator in statement["Condition"].values() for key in operator}
                assert keys == {"aws:SourceAccount", "aws:SourceArn"}, (name, statement["Sid"])


def test_resources_of_the_application_are_named_in_the_template_only() -> None:
    named = {
        name: resource["Properties"]
        for name, resource in sam_template()["Resources"].items()
        if {"BucketName", "TableName", "QueueName", "RoleName", "TopicName"}
        & resource.get("Properties", {}).keys()
    }
    assert named == {}, "a fixed name would let only one stack live in an account"


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
