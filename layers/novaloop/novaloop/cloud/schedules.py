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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from novaloop.cloud.errors import found, is_denied, obstacle_of, text_of
from novaloop.experiment.record import Obstacle
from novaloop.usecases.errors import code_of
from novaloop.usecases.ports import LaunchRefused, Standing

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

    def put(self, backstop: Backstop, now: datetime, *, sooner: bool = False) -> bool:
        """Create its schedules, or move them; whether one was missing. Raises LaunchRefused."""
        later_only = backstop.lasting and not sooner
        try:
            missing = [
                self._put(call, backstop, now, later_only=later_only) for call in _calls(backstop)
            ]
        except ClientError as error:
            cause = Obstacle.DENIED if is_denied(error) else obstacle_of(error)
            if code_of(error) in _CHANGED_MEANWHILE:
                cause = Obstacle.BUSY
            reason = f"the schedule that ends {backstop.name}: {text_of(error)}"
            raise LaunchRefused(reason, cause) from error
        return any(missing)

    def _put(self, call: _Call, backstop: Backstop, now: datetime, *, later_only: bool) -> bool:
        """Return whether it was missing, which only a creation that succeeds tells for certain."""
        at = max(backstop.at, now)
        try:
            self._scheduler.create_schedule(**self._schedule(call, at))
        except ClientError as error:
            if code_of(error) != "ConflictException":
                raise
            there = self._there(call) if later_only else None
            if there is not None:
                at = max(at, there.get("StartDate", at))
            if there is None or at > there.get("StartDate", at) or self._changes(call, there):
                self._scheduler.update_schedule(**self._schedule(call, at))
            return False
        # From then on, it may have come to its own end.
        return now < backstop.at + TRIES_FOR

    def unset(self, backstop: Backstop, now: datetime) -> str | None:
        """Return None if its schedules stand as they were set; or what somebody changed in them.

        The text is empty where one is missing, or begins at another time: these may be answers of
        before, when it was not made or moved yet.
        """
        changes: list[str] = []
        stands = True
        for call in _calls(backstop):
            there = self._there(call)
            if there is None:
                stands = False
                continue
            changes += self._changes(call, there)
            begins = there.get("StartDate")
            if begins is None:  # somebody took it away, which is among the changes
                continue
            # One that was set anew once it should have begun, begins then.
            latest = max(backstop.at, now) + SAME_TIME
            stands &= begins >= backstop.at - SAME_TIME and (begins <= latest or backstop.lasting)
        return None if stands and not changes else ", ".join(dict.fromkeys(changes))

    def _there(self, call: _Call) -> dict[str, Any] | None:
        there = found(lambda: self._scheduler.get_schedule(Name=call.schedule))
        if there is None:
            return None
        # Each may be missing: Scheduler needs neither of a schedule.
        return {
            name: value.astimezone(UTC) if isinstance(value, datetime) else value
            for name, value in there.items()
        }

    def _changes(self, call: _Call, there: dict[str, Any]) -> list[str]:
        """Return what is not as it is always set, by the names of GetSchedule's answer.

        Nothing hangs on the description. A schedule with a key of somebody's would end nothing once
        the key is disabled.
        """
        end = there.get("EndDate", datetime.max.replace(tzinfo=UTC))
        begins = there.get("StartDate", end - TRIES_FOR)
        wanted = _flat({**self._schedule(call, begins), "KmsKeyArn": None})
        found = _flat(there)
        del wanted["Description"]
        return [name for name, value in wanted.items() if not _same(found.get(name), value)]

    def standing(self, backstop: Backstop) -> Standing:
        """Return how its schedules stand, and when the last of them begins.

        Those of an endpoint of a former prefix may not be looked at: schedules have no tags for a
        role to go by.
        """
        calls = [*_calls(backstop)]
        try:
            looks = [(call, self._there(call)) for call in calls]
        except ClientError as error:
            if not is_denied(error):
                raise
            return Standing(stands=False, begins=None)
        there = [(call, schedule) for call, schedule in looks if schedule is not None]
        stands = len(there) == len(calls) and not any(self._changes(*each) for each in there)
        starts = [each["StartDate"] for _, each in there if "StartDate" in each]
        begins = max(starts, default=None)
        return Standing(stands, begins)

    def _schedule(self, call: _Call, at: datetime) -> dict[str, Any]:
        partition = self._role_arn.split(":")[1]
        return {
            "Name": call.schedule,
            "State": "ENABLED",
            "Description": "Ends what serves, past its time; set by Novaloop",
            "ScheduleExpression": EVERY,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "StartDate": at,
            "EndDate": at + TRIES_FOR,
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": f"arn:{partition}:scheduler:::aws-sdk:{call.operation}",
                "RoleArn": self._role_arn,
                "Input": json.dumps(call.parameters),
                "RetryPolicy": {"MaximumRetryAttempts": 0},
            },
        }

    def remove(self, backstop: Backstop) -> None:
        """Delete its schedules, as far as that can be done.

        One that is left tries to delete what is gone, of a name that is never given again, until it
        deletes itself: nothing that is worth to hold up the experiment for.
        """
        for call in _calls(backstop):
            with suppress(ClientError):
                self._scheduler.delete_schedule(Name=call.schedule)


_CHANGED_MEANWHILE = {"ConflictException", "ResourceNotFoundException"}


@dataclass(frozen=True)
class _Call:
    """What a schedule, by its name, is to call."""

    schedule: str
    operation: str
    parameters: dict[str, str]


def _calls(backstop: Backstop) -> Iterator[_Call]:
    """Yield what is to be called.

    A schedule is named as what it deletes, which may have 63 characters of its 64: that of an
    inference component, which goes by the name of its endpoint, has a dot more.
    """
    name = backstop.name
    if backstop.to == "bedrock-provisioned":
        operation = "bedrock:deleteProvisionedModelThroughput"
        yield _Call(name, operation, {"ProvisionedModelId": name})
        return
    if backstop.component:
        parameters = {"InferenceComponentName": name}
        yield _Call(f"{name}.", "sagemaker:deleteInferenceComponent", parameters)
    yield _Call(name, "sagemaker:deleteEndpoint", {"EndpointName": name})


def _flat(values: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Return nested values by their names from the outside, such as `Target.Arn`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{within}{name}.") if inner else {f"{within}{name}": value}
    return flat


def _same(found: object, wanted: object) -> bool:
    if isinstance(found, datetime) and isinstance(wanted, datetime):
        return abs(found - wanted) <= SAME_TIME
    if isinstance(found, str) and isinstance(wanted, str) and wanted.startswith("{"):
        with suppress(ValueError):  # what a target is given, however it is spelt
            return bool(json.loads(found) == json.loads(wanted))
    return found == wanted
