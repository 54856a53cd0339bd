"""EventBridge Scheduler's universal targets: a schedule that calls an operation of a service.

What the emulator lacks of it: it calls as the schedule's role, so that a right that is missing is
denied, and refuses what AWS refuses of a request. Sources:
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html, and for the
date that lies too far back getmoto/moto#8172.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from novaloop_localcloud.sagemaker.errors import ServiceError, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from novaloop_localcloud.credentials import Credentials

_TARGET = re.compile(r"arn:aws[a-z-]*:scheduler:::aws-sdk:(?P<service>[a-z]+):(?P<action>\w+)")
_READ_ONLY = ("get", "describe", "list", "query", "search", "scan", "select", "invokeModel")
LATEST_START_SECONDS = 300


def refusal(request: Mapping[str, Any], now: float) -> ServiceError | None:
    """Return what AWS answers to CreateSchedule or UpdateSchedule if it refuses them."""
    started, ended = request.get("StartDate"), request.get("EndDate")
    if started is not None and started < now - LATEST_START_SECONDS:
        return invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
    if started is not None and ended is not None and ended <= started:
        return invalid("The EndDate you specify must be later than the StartDate.")
    target = _TARGET.fullmatch(request.get("Target", {}).get("Arn", ""))
    if target is not None and target["action"].startswith(_READ_ONLY):
        return invalid(f"Invalid RequestJson provided. Reason {target['action']} is read-only")
    return None


def is_universal(target: Mapping[str, Any]) -> bool:
    """Whether a target is an operation of a service."""
    return _TARGET.fullmatch(target.get("Arn", "")) is not None


def call(target: Mapping[str, Any], credentials: Credentials) -> None:
    """Call the operation with the target's input. Raises botocore's ClientError.

    Parameters are spelt in PascalCase there, whatever the service's own API has.
    """
    found = _TARGET.fullmatch(target["Arn"])
    if found is None:
        raise ValueError(f"{target['Arn']} is no universal target")
    client: Any = credentials.session().client(found["service"])
    operation = found["action"][0].upper() + found["action"][1:]
    members = client.meta.service_model.operation_model(operation).input_shape.members
    spelt = {name.lower(): name for name in members}
    given = json.loads(target.get("Input", "{}"))
    parameters = {spelt[name.lower()]: value for name, value in given.items()}
    methods: Mapping[str, str] = client.meta.method_to_api_mapping
    method = next(name for name, api in methods.items() if api == operation)
    called: Callable[..., object] = getattr(client, method)
    called(**parameters)
