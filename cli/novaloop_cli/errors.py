"""What went wrong, in one line that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from botocore import exceptions as aws
from pynamodb.exceptions import PynamoDBException

from novaloop.experiment.versions import NewerVersion
from novaloop_cli.exits import Exit
from novaloop_localcloud.emulator import LocalCloudError, NothingStartedError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIGN_IN = "sign in again, with `aws sso login` or by renewing your keys"
_UNKNOWN_KEYS = "AWS does not know these credentials; check AWS_PROFILE and your keys"
_EXPIRED = f"your AWS credentials have expired; {_SIGN_IN}"
_BY_CODE: Mapping[str, str] = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "InvalidClientTokenId": _UNKNOWN_KEYS,
    "UnrecognizedClientException": _UNKNOWN_KEYS,
    "SignatureDoesNotMatch": _UNKNOWN_KEYS,
    "InvalidAccessKeyId": _UNKNOWN_KEYS,
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
_NEVER_ASKED = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.ProfileNotFound,
    aws.NoRegionError,
)
_BUSY = {"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"}


class Refused(click.ClickException):
    """The person's input can't be used; the message says where, why and what to do."""

    exit_code = Exit.REFUSED


class Failed(click.ClickException):
    """The input was fine, and yet what was asked for did not come about."""

    exit_code = Exit.FAILED


def explain(error: Exception) -> Refused | Failed | None:
    """Say in one line what an AWS call failed of; None if `error` comes from elsewhere.

    What kept AWS from being asked at all is refused: the person has to give something else.
    """
    if isinstance(error, NothingStartedError):
        return Refused(str(error))
    if isinstance(error, LocalCloudError):
        return Failed(str(error))
    if isinstance(error, NewerVersion):
        return Failed(f"{error}: `pip install` the release that the stack has")
    while isinstance(error, PynamoDBException) and error.cause is not None:
        error = error.cause
    if isinstance(error, aws.ClientError):
        return Failed(_explain_answer(error))
    if isinstance(error, aws.BotoCoreError):
        kind = Refused if isinstance(error, _NEVER_ASKED) else Failed
        return kind(_explain_client(error))
    return Failed(str(error)) if isinstance(error, PynamoDBException) else None


def _explain_answer(error: aws.ClientError) -> str:
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "") or code
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code in _DENIED:
        return f"{error.operation_name} was denied; ask for this permission: {message}"
    if code in _BUSY:
        return f"AWS is throttling {error.operation_name}; wait a minute and try again"
    return f"{error.operation_name} failed: {code}: {message}"


def _explain_client(error: aws.BotoCoreError) -> str:
    match error:
        case aws.NoCredentialsError() | aws.PartialCredentialsError():
            return (
                "no AWS credentials were found; run `aws configure` or `aws sso login`, "
                "give --profile, or use --local"
            )
        case aws.ProfileNotFound():
            return f"{error}; `aws configure list-profiles` shows those that exist"
        case aws.NoRegionError():
            return "no AWS region is set; give --region or set AWS_REGION"
        case aws.SSOError() | aws.TokenRetrievalError() | aws.LoginError():
            return f"your AWS sign-in has expired; {_SIGN_IN}"
        case aws.ConnectionError() | aws.HTTPClientError():
            return (
                f"{_first_line(error)}; check the network, the region, and a proxy if you use one"
            )
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
