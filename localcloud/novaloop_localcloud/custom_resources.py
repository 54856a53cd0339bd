"""What CloudFormation refuses of a custom resource's answer, and the emulator takes.

Sources: "Custom resource response objects" in CloudFormation's user guide; for the size, exactly
4,096 bytes, awsdocs/aws-cloudformation-user-guide#262, and what is said then, aws-samples/
amazon-cloudfront-secure-static-site#25; for ids, convox/cli#68; for characters, aws-cloudformation/
cloudformation-coverage-roadmap#1601, where they make the stack's events unreadable.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RESPONSE_BYTES, ID_BYTES = 4_096, 1_024
_COPIED = ("StackId", "RequestId", "LogicalResourceId")


def problem(request: Mapping[str, Any], answer: bytes) -> str | None:
    """Return why CloudFormation does not take an answer to a request, or None if it does."""
    if len(answer) > RESPONSE_BYTES:
        return "Response object is too long."
    try:
        told = json.loads(answer)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return "Invalid response object: it is not a JSON object"
    return _problem(request, told)


def _problem(request: Mapping[str, Any], told: Mapping[str, Any]) -> str | None:
    physical_id, reason = told.get("PhysicalResourceId"), told.get("Reason", "")
    for name in _COPIED:
        if told.get(name) != request[name]:
            return f"Invalid response object: {name} is not that of the request"
    if told.get("Status") not in {"SUCCESS", "FAILED"}:
        return "Invalid response object: Status must be SUCCESS or FAILED"
    if told["Status"] == "FAILED" and not reason:
        return "Invalid response object: Reason is required if Status is FAILED"
    if any(ord(character) < ord(" ") for character in reason):
        return "The response contains control characters or otherwise invalid characters"
    is_id = isinstance(physical_id, str) and 0 < len(physical_id.encode()) <= ID_BYTES
    is_same = request["RequestType"] != "Delete" or physical_id == request["PhysicalResourceId"]
    return None if is_id and is_same else "Invalid PhysicalResourceId"
