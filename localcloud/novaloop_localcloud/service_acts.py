"""What SageMaker and Bedrock do as the role that a request hands them: one table for each thing.

A stand-in checks every act before it works, and does with the role's credentials what it really
does, so a right that the role lacks fails the job as it would on AWS.

| who, with what                   | does                               | source         |
|----------------------------------|------------------------------------|----------------|
| a job, a model                   | pulls its image                    | roles          |
| a job                            | finds and reads its channels       | roles          |
| a job                            | writes its output                  | roles          |
| a job, an endpoint, a component  | writes its log and its metrics     | roles          |
| a job with `KmsKeyId`            | uses the key                       | sagemaker-core |
| a job, a model with `VpcConfig`  | makes network interfaces           | roles          |
| a job or a model with a package  | reads the package                  | sagemaker-core |
| a job with a reward or processor | calls the function                 | roles          |
| a serverless job                 | reads hubs                         | sagemaker-core |
| a serverless training            | registers the model                | sagemaker-core |
| a serverless evaluation          | records lineage                    | sagemaker-core |
| Bedrock's job or import          | reads data and weights, writes     | service role   |
|                                  | output, calls the grader, uses the |                |
|                                  | key, makes network interfaces      |                |

roles: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
sagemaker-core: version 2.27, `helper/iam_policies.py`
service role:
https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-iam-role.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Request = Mapping[str, Any]
Denial = Callable[..., str | None]
"""Of a role's ARN, an action, a resource and condition keys: why not, or None if it may."""

_PULL = ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage")
_PACKAGE = (
    "CreateModelPackage",
    "DescribeModelPackage",
    "ListModelPackages",
    "UpdateModelPackage",
    "AddTags",
)
_NETWORK = (
    "CreateNetworkInterface",
    "CreateNetworkInterfacePermission",
    "DeleteNetworkInterface",
    "DeleteNetworkInterfacePermission",
    "DescribeDhcpOptions",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeVpcs",
)
_LINEAGE = {
    "action": ("CreateAction", "DescribeAction", "UpdateAction", "AddAssociation", "AddTags"),
    "artifact": ("CreateArtifact", "DescribeArtifact", "UpdateArtifact", "AddAssociation"),
    "context": ("CreateContext", "DescribeContext", "AddAssociation"),
}


@dataclass(frozen=True)
class Place:
    """Where a job runs."""

    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class Act:
    """One thing that a service does as a role, and why."""

    purpose: str
    action: str
    resource: str = "*"
    keys: Mapping[str, str] = field(default_factory=dict)


def problem(role_arn: str, acts: Iterable[Act], denial: Denial) -> str | None:
    """Say which of the acts the role may not do, in AWS's words, or None if it may do all."""
    for act in acts:
        denied = denial(role_arn, act.action, act.resource, **act.keys)
        if denied is not None:
            return f"AccessDenied: could not {act.purpose}: {denied}"
    return None


def of_training_job(request: Request, place: Place) -> Iterator[Act]:
    """Yield what SageMaker does for a CreateTrainingJob request as its `RoleArn`."""
    yield from _pull(request.get("AlgorithmSpecification", {}).get("TrainingImage"))
    for channel in request.get("InputDataConfig", []):
        yield from _read("read the channels", channel["DataSource"]["S3DataSource"]["S3Uri"])
    output = request["OutputDataConfig"]
    yield from _write(f"{output['S3OutputPath'].rstrip('/')}/{request['TrainingJobName']}/output")
    yield from _key(output.get("KmsKeyId"), ("Encrypt", "Decrypt", "GenerateDataKey"))
    yield from _report("TrainingJobs", f"{request['TrainingJobName']}/algo-1", place)
    yield from _network(request.get("VpcConfig"))
    yield from _called(request)
    location = request.get("HyperParameters", {}).get("base_model_location", "")
    if location.startswith("s3://"):
        yield from _read_weights(location)
    package = request.get("ModelPackageConfig", {}).get("SourceModelPackageArn")
    if package:
        yield Act("read the package", "sagemaker:DescribeModelPackage", package)
    if "ServerlessJobConfig" in request:
        yield from _of_serverless(request, place)


def of_model(request: Request, log: str, place: Place) -> Iterator[Act]:
    """Yield what SageMaker does as a model's role where the model begins to serve.

    `log` is the endpoint or component, such as `Endpoints/mine`.
    """
    container = request["PrimaryContainer"]
    yield from _pull(container.get("Image"))
    source = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
    if source:
        yield from _read_weights(source)
    if "ModelPackageName" in container:
        yield Act("read the package", "sagemaker:AccessModelPackage", container["ModelPackageName"])
    yield from _report(log, "AllTraffic", place)
    yield from _network(request.get("VpcConfig"))


def of_customization_job(request: Request) -> Iterator[Act]:
    """Yield what Bedrock does for a CreateModelCustomizationJob request as its `roleArn`."""
    yield from _read("read the training data", request["trainingDataConfig"]["s3Uri"])
    yield from _locate(request["outputDataConfig"]["s3Uri"])
    for validator in request.get("validationDataConfig", {}).get("validators", []):
        yield from _read("read the validation data", validator["s3Uri"])
    yield Act(
        "write the output", "s3:PutObject", f"{_in_s3(request['outputDataConfig']['s3Uri'])}/"
    )
    grader = request.get("customizationConfig", {}).get("rftConfig", {}).get("graderConfig", {})
    if grader:
        yield Act("call the grader", "lambda:InvokeFunction", grader["lambdaGrader"]["lambdaArn"])
    yield from _key_of_bedrock(request.get("customModelKmsKeyId"))
    yield from _network(request.get("vpcConfig"))
    if "vpcConfig" in request:
        yield Act("mark network interfaces", "ec2:CreateTags")


PACKAGE_RIGHTS = ("sagemaker:AccessModelPackage", "sagemaker:DescribeModelPackage")
"""What whoever imports a model package needs. Bedrock's API reference (ModelPackageArnDataSource)
says "you", which may be the caller, the role or both: here it is both. It speaks of
AccessModelPackageData; IAM's list of SageMaker's actions knows AccessModelPackage alone."""


def of_import(request: Request) -> Iterator[Act]:
    """Yield what Bedrock does for a CreateCustomModel request as its `roleArn`."""
    uri = request.get("modelSourceConfig", {}).get("s3DataSource", {}).get("s3Uri")
    if uri:
        yield from _read_weights(uri)
    package = request.get("customModelDataSource", {}).get("modelPackageArnDataSource", {})
    if package:
        arn = package["modelPackageArn"]
        for action in PACKAGE_RIGHTS:
            yield Act("read the package", action, arn)
    yield from _key_of_bedrock(request.get("modelKmsKeyArn"))


def _pull(image: str | None) -> Iterator[Act]:
    if image is None:
        return
    registry, _, path = image.partition("/")
    account, region = registry.split(".")[0], registry.split(".")[3]
    repository = f"arn:aws:ecr:{region}:{account}:repository/{path.rpartition(':')[0]}"
    yield Act("pull the image", "ecr:GetAuthorizationToken")
    for action in _PULL:
        yield Act("pull the image", f"ecr:{action}", repository)


def _in_s3(uri: str) -> str:
    return f"arn:aws:s3:::{uri.removeprefix('s3://').rstrip('/')}"


def _read(purpose: str, uri: str) -> Iterator[Act]:
    yield Act(purpose, "s3:GetObject", _in_s3(uri))
    yield Act(purpose, "s3:ListBucket", _in_s3(uri).partition("/")[0])


def _locate(uri: str) -> Iterator[Act]:
    """Only sagemaker-core's policies name it, for roles of serverless jobs and of Bedrock."""
    yield Act("find the bucket", "s3:GetBucketLocation", _in_s3(uri).partition("/")[0])


def _read_weights(uri: str) -> Iterator[Act]:
    yield Act("read the weights", "s3:GetObject", f"{_in_s3(uri)}/")
    yield Act("read the weights", "s3:ListBucket", _in_s3(uri).partition("/")[0])


def _write(uri: str) -> Iterator[Act]:
    for action in ("s3:PutObject", "s3:AbortMultipartUpload"):
        yield Act("write the output", action, f"{_in_s3(uri)}/")


def _key(key: str | None, actions: Iterable[str]) -> Iterator[Act]:
    for action in actions if key else ():
        yield Act("use the key", f"kms:{action}", str(key))


def _key_of_bedrock(key: str | None) -> Iterator[Act]:
    """https://docs.aws.amazon.com/bedrock/latest/userguide/encryption-custom-job.html."""
    yield from _key(key, ("Decrypt", "GenerateDataKey", "DescribeKey"))
    if key:
        for_service = {"kms:GrantIsForAWSResource": "true"}
        yield Act("use the key", "kms:CreateGrant", key, for_service)


def _report(group: str, stream: str, place: Place) -> Iterator[Act]:
    log = place.arn("logs", f"log-group:/aws/sagemaker/{group}")
    yield Act("write the log", "logs:CreateLogGroup", log)
    for action in ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"):
        yield Act("write the log", action, f"{log}:log-stream:{stream}")
    namespace = {"cloudwatch:namespace": f"/aws/sagemaker/{group.partition('/')[0]}"}
    yield Act("write metrics", "cloudwatch:PutMetricData", "*", namespace)


def _network(config: Request | None) -> Iterator[Act]:
    for action in _NETWORK if config else ():
        yield Act("make network interfaces", f"ec2:{action}")


def _called(request: Request) -> Iterator[Act]:
    told = request.get("HyperParameters", {})
    for name in ("reward_lambda_arn", "eval_lambda_arn", "lambda_arn"):
        if told.get(name):
            yield Act("call the function", "lambda:InvokeFunction", told[name])


def _of_serverless(request: Request, place: Place) -> Iterator[Act]:
    config = request["ServerlessJobConfig"]
    yield from _locate(request["OutputDataConfig"]["S3OutputPath"])
    for content in (config["BaseModelArn"], config.get("EvaluatorArn")):
        if content:
            start, _, path = content.partition(":hub-content/")
            hub = f"{start}:hub/{path.partition('/')[0]}"
            yield Act("read the hub", "sagemaker:DescribeHub", hub)
            yield Act("read the hub", "sagemaker:ListHubContents", hub)
            for resource in (hub, content):
                yield Act("read the hub", "sagemaker:DescribeHubContent", resource)
    if config["JobType"] == "FineTuning":
        yield from _register(request["ModelPackageConfig"]["ModelPackageGroupArn"])
    else:
        yield from _record(place)


def _register(group: str) -> Iterator[Act]:
    package = f"{group.replace(':model-package-group/', ':model-package/')}/1"
    for action in ("CreateModelPackageGroup", "DescribeModelPackageGroup", "AddTags"):
        yield Act("register the model", f"sagemaker:{action}", group)
    for action in _PACKAGE:
        yield Act("register the model", f"sagemaker:{action}", package)


def _record(place: Place) -> Iterator[Act]:
    for kind, actions in _LINEAGE.items():
        for action in actions:
            resource = place.arn("sagemaker", f"{kind}/0123456789ab")
            yield Act("record lineage", f"sagemaker:{action}", resource)
    for action in ("ListActions", "ListArtifacts", "ListAssociations"):
        yield Act("record lineage", f"sagemaker:{action}")
