"""A strict in-memory twin of EventBridge Scheduler, under a virtual clock.

It calls the twins of SageMaker and Bedrock as the role that ends what serves: what the role may not
do is denied, and nobody is told. Sources: see the production adapter.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from novaloop.cloud.schedules import EndingSchedules
from tests.simulation.twin_bedrock import TwinBedrock
from tests.simulation.twin_sagemaker import TwinSageMaker
from tests.simulation.twin_service import Later, refusal
from tests.simulation.twins import VirtualClock

ROLE = "arn:aws:iam::123456789012:role/Ending"
EVERY = timedelta(minutes=15)
LATEST_START = timedelta(minutes=5)
"""How long ago a schedule may begin, at most."""
NAME = re.compile(r"[0-9a-zA-Z-_.]{1,64}")


class TwinScheduler:
    """The schedules of the group `default`."""

    def __init__(
        self, clock: VirtualClock, later: Later, hosting: TwinSageMaker, bedrock: TwinBedrock
    ) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}
        self.refusing: str | None = None
        """The code of the refusal of every request to create or change one."""
        self.cannot_end = False
        """Whether its role may delete nothing any more."""
        self.refused: list[str] = []
        """What the schedules were refused to do."""
        self._clock, self._later = clock, later
        self._hosting, self._bedrock = hosting, bedrock

    def adapter(self, port: Callable[[object, str], Any]) -> EndingSchedules:
        """Return the production adapter over this twin, every call through `port`."""
        return EndingSchedules(port(self, "scheduler"), ROLE)

    def bounds(self, name: str) -> bool:
        """Whether a schedule will end what has this name."""
        return name in self.schedules

    def create_schedule(self, **schedule: Any) -> None:
        self._check(schedule)
        if schedule["Name"] in self.schedules:
            raise refusal("ConflictException", f"Schedule {schedule['Name']} already exists.")
        self._set(schedule)

    def update_schedule(self, **schedule: Any) -> None:
        self._check(schedule)
        self.get_schedule(schedule["Name"])
        self._set(schedule)

    def get_schedule(self, Name: str) -> dict[str, Any]:  # noqa: N803
        if Name not in self.schedules:
            raise refusal("ResourceNotFoundException", f"Schedule {Name} does not exist.")
        return copy.deepcopy(self.schedules[Name])

    def delete_schedule(self, Name: str) -> None:  # noqa: N803
        self.get_schedule(Name)
        del self.schedules[Name]

    def _check(self, schedule: dict[str, Any]) -> None:
        if self.refusing is not None:
            raise refusal(self.refusing, "no")
        assert NAME.fullmatch(schedule["Name"])
        assert schedule["ScheduleExpression"] == "rate(15 minutes)"
        assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert schedule["Target"]["RoleArn"] == ROLE
        now = self._clock.now()
        if schedule["StartDate"] < now - LATEST_START:
            message = "The StartDate you specify cannot be earlier than 5 minutes ago."
            raise refusal("ValidationException", message)
        if schedule["EndDate"] <= max(now, schedule["StartDate"]):
            raise refusal("ValidationException", "The EndDate you specify must be later.")

    def _set(self, schedule: dict[str, Any]) -> None:
        """Put the whole of it in the place of what was there, switched on unless it says else."""
        schedule = {"State": "ENABLED", **schedule}
        self.schedules[schedule["Name"]] = schedule
        begins = max(schedule["StartDate"], self._clock.now())
        self._later(begins - self._clock.now(), partial(self._fire, schedule))

    def _fire(self, schedule: dict[str, Any]) -> None:
        """Invoke the target, and again until the end, unless the schedule was changed since."""
        name, now = schedule["Name"], self._clock.now()
        if self.schedules.get(name) is not schedule or schedule.get("State") != "ENABLED":
            return
        if "EndDate" in schedule and now > schedule["EndDate"]:
            if schedule.get("ActionAfterCompletion") == "DELETE":
                del self.schedules[name]
            return
        operation = schedule["Target"]["Arn"].removeprefix("arn:aws:scheduler:::aws-sdk:")
        parameters = json.loads(schedule["Target"]["Input"])
        calls: dict[str, Callable[..., object]] = {
            "sagemaker:deleteEndpoint": self._hosting.delete_endpoint,
            "sagemaker:deleteInferenceComponent": self._hosting.delete_inference_component,
            "bedrock:deleteProvisionedModelThroughput": self._delete_throughput,
        }
        try:
            if self.cannot_end or schedule["Target"]["RoleArn"] != ROLE:
                raise refusal("AccessDeniedException", "no")
            if operation not in calls:
                raise refusal("ValidationException", "no")
            calls[operation](**parameters)
        except ClientError as error:
            self.refused.append(f"{name}: {error}")
        self._later(EVERY, partial(self._fire, schedule))

    def _delete_throughput(self, ProvisionedModelId: str) -> None:  # noqa: N803
        self._bedrock.delete_provisioned_model_throughput(provisionedModelId=ProvisionedModelId)
