"""Faults on demand: each is one JSON file in a directory and is used up when it strikes.

    {"on": "CreateTrainingJob", "name": "*-sft-1", "code": "ResourceLimitExceeded"}
    {"on": "training-job", "name": "*", "outcome": "Failed", "reason": "AlgorithmError: made up"}

| on                             | effect                                                        |
|--------------------------------|---------------------------------------------------------------|
| an operation's name            | the call fails with `code` and `reason`; with `took_effect`,  |
|                                | it answers so after it was carried out                        |
| `training-job`                 | `outcome` Failed: the job fails with `reason` while training; |
|                                | Stopped: somebody stops it before its first billable second   |
| `endpoint`                     | the endpoint ends as Failed with `reason`; while it is        |
|                                | updated, it goes back to what it served before                |
| `inference-component`          | the component ends as Failed with `reason`                    |
| `custom-model`, `provisioned-model`, `custom-model-deployment`, `model-customization-job`     |
|                                | Bedrock's: it ends as Failed with `reason`                    |
| `event`                        | `outcome` lost or duplicated: the next event of the resource  |
| `asynchronous-invocation`      | `outcome` Held: what a function is to be called with waits    |
| `quota`, `quota-request`       | `outcome` is its value; an increase to that was asked for     |

Whatever ends as Failed does so in AWS's own words if `outcome` is NoCapacity or ServiceFault.
With `outcome` Held a job, an endpoint, a component or a model stays as it is (Starting, Creating,
Updating, Deleting) until the fault is withdrawn.

`name` is a shell pattern for the resource's name. A fault strikes once, or until it is withdrawn.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# As public threads quote them: DIAGNijmegen/rse-grand-challenge#2631 of a job,
# aws/deep-learning-containers#6673 of an endpoint, aws/sagemaker-python-sdk#70 of a fault.
_NO_JOB = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
_NO_MACHINE = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
    "Please retry using a different ML instance type or after some time."
)
_HELD = "Held"
_INTERNAL = "InternalServerError: We encountered an internal error. Please try again."


@dataclass(frozen=True)
class Fault:
    """One planned fault; see the module's table."""

    on: str
    name: str = "*"
    outcome: str = ""
    code: str = ""
    took_effect: bool = False
    reason: str = "Injected by the local cloud."
    lasts: bool = False
    """Whether it strikes until it is withdrawn, and not only once."""

    @property
    def told(self) -> str:
        """What FailureReason or failureMessage says of it."""
        if self.outcome == "NoCapacity":
            return _NO_JOB if self.on == "training-job" else _NO_MACHINE
        return _INTERNAL if self.outcome == "ServiceFault" else self.reason


class Faults:
    """The directory of planned faults, shared by whoever plans and the stand-in."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def plan(self, fault: Fault, times: int = 1) -> None:
        """Let `fault` strike at the next `times` occasions."""
        for _ in range(times):
            self._write(fault)

    @contextmanager
    def lasting(self, fault: Fault) -> Iterator[None]:
        """Let `fault` strike at every occasion until the end of the block."""
        path = self._write(replace(fault, lasts=True))
        try:
            yield
        finally:
            path.unlink()

    def strike(self, on: str, name: str) -> Fault | None:
        """Use up and return a fault planned for this occasion, if there is one.

        Waits first while one holds the resource as it is.
        """
        self.wait(on, name)
        for path, fault in self._planned(on, name):
            if fault.outcome != _HELD and (fault.lasts or _used_up(path)):
                return fault
        return None

    def wait(self, on: str, name: str) -> None:
        """Return when no fault holds the resource as it is."""
        while any(fault.outcome == _HELD for _, fault in self._planned(on, name)):
            time.sleep(0.05)

    def _write(self, fault: Fault) -> Path:
        path = self._directory / f"{uuid.uuid4().hex}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(fault)), encoding="utf-8")
        return partial.rename(path)

    def _planned(self, on: str, name: str) -> Iterator[tuple[Path, Fault]]:
        for path in sorted(self._directory.glob("*.json")):
            try:
                fault = Fault(**json.loads(path.read_text(encoding="utf-8")))
            except FileNotFoundError:  # used up or withdrawn meanwhile
                continue
            if fault.on == on and fnmatchcase(name, fault.name):
                yield path, fault


def _used_up(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:  # another thread took it
        return False
    return True
