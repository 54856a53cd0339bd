"""What went wrong, in one line that says what to do."""

from __future__ import annotations

import errno
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import click
from boto3.exceptions import Boto3Error
from botocore import exceptions as aws
from botocore.eventstream import ParserError
from pynamodb.exceptions import PynamoDBException
from urllib3.exceptions import HTTPError

from novaloop.experiment.versions import Damaged, NewerVersion
from novaloop_cli.exits import Exit
from novaloop_localcloud.emulator import LocalCloudError, NothingStartedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SIGN_IN = "sign in again, with `aws sso login` or by renewing your keys"
_UNKNOWN_KEYS = "AWS does not know these credentials; check AWS_PROFILE and your keys"
_EXPIRED = f"your AWS credentials have expired; {_SIGN_IN}"
_SIGNED_OUT = f"your AWS sign-in has expired; {_SIGN_IN}"
_CLOCK = "this machine's clock differs from AWS's by minutes; set it, then try again"
_BY_CODE: Mapping[str, str] = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidClientTokenId": _UNKNOWN_KEYS,
    "UnrecognizedClientException": _UNKNOWN_KEYS,
    "SignatureDoesNotMatch": _UNKNOWN_KEYS,
    "InvalidSignatureException": _UNKNOWN_KEYS,
    "IncompleteSignature": _UNKNOWN_KEYS,
    "InvalidAccessKeyId": _UNKNOWN_KEYS,
    "InvalidToken": _UNKNOWN_KEYS,
    "AuthFailure": _UNKNOWN_KEYS,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestInTheFuture": _CLOCK,
    # As IAM Identity Center says it when it is asked for the keys of a role.
    "UnauthorizedException": _SIGNED_OUT,
    "InvalidGrantException": _SIGNED_OUT,
}
_OF_A_CLOCK = ("Signature expired", "Signature not yet current")
"""What SignatureDoesNotMatch and InvalidSignatureException say where only the time is wrong."""
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "ForbiddenException",
    "403",
}
_NEVER_ASKED = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.ProfileNotFound,
    aws.NoRegionError,
    aws.InvalidRegionError,
    aws.ConfigParseError,
    aws.ParamValidationError,
)
_LONGEST = 300
"""Characters of what others say: a proxy may answer with a whole page."""
_NO_SERVICE = (
    "what answered is no service of AWS; check the network, AWS_ENDPOINT_URL, and a proxy or a "
    "sign-in page in between"
)
_BUSY = {"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"}


class Refused(click.ClickException):
    """The person's input can't be used; the message says where, why and what to do."""

    exit_code = Exit.REFUSED


class Failed(click.ClickException):
    """The input was fine, and yet what was asked for did not come about."""

    exit_code = Exit.FAILED


def explain(error: Exception) -> Refused | Failed | None:
    """Say in one line what the outside world did; None if `error` is a defect of our own.

    That is AWS, the network, the disk or the local cloud. What kept AWS from being asked at all is
    refused: the person has to give something else.
    """
    cause = _cause(error)
    if _raised_by(cause) == "botocore.parsers":
        return Failed(_NO_SERVICE)
    for types, kind, words in _KINDS:
        if isinstance(cause, types):
            return kind(words(cause))
    return None


def _cause(error: BaseException) -> BaseException:
    """Return what the libraries over botocore wrapped, which says more than they do."""
    while inner := getattr(error, "cause", None) if isinstance(error, PynamoDBException) else None:
        error = inner
    is_wrapper = isinstance(error, Boto3Error) and error.__context__ is not None
    return error.__context__ or error if is_wrapper else error


def _explain_answer(error: aws.ClientError) -> str:
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "") or code
    if any(words in message for words in _OF_A_CLOCK):
        return _CLOCK
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code in _DENIED:
        return f"{error.operation_name} was denied; ask for this permission: {message}"
    if code in _BUSY:
        return f"AWS is throttling {error.operation_name}; wait a minute and try again"
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        message = f"{message}; wait a minute and try again"
    if not message:  # as of a page of a proxy: AWS gives both
        return f"{error.operation_name}: {_NO_SERVICE}"
    return f"{error.operation_name} failed: {code}: {message}"


def _explain_client(error: Any) -> str:
    words = next((words for types, words in _BY_TYPE if isinstance(error, types)), "{}")
    return words.format(_one_line(error))


_NO_CREDENTIALS = (
    "no AWS credentials were found; run `aws configure` or `aws sso login`, give --profile, or use "
    "--local"
)
_BY_TYPE: Sequence[tuple[type | tuple[type, ...], str]] = (
    ((aws.NoCredentialsError, aws.PartialCredentialsError), _NO_CREDENTIALS),
    (aws.ProfileNotFound, "{}; `aws configure list-profiles` shows those that exist"),
    (
        aws.NoRegionError,
        "no AWS region is set; give --region, set AWS_REGION, or give the profile one",
    ),
    (aws.InvalidRegionError, "{}; give a region such as us-east-1"),
    ((aws.SSOError, aws.TokenRetrievalError, aws.LoginError), _SIGNED_OUT),
    (aws.SSLError, "{}; check AWS_CA_BUNDLE, the clock, and a proxy if you use one"),
    (
        (aws.ConnectionError, aws.HTTPClientError),
        "{}; check the network, the region, and a proxy if you use one",
    ),
)
"""What botocore says without an answer, and what helps; the first that applies."""


def _raised_by(error: BaseException) -> str:
    """Return the module in which an error began.

    botocore reads any answer as one of AWS's. Over the page of a proxy it fails in several ways:
    by an error of its own, or by what Python says of a missing field.
    """
    modules = [frame.f_globals["__name__"] for frame, _ in walk_tb(error.__traceback__)]
    return modules[-1] if modules else ""


def _explain_system(error: OSError) -> str:
    """Say what a disk or the machine did not let us do."""
    what = error.strerror or _one_line(error) or type(error).__name__
    where = str(error.filename) if error.filename is not None else ""
    if not where and error.errno in _FULL:
        where = "the output can't be written"
    remedy = _REMEDIES.get(error.errno or 0, "")
    return "".join((f"{where}: " if where else "", what, f"; {remedy}" if remedy else ""))


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_FREE = "make room, or write elsewhere"
_RIGHT = "ask for the right to it, or name another place"
_REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: _FREE,
    errno.EACCES: _RIGHT,
    errno.EPERM: _RIGHT,
    errno.EROFS: "name another place",
    errno.ENOTDIR: "name another place",
    errno.EEXIST: "name another place",
    errno.ENAMETOOLONG: "give a shorter name",
}


def _one_line(error: Any) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


_KINDS: Sequence[tuple[type | tuple[type, ...], type[Refused | Failed], Callable[[Any], str]]] = (
    (NothingStartedError, Refused, str),
    (LocalCloudError, Failed, str),
    (NewerVersion, Failed, "{}: `pip install` the release that the stack has".format),
    (Damaged, Failed, "{}; nothing writes over it: restore it from the table's backup".format),
    (aws.ClientError, Failed, _explain_answer),
    (_NEVER_ASKED, Refused, _explain_client),
    (aws.BotoCoreError, Failed, _explain_client),
    ((ParserError, HTTPError), Failed, lambda _: _NO_SERVICE),
    (OSError, Failed, _explain_system),
    ((PynamoDBException, Boto3Error), Failed, _one_line),
)
"""What is no defect of our own, how it ends and in which words; the first that applies."""
