"""What AWS's error codes mean to the controller."""

from __future__ import annotations

from botocore.exceptions import ClientError

FOR_NOW = {
    "ResourceLimitExceeded",
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
    "InternalServerException",
    "ModelNotReadyException",
}


def code_of(error: ClientError) -> str:
    """Return AWS's code for an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def text_of(error: ClientError) -> str:
    """Return code and message in one line of at most 500 characters."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    return f"{code_of(error)}: {' '.join(message.split())}"[:500]


def is_missing(error: ClientError) -> bool:
    """Whether SageMaker says that there is no such thing."""
    message = str(error.response.get("Error", {}).get("Message", "")).lower()
    told = "not found" in message or "could not find" in message or "does not exist" in message
    return code_of(error) in {"ResourceNotFound", "ValidationException"} and told


def exists_already(error: ClientError) -> bool:
    """Whether SageMaker refuses a name because it is taken."""
    message = str(error.response.get("Error", {}).get("Message", "")).lower()
    taken = "already exist" in message
    return code_of(error) == "ResourceInUse" or (code_of(error) == "ValidationException" and taken)
