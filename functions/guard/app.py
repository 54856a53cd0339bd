"""Answers for the custom resources that hold up what would leave behind something that bills.

`Guard` fails the stack's deletion; `PrefixGuard`, the only one with a `Prefix`, fails an update to
another one.

CloudFormation waits for an answer to each request, so every way leads to one, whatever breaks: also
the layer and the settings, which are therefore only looked for once the answer can be given.

Sources, in CloudFormation's user guide: "Custom resource request types" and "Custom resource
response objects" (4,096 bytes at most; the `PhysicalResourceId` is the same in all responses, and
another one after an update would have the old one deleted). awslabs' cfn-response module leaves the
content type of the presigned URL's request empty, as the signature wants it.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

OURS = "novaloop-guard-"
"""What the guard's physical id begins with, once its creation has been answered."""
RESERVE = 45_000
"""Milliseconds before the function's end from which on nothing more is begun: the longest call and
the answer take less."""
TRIES, TIMEOUT = 3, 5.0
logger = logging.getLogger()


def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Handle a request of CloudFormation's; raise if the answer can't be delivered."""
    try:
        may_go, reason = _decide(event, context)
    except Exception as error:
        logger.exception("let go, since the guard is broken")
        may_go, reason = True, f"the guard is broken: {type(error).__name__}"
    logger.info(json.dumps({"request": event.get("RequestType"), "yes": may_go, "why": reason}))
    _deliver(event, _answer(event, may_go=may_go, reason=reason))


def _decide(event: dict[str, Any], context: LambdaContext) -> tuple[bool, str]:
    kind = event.get("RequestType")
    if kind not in {"Create", "Update", "Delete"}:
        return False, f"RequestType is {kind!a}, not Create, Update or Delete"
    prefix = event.get("ResourceProperties", {}).get("Prefix")
    former = event.get("OldResourceProperties", {}).get("Prefix") if kind == "Update" else None
    if kind != "Delete" and former in {None, prefix}:
        return True, "nothing is made"
    if kind == "Delete" and prefix is not None:
        return True, "only the other guard holds up a deletion"
    if kind == "Delete" and not str(event.get("PhysicalResourceId")).startswith(OURS):
        return True, "its creation was never answered"
    from novaloop.usecases import guard  # noqa: PLC0415 - it may be missing or broken
    from novaloop.wiring.guard import guard_world  # noqa: PLC0415 - likewise

    def in_time() -> bool:
        return context.get_remaining_time_in_millis() > RESERVE

    world = guard_world(former)
    if former is None:
        verdict = guard.judge(event["StackId"], world, in_time)
    else:
        verdict = guard.judge_new_prefix(event["StackId"], former, world, in_time)
    for each in verdict.remaining:
        logger.warning(each)
    return verdict.may_go, verdict.reason


def _answer(event: dict[str, Any], *, may_go: bool, reason: str) -> bytes:
    same = ("StackId", "RequestId", "LogicalResourceId")
    physical_id = event.get("PhysicalResourceId") or OURS + str(event.get("StackId"))[-36:]
    answer = {
        **{name: event.get(name, "") for name in same},
        "Status": "SUCCESS" if may_go else "FAILED",
        "Reason": reason[:1_000],
        "PhysicalResourceId": physical_id,
    }
    return json.dumps(answer).encode()


def _deliver(event: dict[str, Any], answer: bytes) -> None:
    url = str(event["ResponseURL"])
    for left in reversed(range(TRIES)):
        try:
            request = urllib.request.Request(  # noqa: S310 - CloudFormation's own URL
                url, data=answer, headers={"Content-Type": ""}, method="PUT"
            )
            with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310 - likewise
                return
        except OSError:
            if not left:
                raise
            time.sleep(1)
