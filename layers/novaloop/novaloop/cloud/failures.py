"""Whose fault a failure is, by what AWS says of it.

One table for training jobs, endpoints, inference components, and Bedrock's jobs, models,
deployments and throughput. No service documents these texts; each row names where it was read.
Of Bedrock's `failureMessage` no public thread shows one for want of capacity or for a fault of
the service: its rows go by the words of its API's own errors.

**A text that no row knows, or none, is a failure for good**, of every kind of work: the stage fails
with the service's words, people are told, and what was made is ended. To try again by itself what
may fail each time would spend money in silence: a job bills until it fails, an endpoint until it is
given up. `novaloop retry` tries it again, at a person's word.

An endpoint that serves one experiment after the other and whose update failed likewise goes on with
the former configuration. A job that was stopped for an unknown reason was stopped, by a person or
by SageMaker: not launched again either.
"""

from __future__ import annotations

import builtins
import re
from dataclasses import dataclass, replace

from novaloop.experiment.controller.observation import Cause, Phase, ResourceStatus

LONGEST_REASON = 500

# SageMaker puts in front of what a container wrote to /opt/ml/output/failure, or of the end of what
# its script said, whose fault it is. Containers and SageMaker itself use the second:
# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-output.html
_CONTAINERS = re.compile(r"(AlgorithmError|ClientError)\b")
_SAGEMAKERS = re.compile(
    r"ClientError: (Data download failed|Artifact upload failed|Please use an instance type with "
    r"more memory|CannotStartContainerError|Cannot pull)"
)
"""What SageMaker says by itself with one of them, of S3, roles and machines. Sources:
DIAGNijmegen/rse-grand-challenge, aws/amazon-sagemaker-examples."""
_EXIT_CODE = re.compile(r"\bexit ?code:? ?(\d{1,3})\b", re.IGNORECASE)
_KNOWN_WORDS = (
    *(
        name
        for name, kind in vars(builtins).items()
        if isinstance(kind, type) and issubclass(kind, BaseException)
    ),
    *("ExecuteUserScriptError", "OutOfMemoryError", "JSONDecodeError", "ValidationError"),
    *("CUDA out of memory", "CUDA error", "NCCL error", "No space left on device"),
)
"""What may be told of a container's words, since it is no data: a fixed list."""
_KNOWN = re.compile(rf"\b({'|'.join(_KNOWN_WORDS)})\b")
_REST = (
    "; what the container wrote may quote data: `novaloop logs` shows it, and the job's "
    "FailureReason"
)


def told(reason: object) -> str | None:
    """Return what a service says of a failure, in one line of bounded length; None if nothing.

    What a service wrote stays whole. A container's words may hold a row of the data, such as an
    exception's that could not read it: of those only the kinds of errors and the exit code stay.
    """
    text = " ".join(str(reason or "").split())
    begin = _CONTAINERS.match(text)
    if begin is None or _SAGEMAKERS.match(text):
        return text[:LONGEST_REASON] or None
    words = ", ".join([*dict.fromkeys(_KNOWN.findall(text, begin.end()))][:3])
    codes = _EXIT_CODE.findall(text)
    code = f", exit code {codes[-1]}" if codes else ""
    return f"{begin[1]}{': ' if words else ''}{words}{code}{_REST}"


@dataclass(frozen=True)
class Saying:
    """What AWS says of a failure, why it came to that, and where that was read.

    No `cause`: the request, the model or its container is at fault, and would be again.
    """

    pattern: re.Pattern[str]
    cause: Cause | None
    source: str


_CAPACITY, _SERVICE_FAULT = Cause.CAPACITY, Cause.SERVICE_FAULT
# The first that matches counts. What a container wrote stands in some of these texts, so the
# sayings that quote one come before those that look for words anywhere.
SAYINGS = tuple(
    Saying(re.compile(pattern, re.IGNORECASE), cause, source)
    for pattern, cause, source in (
        (r"^(AlgorithmError|ClientError)\b", None, "DIAGNijmegen/rse-grand-challenge"),
        (
            r"^Received (client|server) error",
            None,
            "aws/amazon-sagemaker-examples#2815 and #3089",
        ),
        (
            r"did not pass the ping health check",
            None,
            "aws/amazon-sagemaker-examples#210, #379 and #1113",
        ),
        (r"^CapacityError\b", _CAPACITY, "DIAGNijmegen/rse-grand-challenge#2631"),
        (
            r"unable to provision requested ML compute capacity",
            _CAPACITY,
            "aws/sagemaker-pytorch-training-toolkit#171, aws/deep-learning-containers#6673",
        ),
        (
            r"insufficient ?(instance ?)?capacity",
            _CAPACITY,
            "aws/deep-learning-containers#6411; botocore, SecondaryStatusTransition",
        ),
        (
            r"do not have sufficient \S+ capacity",
            _CAPACITY,
            "EC2's words, which SageMaker may quote: aws/aws-parallelcluster-node#603",
        ),
        (
            r"temporarily unavailable in supported availability zones",
            _CAPACITY,
            "aws/amazon-sagemaker-feedback#99",
        ),
        (
            r"^(ResourceLimitExceeded|ServiceQuotaExceeded)|account-level service limit",
            _CAPACITY,
            "aws/amazon-sagemaker-examples#307 and #3432",
        ),
        (
            r"^(InternalServer(Error|Exception)|InternalFailure)\b",
            _SERVICE_FAULT,
            "aws/sagemaker-python-sdk#70 and #2496, aws/sagemaker-spark#76",
        ),
        (
            r"encountered an internal error",
            _SERVICE_FAULT,
            "aws/amazon-sagemaker-examples#1316",
        ),
        (
            r"\binternal (server )?error occurred",
            _SERVICE_FAULT,
            "Bedrock API, InternalServerException",
        ),
        (
            r"^Request to service failed",
            _SERVICE_FAULT,
            "philschmid/cdk-samples#6, aws-samples/aws-genai-llm-chatbot#30",
        ),
        (
            r"^ServiceUnavailable|service (isn't|is not) (currently )?available",
            _SERVICE_FAULT,
            "Bedrock API, ServiceUnavailableException",
        ),
        (r"^Throttling|\brate exceeded\b", _SERVICE_FAULT, "aws/deep-learning-containers#1018"),
    )
)


def cause_of(reason: str | None) -> Cause | None:
    """Return why something failed by no fault of its own; None if that is not said."""
    said = (each for each in SAYINGS if each.pattern.search(reason or ""))
    first = next(said, None)
    return first.cause if first else None


def judged(resource: ResourceStatus) -> ResourceStatus:
    """Return failed work as LOST, with the cause, where the service says that it is no fault."""
    cause = cause_of(resource.reason) if resource.phase is Phase.FAILED else None
    return replace(resource, phase=Phase.LOST, cause=cause) if cause else resource
