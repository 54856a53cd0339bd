"""What the twins of AWS's services share: time, fates, and resources that carry tags."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from novaloop.experiment.site import EXPERIMENT_TAG
from tests.simulation.twins import VirtualClock

Fate = Callable[[str], str]
"""What becomes of what has this name: how it ends, or why it is refused."""
Later = Callable[[timedelta, Callable[[], None]], None]
_NONE: Mapping[str, str] = {}
LOSSES: Mapping[str, str] = {
    "no capacity": "Unable to provision requested ML compute capacity due to "
    "InsufficientInstanceCapacity error. Please retry using a different ML instance type or after "
    "some time.",
    "service fault": "InternalServerError: We encountered an internal error. Please try again.",
}
"""What AWS says of what it lost by itself, by fate; cloud/failures.py has the texts' sources."""


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class Scheduled:
    """What changes by itself, some time later, and tells of it."""

    def __init__(
        self, clock: VirtualClock, fate: Fate, later: Later, on_change: Callable[[str], None]
    ) -> None:
        self.launches: list[str] = []
        self.claimed: Callable[[str], bool] = lambda _: True
        self._clock, self._fate, self._later, self._on_change = clock, fate, later, on_change


class TwinService(Scheduled, ABC):
    """Control plane and runtime of a service whose models can be asked."""

    missing: str
    """The code of the refusal to look at what there is not."""

    def __init__(
        self, clock: VirtualClock, fate: Fate, later: Later, on_change: Callable[[str], None]
    ) -> None:
        super().__init__(clock, fate, later, on_change)
        self.asked = 0
        self._struck: set[tuple[str, str]] = set()

    @abstractmethod
    def _kinds(self) -> Mapping[str, dict[str, Any]]:
        """Return the resources by kind and name; all have `tags`."""

    def _named(self, kind: str, name: str) -> Any:
        try:
            return self._kinds()[kind][name]
        except KeyError:
            raise refusal(self.missing, f'Could not find {kind} "{name}".') from None

    def left(self, experiment_id: str | None = None) -> list[str]:
        """Return what carries an experiment's tag, or what there is at all."""
        return [
            f"{kind} {name}"
            for kind, resources in self._kinds().items()
            for name, resource in resources.items()
            if experiment_id is None or resource.tags.get(EXPERIMENT_TAG) == experiment_id
        ]

    def _strike(
        self, name: str, once: Mapping[str, str] = _NONE, always: Mapping[str, str] = _NONE
    ) -> None:
        """Refuse with the code of the name's fate: what passes later, only once."""
        fate = self._fate(name)
        if fate in always:
            raise refusal(always[fate], f"{fate}: no")
        if fate in once and (fate, name) not in self._struck:
            self._struck.add((fate, name))
            raise refusal(once[fate], f"{fate}: not now")

    def _failure(self, name: str, kind: str, fault: str) -> str | None:
        """Return why the thing of this name fails, or None if it does not.

        A fate is that of all things of a name, or with the kind before it that of one kind.
        """
        fate = self._fate(name)
        said = {**LOSSES, "fails": fault}
        return said.get(fate) or said.get(fate.removeprefix(f"{kind} "))

    def _answered(self, name: str, code: str, answer: object) -> io.BytesIO:
        """Answer a request, unless that is the fate of what serves: late, or never."""
        self.asked += 1
        fate = self._fate(name)
        if fate == "does not answer" or (fate == "answers late" and self.asked < 3):
            raise refusal(code, f"{name} {fate}")
        return io.BytesIO(json.dumps(answer).encode())
