"""What each role may do, and above all what it may not, by an offline IAM simulator."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from novaloop.recipes.facts import facts
from tests.template.iam_simulator import Request, verdicts
from tests.template.stack import ACCOUNT, REGION, deployed, sam_template

STACK = deployed()
BUCKET = "arn:aws:s3:::novaloop-bucket-example"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/novaloop-Table-EXAMPLE"
STREAM = f"{TABLE}/stream/2026-01-05T09:00:00.000"
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
ENDING_ROLE = f"arn:aws:iam::{ACCOUNT}:role/novaloop-EndingRole-EXAMPLE"
SCHEDULES = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule"
EXECUTION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/novaloop-ExecutionRole-EXAMPLE"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:"
OTHER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"

TAG = "novaloop:experiment"
Context = Mapping[str, str | list[str]]

ASKED: Context = {f"aws:RequestTag/{TAG}": "questions", "aws:TagKeys": [TAG]}
TAGGED = {f"aws:ResourceTag/{TAG}": "questions"}
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
TO_SCHEDULER = {"iam:PassedToService": "scheduler.amazonaws.com"}
TO_BEDROCK = {"iam:PassedToService": "bedrock.amazonaws.com"}
PREFIX = "novaloop:prefix"
ASKED_HERE: Context = {**ASKED, f"aws:RequestTag/{PREFIX}": "novaloop"}
TAGGED_HERE: Context = {**TAGGED, f"aws:ResourceTag/{PREFIX}": "novaloop"}
OF_THE_STACK: Context = {**TAGGED, "aws:ResourceTag/novaloop:stack": "novaloop"}
OF_ANOTHER_STACK: Context = {**TAGGED, "aws:ResourceTag/novaloop:stack": "second"}
TAGGED_ELSEWHERE: Context = {**TAGGED, f"aws:ResourceTag/{PREFIX}": "second"}

CONTROLLER, INGESTER, SCORER, SWEEPER = (
    f"{name}FunctionRole" for name in ("Controller", "Ingest", "Metrics", "Sweeper")
)
BIG_FILES = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:novaloop-big-files"
EXECUTION = f"{BIG_FILES.replace(':stateMachine:', ':execution:')}:questions-sft-0-1"
BIG_FILES_ROLE = "BigFilesRole"
REWARDER, JOBS, IMPORTS = "RewardFunctionRole", "ExecutionRole", "BedrockRole"
ENDING = "EndingRole"
GUARD = "GuardFunctionRole"
OWN_STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/novaloop/id"


def own(kind: str, name: str = "novaloop-questions--sft-1") -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def on_bedrock(kind: str) -> str:
    return f"arn:aws:bedrock:{REGION}:{ACCOUNT}:{kind}/0123456789ab"


LINEAGE = {
    "action": ("CreateAction", "DescribeAction", "UpdateAction", "AddAssociation", "AddTags"),
    "artifact": ("CreateArtifact", "DescribeArtifact", "UpdateArtifact", "AddAssociation"),
    "context": ("CreateContext", "DescribeContext", "AddAssociation"),
}
"""What the service records of evaluations as the execution role, by the kind of resource.

Source: sagemaker-core 2.27, `helper/iam_policies.py`, `evaluation_policy`, without its deletions.
"""
LASTING = own("endpoint", "novaloop-bot")
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
    Case(INGESTER, "states:DescribeExecution", EXECUTION),
    Case(BIG_FILES_ROLE, "lambda:InvokeFunction", INGEST),
    Case(BIG_FILES_ROLE, "states:StartExecution", BIG_FILES),
    Case(INGESTER, "dynamodb:PutItem", TABLE),
    Case(INGESTER, "dynamodb:UpdateItem", TABLE),
    Case(INGESTER, "sqs:SendMessage", DEAD_LETTERS),
    Case(CONTROLLER, "dynamodb:Query", TABLE),
    Case(CONTROLLER, "dynamodb:PutItem", TABLE),
    Case(CONTROLLER, "dynamodb:DeleteItem", TABLE),
    Case(CONTROLLER, "dynamodb:Query", QUOTA_INDEX),
    *(
        Case(CONTROLLER, f"sqs:{action}", HINTS)
        for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
    ),
    *(
        Case(CONTROLLER, f"dynamodb:{action}", STREAM)
        for action in ("DescribeStream", "GetRecords", "GetShardIterator")
    ),
    Case(CONTROLLER, "dynamodb:ListStreams", "*"),
    Case(CONTROLLER, "sqs:SendMessage", DEAD_LETTERS),
    Case(CONTROLLER, "sqs:SendMessage", HINTS),
    Case(CONTROLLER, "s3:GetObject", f"{BUCKET}/jobs/questions/a/output/output.tar.gz"),
    Case(CONTROLLER, "s3:GetObject", f"{BUCKET}/inbox/questions/sft.csv"),
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
    # By the name alone: what does not exist, or whose tag does not show yet, has no tag.
    Case(CONTROLLER, "sagemaker:StopTrainingJob", own("training-job")),
    Case(CONTROLLER, "sagemaker:DeleteEndpoint", own("endpoint")),
    Case(CONTROLLER, "sagemaker:DeleteEndpointConfig", own("endpoint-config")),
    Case(CONTROLLER, "sagemaker:DeleteModel", own("model")),
    Case(CONTROLLER, "sagemaker:DeleteInferenceComponent", own("inference-component")),
    Case(CONTROLLER, "sagemaker:DeleteEndpoint", LASTING, TAGGED),
    Case(CONTROLLER, "sagemaker:InvokeEndpoint", own("endpoint")),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", LASTING, TAGGED),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", own("endpoint-config")),
    Case(CONTROLLER, "sagemaker:AddTags", LASTING, ASKED),
    Case(CONTROLLER, "sagemaker:CreateInferenceComponent", own("inference-component"), ASKED),
    Case(CONTROLLER, "sagemaker:CreateInferenceComponent", own("endpoint"), ASKED),
    Case(CONTROLLER, "sagemaker:DescribeInferenceComponent", own("inference-component")),
    Case(CONTROLLER, "sagemaker:InvokeEndpoint", own("inference-component")),
    Case(CONTROLLER, "tag:GetResources", "*"),
    Case(CONTROLLER, "sagemaker:ListTrainingJobs", "*"),
    Case(CONTROLLER, "bedrock:ListModelCustomizationJobs", "*"),
    Case(CONTROLLER, "iam:PassRole", EXECUTION_ROLE, TO_SAGEMAKER),
    Case(CONTROLLER, "iam:PassRole", BEDROCK_ROLE, TO_BEDROCK),
    Case(CONTROLLER, "iam:PassRole", ENDING_ROLE, TO_SCHEDULER),
    *(
        Case(CONTROLLER, f"scheduler:{action}Schedule", f"{SCHEDULES}/default/novaloop-a--deploy-1")
        for action in ("Create", "Update", "Get", "Delete")
    ),
    *(
        Case(SWEEPER, f"scheduler:{action}Schedule", f"{SCHEDULES}/default/novaloop-a--deploy-1")
        for action in ("Create", "Update", "Get")
    ),
    Case(SWEEPER, "iam:PassRole", ENDING_ROLE, TO_SCHEDULER),
    Case(SWEEPER, "sns:Publish", TOPIC),
    Case(SWEEPER, "tag:GetResources", "*"),
    Case(SWEEPER, "sagemaker:ListTrainingJobs", "*"),
    Case(SWEEPER, "bedrock:ListModelCustomizationJobs", "*"),
    Case(SWEEPER, "sagemaker:DescribeEndpoint", own("endpoint")),
    Case(SWEEPER, "bedrock:GetProvisionedModelThroughput", PROVISIONED),
    Case(GUARD, "cloudformation:DescribeStacks", OWN_STACK),
    *(
        Case(GUARD, action, "*")
        for action in (
            "sagemaker:ListEndpoints",
            "sagemaker:ListInferenceComponents",
            "sagemaker:ListTrainingJobs",
            "bedrock:ListProvisionedModelThroughputs",
            "bedrock:ListCustomModelDeployments",
            "bedrock:ListModelCustomizationJobs",
            "tag:GetResources",
        )
    ),
    Case(GUARD, "sagemaker:DescribeEndpoint", LASTING),
    Case(ENDING, "sagemaker:DeleteEndpoint", own("endpoint"), TAGGED),
    Case(ENDING, "sagemaker:DeleteEndpoint", LASTING, TAGGED),
    Case(ENDING, "sagemaker:DeleteInferenceComponent", own("inference-component"), TAGGED),
    Case(ENDING, "bedrock:DeleteProvisionedModelThroughput", PROVISIONED, TAGGED_HERE),
    # Of whatever prefix, as the stack may have had another one.
    *(
        Case(role, "sagemaker:DescribeEndpoint", own("endpoint", "former-bot"))
        for role in (CONTROLLER, SWEEPER, GUARD)
    ),
    Case(CONTROLLER, "sagemaker:DeleteEndpoint", own("endpoint", "former-bot"), OF_THE_STACK),
    Case(CONTROLLER, "sagemaker:StopTrainingJob", own("training-job", "former-x--sft-1"),
         OF_THE_STACK),
    Case(CONTROLLER, "bedrock:DeleteProvisionedModelThroughput", PROVISIONED,
         {**TAGGED_ELSEWHERE, **OF_THE_STACK}),
    *(
        case
        for role in (ENDING, SWEEPER)
        for case in (
            Case(role, "sagemaker:DeleteEndpoint", own("endpoint", "former-bot"), OF_THE_STACK),
            Case(role, "sagemaker:DeleteInferenceComponent",
                 own("inference-component", "former-x--deploy-1"), OF_THE_STACK),
            Case(role, "bedrock:DeleteProvisionedModelThroughput", PROVISIONED,
                 {**TAGGED_ELSEWHERE, **OF_THE_STACK}),
        )
    ),
    Case(SWEEPER, "sagemaker:DescribeInferenceComponent", own("inference-component")),
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
    *(
        Case(role, f"sagemaker:{action}", own("model-package", "novaloop-questions/3"))
        for role in (CONTROLLER, IMPORTS)
        for action in ("AccessModelPackage", "DescribeModelPackage")
    ),
    Case(CONTROLLER, "logs:DescribeLogStreams", f"{LOGS}/aws/sagemaker/TrainingJobs"),
    Case(CONTROLLER, "logs:FilterLogEvents", f"{LOGS}/aws/sagemaker/TrainingJobs"),
    Case(SCORER, "s3:GetObject", f"{BUCKET}/jobs/questions/a/output/output.tar.gz"),
    Case(SCORER, "s3:GetObject", f"{BUCKET}/datasets/questions/old/a/recorded.jsonl"),
    Case(SCORER, "s3:GetObject", f"{BUCKET}/datasets/questions/eval/a/reference.jsonl"),
    Case(SCORER, "s3:PutObject", f"{BUCKET}/scores/questions/baseline-1.jsonl"),
    Case(SCORER, "s3:PutObject", f"{BUCKET}/reports/questions/report.html"),
    Case(SCORER, "dynamodb:PutItem", TABLE),
    Case(SWEEPER, "dynamodb:Query", DUE_INDEX),
    Case(SWEEPER, "dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": ["SWEEP"]}),
    Case(SWEEPER, "s3:ListBucket", BUCKET, {"s3:prefix": "inbox/"}),
    Case(SWEEPER, "sqs:SendMessage", HINTS),
    Case(SWEEPER, "lambda:InvokeFunction", INGEST),
    Case(JOBS, "s3:GetObject", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(JOBS, "s3:PutObject", f"{BUCKET}/jobs/questions/a/output/output.tar.gz"),
    Case(JOBS, "s3:PutObject", f"{ESCROW}/job/step_10/weights"),
    Case(JOBS, "s3:GetBucketLocation", BUCKET),
    Case(IMPORTS, "s3:GetBucketLocation", BUCKET),
    *(
        Case(JOBS, f"sagemaker:{action}", own("model-package", package))
        for action in ("AccessModelPackage", "DescribeModelPackage")
        for package in ("novaloop-questions/1", "made-elsewhere/7")
    ),
    *(
        Case(JOBS, f"sagemaker:{action}", resource)
        for action in ("DescribeHub", "ListHubContents")
        for resource in (PUBLIC_HUB, EVALUATORS)
    ),
    *(
        Case(JOBS, "sagemaker:DescribeHubContent", resource)
        for resource in (PUBLIC_HUB, NOVA, EVALUATORS, EVALUATOR)
    ),
    *(
        Case(JOBS, f"sagemaker:{action}", GROUP)
        for action in ("CreateModelPackageGroup", "DescribeModelPackageGroup", "AddTags")
    ),
    *(
        Case(JOBS, f"sagemaker:{action}", own("model-package", "novaloop-questions/1"))
        for action in (
            "CreateModelPackage",
            "ListModelPackages",
            "UpdateModelPackage",
            "AddTags",
        )
    ),
    *(
        Case(JOBS, f"sagemaker:{action}", own(kind, "0a1b2c"))
        for kind, actions in LINEAGE.items()
        for action in actions
    ),
    *(
        Case(JOBS, f"sagemaker:{action}", "*")
        for action in ("ListActions", "ListArtifacts", "ListAssociations")
    ),
    *(
        Case(JOBS, f"ecr:{action}", f"arn:aws:ecr:{region}:{account}:repository/nova-a-repo")
        for action in ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage")
        for region, account in facts().registry_accounts.items()
    ),
    Case(JOBS, "ecr:GetAuthorizationToken", "*"),
    *(
        Case(JOBS, "logs:PutLogEvents", f"{LOGS}/aws/sagemaker/{group}:log-stream:a")
        for group in ("TrainingJobs", "Endpoints/novaloop-a", "InferenceComponents/novaloop-a")
    ),
    Case(JOBS, "lambda:InvokeFunction", REWARD),
    Case(JOBS, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/x"}),
    *(
        Case(role, f"logs:{action}", f"{LOGS}novaloop-{role[:-12]}Logs-EXAMPLE:log-stream:a")
        for role in (INGESTER, CONTROLLER, SCORER, REWARDER, SWEEPER, GUARD)
        for action in ("CreateLogStream", "PutLogEvents")
    ),
    Case("SweeperFunctionSweepRole", "lambda:InvokeFunction",
         f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:novaloop-SweeperFunction-EXAMPLE"),
]  # fmt: skip

FORBIDDEN = [
    Case(GUARD, "cloudformation:DescribeStacks", OWN_STACK.replace("novaloop/id", "others/id")),
    Case(GUARD, "cloudformation:DeleteStack", OWN_STACK),
    Case(GUARD, "sagemaker:DeleteEndpoint", own("endpoint"), TAGGED),
    Case(GUARD, "sagemaker:StopTrainingJob", own("training-job"), TAGGED),
    Case(GUARD, "sagemaker:DeleteEndpoint", own("endpoint", "former-bot"), OF_THE_STACK),
    Case(GUARD, "dynamodb:Query", TABLE),
    Case(CONTROLLER, "sqs:ReceiveMessage", f"{HINTS}-of-others"),
    Case(CONTROLLER, "sqs:DeleteMessage", DEAD_LETTERS),
    Case(CONTROLLER, "dynamodb:GetRecords", f"{OTHER_TABLE}/stream/2026-01-05T09:00:00.000"),
    Case(CONTROLLER, "sagemaker:CreateModelPackageGroup", GROUP),
    Case(CONTROLLER, "sagemaker:CreateModelPackageGroup", own("model-package-group", "a"), ASKED),
    Case(CONTROLLER, "sagemaker:DeleteModelPackageGroup", GROUP, TAGGED),
    Case(CONTROLLER, "sagemaker:CreateHub", own("hub", "others")),
    Case(CONTROLLER, "sagemaker:ImportHubContent", own("hub-content", "others/JsonDoc/a/0.0.1")),
    Case(CONTROLLER, "sagemaker:DeleteHubContent", EVALUATOR),
    Case(CONTROLLER, "sagemaker:DescribeHubContent", NOVA.replace("nova-", "llama-")),
    Case(INGESTER, "s3:DeleteObject", f"{BUCKET}/parts/questions/a/0/sft.jsonl"),
    Case(INGESTER, "states:StartExecution", f"{BIG_FILES}-of-others"),
    Case(INGESTER, "states:DescribeExecution", EXECUTION.replace("files", "files-of-others")),
    Case(INGESTER, "states:StopExecution", EXECUTION),
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
    Case(INGESTER, "dynamodb:UpdateItem", OTHER_TABLE),
    Case(INGESTER, "dynamodb:DeleteItem", TABLE),
    Case(INGESTER, "sagemaker:CreateTrainingJob", own("training-job"), ASKED),
    Case(INGESTER, "sqs:SendMessage", HINTS),
    Case(CONTROLLER, "sagemaker:CreateTrainingJob", own("training-job")),
    Case(CONTROLLER, "sagemaker:CreateTrainingJob", own("training-job", "other-job"), ASKED),
    Case(CONTROLLER, "sagemaker:CreateEndpoint", own("endpoint")),
    Case(CONTROLLER, "sagemaker:CreateNotebookInstance", own("notebook-instance"), ASKED),
    # One hyphen: a lasting name, or a person's own.
    *(
        Case(CONTROLLER, f"sagemaker:{action}", own(kind, name), TAGGED)
        for action, kind in (
            ("StopTrainingJob", "training-job"),
            ("DeleteModel", "model"),
            ("DeleteEndpointConfig", "endpoint-config"),
            ("DeleteInferenceComponent", "inference-component"),
        )
        for name in ("novaloop-bot", "other-questions--sft-1", "novaloop2-questions--sft-1")
    ),
    Case(CONTROLLER, "sagemaker:DeleteEndpoint", LASTING),
    Case(CONTROLLER, "sagemaker:DeleteEndpoint", LASTING, {"aws:ResourceTag/owner": "jane"}),
    Case(CONTROLLER, "sagemaker:DeleteEndpoint", own("endpoint", "production"), TAGGED),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", LASTING),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", own("endpoint", "production"), TAGGED),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", own("endpoint-config", "novaloop-bot")),
    Case(CONTROLLER, "sagemaker:CreateInferenceComponent", own("inference-component")),
    Case(CONTROLLER, "sagemaker:InvokeEndpoint", own("inference-component", "production")),
    Case(CONTROLLER, "tag:TagResources", "*"),
    Case(SWEEPER, "sagemaker:DeleteEndpoint", own("endpoint"), TAGGED),
    Case(SWEEPER, "sagemaker:StopTrainingJob", own("training-job"), TAGGED),
    Case(SWEEPER, "scheduler:DeleteSchedule", f"{SCHEDULES}/default/novaloop-a--deploy-1"),
    Case(SWEEPER, "scheduler:CreateSchedule", f"{SCHEDULES}/default/others"),
    Case(SWEEPER, "iam:PassRole", EXECUTION_ROLE, TO_SCHEDULER),
    Case(CONTROLLER, "sagemaker:InvokeEndpoint", own("endpoint", "production")),
    Case(CONTROLLER, "iam:PassRole", OTHER_ROLE, TO_SAGEMAKER),
    Case(CONTROLLER, "iam:PassRole", OTHER_ROLE, TO_SCHEDULER),
    Case(CONTROLLER, "iam:PassRole", ENDING_ROLE, TO_SAGEMAKER),
    Case(CONTROLLER, "iam:PassRole", EXECUTION_ROLE, TO_SCHEDULER),
    *(
        Case(CONTROLLER, f"scheduler:{action}Schedule", f"{SCHEDULES}/{name}")
        for action in ("Create", "Update", "Get", "Delete")
        for name in ("default/others", "mine/novaloop-a--deploy-1")
    ),
    Case(ENDING, "sagemaker:DeleteEndpoint", own("endpoint")),
    Case(ENDING, "sagemaker:DeleteEndpoint", own("endpoint", "production"), TAGGED),
    *(
        Case(role, "sagemaker:DeleteEndpoint", own("endpoint", "former-bot"), OF_ANOTHER_STACK)
        for role in (CONTROLLER, ENDING)
    ),
    Case(CONTROLLER, "sagemaker:UpdateEndpoint", own("endpoint", "former-bot"), OF_THE_STACK),
    Case(ENDING, "sagemaker:DeleteEndpoint", own("endpoint", "production"),
         {"aws:ResourceTag/novaloop:stack": "novaloop"}),
    Case(ENDING, "sagemaker:DeleteModel", own("model"), TAGGED),
    Case(ENDING, "sagemaker:StopTrainingJob", own("training-job"), TAGGED),
    Case(ENDING, "bedrock:DeleteProvisionedModelThroughput", PROVISIONED, TAGGED_ELSEWHERE),
    Case(ENDING, "bedrock:DeleteProvisionedModelThroughput", PROVISIONED),
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
    Case(CONTROLLER, "s3:DeleteObject", f"{BUCKET}/jobs/questions/a/recipe.yaml"),
    Case(CONTROLLER, "s3:PutObject", f"{BUCKET}/reports/questions/report.html"),
    Case(CONTROLLER, "s3:GetObject", f"{ESCROW}/job/step_10/weights"),
    Case(CONTROLLER, "dynamodb:DeleteItem", OTHER_TABLE),
    Case(SCORER, "dynamodb:DeleteItem", TABLE),
    Case(CONTROLLER, "dynamodb:Query", DUE_INDEX),
    Case(CONTROLLER, "logs:FilterLogEvents", f"{LOGS}/aws/sagemaker/Endpoints/production"),
    Case(CONTROLLER, "lambda:InvokeFunction", REWARD),
    Case(SCORER, "s3:GetObject", f"{BUCKET}/inbox/questions/eval.csv"),
    Case(SCORER, "s3:GetObject", f"{BUCKET}/datasets/questions/sft/a/sft.jsonl"),
    Case(SCORER, "s3:PutObject", f"{BUCKET}/jobs/questions/a/output/output.tar.gz"),
    Case(SCORER, "sagemaker:DeleteEndpoint", own("endpoint"), TAGGED),
    Case(SCORER, "lambda:InvokeFunction", INGEST),
    Case(SWEEPER, "dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": ["questions"]}),
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
    Case(JOBS, "sagemaker:CreateModelPackageGroup", own("model-package-group", "others")),
    Case(JOBS, "sagemaker:CreateModelPackage", own("model-package", "others/1")),
    Case(JOBS, "sagemaker:UpdateModelPackage", own("model-package", "others/1")),
    Case(JOBS, "sagemaker:DeleteModelPackage", own("model-package", "novaloop-questions/1")),
    Case(JOBS, "sagemaker:AddTags", own("training-job")),
    Case(JOBS, "sagemaker:CreateTrainingJob", own("training-job")),
    Case(JOBS, "sagemaker:DeleteAction", own("action", "0a1b2c")),
    Case(JOBS, "sagemaker:DescribeHubContent", own("hub-content", "others/JsonDoc/a/0.0.1")),
    Case(JOBS, "sagemaker:ImportHubContent", EVALUATOR),
    *(
        Case(JOBS, "ecr:BatchGetImage", f"arn:aws:ecr:{REGION}:{account}:repository/nova-mine")
        for account in (ACCOUNT, "999999999999")
    ),
    Case(JOBS, "ecr:PutImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/my-inference"),
    Case(JOBS, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Novaloop"}),
    Case(JOBS, "ec2:CreateNetworkInterface", f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/*"),
    Case(JOBS, "kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"),
]  # fmt: skip


@pytest.fixture(scope="module")
def verdict_of() -> dict[str, str]:
    cases = [*ALLOWED, *FORBIDDEN]
    requests = [Request(STACK.policies(c.role), c.action, c.resource, c.context) for c in cases]
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
    "DeadLetterQueuePolicy": ("sqs:SendMessage", DEAD_LETTERS),
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


KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
KEY_OF_ANOTHER_ACCOUNT = KEY.replace(ACCOUNT, "210987654321")
CONFIGURED = {"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}
THROUGH_S3, THROUGH_BEDROCK, THROUGH_EC2 = (
    {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"} for service in ("s3", "bedrock", "ec2")
)
FOR_A_SERVICE, FOR_ANYBODY = ({"kms:GrantIsForAWSResource": flag} for flag in ("true", "false"))
WITH_THE_KEY: dict[tuple[str, str], tuple[list[Context], list[Context]]] = {
    (SCORER, "kms:Decrypt"): ([THROUGH_S3], [{}, THROUGH_BEDROCK]),
    (SCORER, "kms:GenerateDataKey"): ([], [THROUGH_S3]),
    (CONTROLLER, "kms:Decrypt"): ([THROUGH_S3, THROUGH_BEDROCK], [{}, THROUGH_EC2]),
    (CONTROLLER, "kms:GenerateDataKey"): ([THROUGH_BEDROCK], [{}, THROUGH_S3]),
    (CONTROLLER, "kms:CreateGrant"): (
        [{**THROUGH_BEDROCK, **FOR_A_SERVICE}],
        [THROUGH_BEDROCK, FOR_A_SERVICE, {**THROUGH_BEDROCK, **FOR_ANYBODY}],
    ),
    (INGESTER, "kms:Decrypt"): ([], [THROUGH_S3]),
    (SWEEPER, "kms:Decrypt"): ([], [THROUGH_S3]),
    **{
        (role, f"kms:{action}"): ([{}, THROUGH_S3], [])
        for role in (JOBS, IMPORTS)
        for action in ("Encrypt", "Decrypt", "GenerateDataKey", "DescribeKey")
    },
    **{(role, "kms:CreateGrant"): ([FOR_A_SERVICE], [{}, FOR_ANYBODY]) for role in (JOBS, IMPORTS)},
    (JOBS, "kms:ScheduleKeyDeletion"): ([], [{}]),
}
"""With an output key: in which contexts each role may do what with it, and in which not."""


@pytest.mark.parametrize("key", [KEY, KEY_OF_ANOTHER_ACCOUNT])
def test_who_reads_or_writes_jobs_output_may_use_its_key(key: str) -> None:
    stack = deployed(OutputKmsKeyArn=key)
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    delegation = {"Effect": "Allow", "Principal": account, "Action": "kms:*", "Resource": "*"}
    key_policy = {"Version": "2012-10-17", "Statement": [delegation]}
    requests, expected = [], []
    for (role, action), (allowed, denied) in WITH_THE_KEY.items():
        for context in [*allowed, *denied]:
            policies = stack.policies(role)
            other = f"{key[:-1]}6"
            asked = (policies, action, key, context, key_policy)
            requests += [Request(*asked), Request(policies, action, other, context, key_policy)]
            expected += ["Allowed" if context in allowed else "ImplicitlyDenied"]
            expected += ["ImplicitlyDenied"]
    got = verdicts(requests)
    assert [
        (request.action, request.resource, request.context, verdict)
        for request, verdict, wanted in zip(requests, got, expected, strict=True)
        if verdict != wanted
    ] == []


def test_no_role_may_use_a_key_without_an_output_key() -> None:
    for role in STACK.of_type("AWS::IAM::Role"):
        assert "kms:" not in json.dumps(STACK.policies(role)), role


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("", True),
        (KEY, True),
        (KEY_OF_ANOTHER_ACCOUNT, True),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-{'0a' * 16}", True),
        (f"arn:aws-us-gov:kms:us-gov-west-1:{ACCOUNT}:key/{KEY[-36:]}", True),
        (KEY[-36:], False),
        ("alias/jobs", False),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/jobs", False),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*", False),
        (f" {KEY}", False),
    ],
)
def test_the_output_key_is_given_by_its_arn(given: str, fits: bool) -> None:
    spec = sam_template()["Parameters"]["OutputKmsKeyArn"]
    assert (re.fullmatch(spec["AllowedPattern"], given) is not None) is fits
    assert "aws kms describe-key" in spec["ConstraintDescription"]


def test_network_interfaces_are_made_only_where_a_vpc_is_configured() -> None:
    interface = f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/*"
    asked = [
        Request(stack.policies(role), "ec2:CreateNetworkInterface", interface)
        for stack in (deployed(**CONFIGURED), STACK)
        for role in (JOBS, IMPORTS)
    ]
    assert verdicts(asked) == ["Allowed", "Allowed", "ImplicitlyDenied", "ImplicitlyDenied"]


def test_jobs_call_only_the_processor_functions_that_are_configured() -> None:
    ours, other = (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{n}" for n in ("ours", "other"))
    policies = deployed(ProcessorFunctionArns=ours).policies(JOBS)
    called = [Request(policies, "lambda:InvokeFunction", each) for each in (ours, other)]
    without = Request(STACK.policies(JOBS), "lambda:InvokeFunction", ours)
    assert verdicts([*called, without]) == ["Allowed", "ImplicitlyDenied", "ImplicitlyDenied"]


@pytest.mark.parametrize("role", [JOBS, IMPORTS])
def test_jobs_call_only_the_reward_functions_that_are_configured(role: str) -> None:
    ours, other = (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{n}" for n in ("ours", "other"))
    policies = deployed(RewardFunctionArns=f"{ours},{ours}-too").policies(role)
    called = [Request(policies, "lambda:InvokeFunction", each) for each in (ours, other)]
    without = Request(STACK.policies(role), "lambda:InvokeFunction", ours)
    assert verdicts([*called, without]) == ["Allowed", "ImplicitlyDenied", "ImplicitlyDenied"]


def test_jobs_pull_only_images_of_aws_and_of_the_repositories_that_are_configured() -> None:
    mirror, other = (f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{n}" for n in ("nova/a", "tools"))
    policies = deployed(ImageRepositoryArns=mirror.replace("/a", "/*")).policies(JOBS)
    pulled = [Request(policies, "ecr:BatchGetImage", each) for each in (mirror, other)]
    assert verdicts(pulled) == ["Allowed", "ImplicitlyDenied"]


WILDCARDS = {
    ("ControllerFunctionRole", "FindLeftovers"): "lists know no resources; they only read",
    ("BigFilesRole", "DeliverLogs"): "log deliveries know no resources",
    ("BigFilesRole", "Traces"): "traces can't be restricted to a resource",
    ("ControllerFunctionRole", "ImportModel"): "CreateCustomModel knows none; tags limit it",
    ("ControllerFunctionRole", "FindStream"): "ListStreams knows no resources; it only reads",
    ("SweeperFunctionRole", "FindWhatBills"): "lists know no resources; they only read",
    ("GuardFunctionRole", "FindWhatBills"): "lists know no resources; they only read",
    ("ExecutionRole", "ServiceMetrics"): "PutMetricData knows no resources; a namespace limits it",
    ("ExecutionRole", "FindLineage"): "listing lineage knows no resources; it only reads",
    ("ExecutionRole", "ImageLogin"): "GetAuthorizationToken knows no resources",
    ("BedrockRole", "NetworkInterfaces"): "what Bedrock's documentation asks for in a VPC",
    ("ExecutionRole", "NetworkInterfaces"): "what SageMaker's documentation asks for in a VPC",
}
"""The statements on every resource, each with its reason."""


def test_only_the_named_statements_are_on_every_resource() -> None:
    stack = deployed(**CONFIGURED, OutputKmsKeyArn=KEY)
    found = {
        (role, str(statement.get("Sid")))
        for role in stack.of_type("AWS::IAM::Role")
        for statement in stack.statements(role)
        if "*" in _listed(statement["Resource"])
    }
    of_every_function = {
        (function["Role"].rpartition("/")[2].split("-")[1], sid)
        for function in stack.of_type("AWS::Lambda::Function").values()
        for sid in ("WriteAnyLog", "WriteTraces")
    }
    assert found == set(WILDCARDS) | of_every_function


def test_no_statement_allows_every_action_of_a_service() -> None:
    for role in STACK.of_type("AWS::IAM::Role"):
        for statement in STACK.statements(role):
            assert not any("*" in action for action in _listed(statement["Action"])), role


def test_every_function_has_a_role_of_its_own() -> None:
    roles = [properties["Role"] for properties in STACK.of_type("AWS::Lambda::Function").values()]
    assert len(set(roles)) == len(roles) == 6


def test_roles_are_assumed_by_the_one_service_that_needs_them() -> None:
    for role, properties in STACK.of_type("AWS::IAM::Role").items():
        (statement,) = properties["AssumeRolePolicyDocument"]["Statement"]
        services = {
            "BigFilesRole": "states.amazonaws.com",
            "BedrockRole": "bedrock.amazonaws.com",
            "ExecutionRole": "sagemaker.amazonaws.com",
            "EndingRole": "scheduler.amazonaws.com",
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
    for name in ("QueuePolicy", "DeadLetterQueuePolicy", "TopicPolicy"):
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
