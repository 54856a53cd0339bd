"""Schedules of EventBridge Scheduler that end what serves, without the controller.

Each calls one operation of SageMaker or Bedrock, a "universal target", as a role that may do
nothing else, and lies in the group `default`, so that neither goes with the stack. It is a rate,
not a single time: an endpoint that is being created can't be deleted, nor can one that has an
inference component, and a target's refusal is nothing that a retry policy promises to try again. So
it tries again by itself until its `EndDate`, after which it is deleted.

Facts, from the user guide of EventBridge Scheduler: `StartDate` sets the first occurrence of a rate
(schedule-types); `ActionAfterCompletion: DELETE` deletes a recurring schedule after the invocation
nearest to its `EndDate` (managing-schedule-delete); `Arn` and `Input` of a universal target
(managing-targets-universal), which does not say how parameters are spelt: in PascalCase here, as in
Step Functions. Not in it: a `StartDate` more than 5 minutes ago is refused (getmoto/moto#8172).
UpdateSchedule replaces the whole schedule, so that each request holds all of it (API reference).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from novaloop.cloud.errors import found, is_denied, obstacle_of, text_of
from novaloop.experiment.record import Obstacle
from novaloop.usecases.errors import code_of
from novaloop.usecases.ports import LaunchRefused

if TYPE_CHECKING:
    from novaloop.experiment.record import Backstop

EVERY = "rate(15 minutes)"
TRIES_FOR = timedelta(days=7)
"""Longer than anything is being created or changed."""


SAME_TIME = timedelta(minutes=1)
"""What a time may differ by that was sent and comes back: whole seconds are sent."""


class EndingSchedules:
    """Schedules of the account; implements the port `Schedules`."""

    def __init__(self, scheduler: Any, role_arn: str) -> None:
        self._scheduler = scheduler
        self._role_arn = role_arn

    def put(self, backstop: Backstop, now: datetime) -> bool:
        """Create its schedules, or move them; whether one was missing. Raises LaunchRefused."""
        at = max(backstop.at, now)
        try:
            missing = [
                self._put(self._schedule(name, operation, parameters, at), backstop)
                for name, operation, parameters in _calls(backstop)
            ]
        except ClientError as error:
            cause = Obstacle.DENIED if is_denied(error) else obstacle_of(error)
            if code_of(error) in _CHANGED_MEANWHILE:
                cause = Obstacle.BUSY
            reason = f"the schedule that ends {backstop.name}: {text_of(error)}"
            raise LaunchRefused(reason, cause) from error
        return any(missing)

    def _put(self, schedule: dict[str, Any], backstop: Backstop) -> bool:
        """Return whether it was missing, which only a creation that succeeds tells for certain."""
        name = schedule["Name"]
        try:
            self._scheduler.create_schedule(**schedule)
        except ClientError as error:
            if code_of(error) != "ConflictException":
                raise
            if not (backstop.lasting and self._stands(name, backstop)):
                self._scheduler.update_schedule(**schedule)
            return False
        return True

    def stands(self, backstop: Backstop) -> bool:
        """Whether its schedules are there, switched on, and begin when they are to."""
        return all(self._stands(name, backstop) for name, _, _ in _calls(backstop))

    def _stands(self, name: str, backstop: Backstop) -> bool:
        there = found(lambda: self._scheduler.get_schedule(Name=name))
        if there is None or there["State"] != "ENABLED":
            return False
        late = there["StartDate"].astimezone(UTC) - backstop.at
        return late >= -SAME_TIME and (late <= SAME_TIME or backstop.lasting)

    def begins(self, backstop: Backstop) -> datetime | None:
        """Return when its schedule begins; None if there is none, or it may not be looked at.

        That of an endpoint of a former prefix may not: schedules have no tags for a role to go by.
        """
        try:
            return found(lambda: self._begins(backstop.name))
        except ClientError as error:
            if not is_denied(error):
                raise
            return None

    def _begins(self, name: str) -> datetime:
        begins: datetime = self._scheduler.get_schedule(Name=name)["StartDate"]
        return begins.astimezone(UTC)

    def _schedule(
        self, name: str, operation: str, parameters: dict[str, str], at: datetime
    ) -> dict[str, Any]:
        partition = self._role_arn.split(":")[1]
        return {
            "Name": name,
            "Description": "Ends what serves, past its time; set by Novaloop",
            "ScheduleExpression": EVERY,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "StartDate": at,
            "EndDate": at + TRIES_FOR,
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": f"arn:{partition}:scheduler:::aws-sdk:{operation}",
                "RoleArn": self._role_arn,
                "Input": json.dumps(parameters),
                "RetryPolicy": {"MaximumRetryAttempts": 0},
            },
        }

    def remove(self, backstop: Backstop) -> None:
        """Delete its schedules, as far as that can be done.

        One that is left tries to delete what is gone, of a name that is never given again, until it
        deletes itself: nothing that is worth to hold up the experiment for.
        """
        for name, _, _ in _calls(backstop):
            with suppress(ClientError):
                self._scheduler.delete_schedule(Name=name)


_CHANGED_MEANWHILE = {"ConflictException", "ResourceNotFoundException"}


def _calls(backstop: Backstop) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield what is to be called: a schedule's name, the operation and its parameters.

    A schedule is named as what it deletes, which may have 63 characters of its 64: that of an
    inference component, which goes by the name of its endpoint, has a dot more.
    """
    name = backstop.name
    if backstop.to == "bedrock-provisioned":
        operation = "bedrock:deleteProvisionedModelThroughput"
        yield name, operation, {"ProvisionedModelId": name}
        return
    if backstop.component:
        parameters = {"InferenceComponentName": name}
        yield f"{name}.", "sagemaker:deleteInferenceComponent", parameters
    yield name, "sagemaker:deleteEndpoint", {"EndpointName": name}
