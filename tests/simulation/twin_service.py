"""What the twins of AWS's services share: time, fates, and resources that carry tags."""

from __future__ import annotations

import copy
import io
import json
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from novaloop.experiment.stack import EXPERIMENT_TAG, STACK_TAG, UID_TAG
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


class Unanswered(Exception):  # noqa: N818
    """Marks what a call answered although it took effect."""


class _RefusedError(Unanswered, ClientError):
    pass


class _TimedOutError(Unanswered, ReadTimeoutError):
    pass


def _answered(code: str, status: int, repeats: int = 0) -> Unanswered:
    told: Any = {"Error": {"Code": code, "Message": "no"}}
    told["ResponseMetadata"] = {"HTTPStatusCode": status, "RetryAttempts": repeats}
    return _RefusedError(told, "Operation")


UNANSWERED: Mapping[str, Unanswered] = {
    "InternalFailure": _answered("InternalFailure", 500),
    "ServiceUnavailable": _answered("ServiceUnavailable", 503),
    "ThrottlingException": _answered("ThrottlingException", 400),
    "ResourceLimitExceeded": _answered("ResourceLimitExceeded", 400, repeats=1),
    "read timeout": _TimedOutError(endpoint_url="https://aws"),
}
"""What a call may answer after it took effect: the service broke off after it had begun, or the
answer was lost (AWS's Builders' Library, "Timeouts, retries and backoff with jitter": a time-out
says nothing of whether the call took effect). A quota is told of after a job
was begun where the client repeats a request whose answer was lost: the job itself fills it then."""


@dataclass
class Lag:
    """How far a control plane is behind itself: it is eventually consistent.

    `tags` is how likely the tags of something new are to show late: up to a minute after its
    Create, as aws/sagemaker-python-sdk#3662 has it. `stale` is how likely a look is to answer "not
    found" of what is there: AWS is known to do so right after Create, and here does at any time.
    `former` is how likely a change, also a deletion, is to show late: for up to a minute looks
    answer at random as before it or as after it, also several within one instant. That AWS answers
    so is not known; neither is that it does not.
    """

    random: random.Random = field(default_factory=random.Random)
    tags: float = 0.0
    stale: float = 0.0
    former: float = 0.0
    struck: Counter[str] = field(default_factory=Counter)

    def tags_show_at(self, now: datetime) -> datetime:
        if not self.tags or self.random.random() >= self.tags:
            return now
        self.struck["tags shown late"] += 1
        return now + timedelta(seconds=self.random.uniform(1, 60))

    def hides(self) -> bool:
        if not self.stale or self.random.random() >= self.stale:
            return False
        self.struck["not found, but there"] += 1
        return True

    def change_shows_at(self, now: datetime) -> datetime:
        """Return until when looks may answer as if a change of this moment had not been made."""
        if not self.former or self.random.random() >= self.former:
            return now
        return now + timedelta(seconds=self.random.uniform(1, 60))

    def shows_former(self, shows_at: datetime, now: datetime) -> bool:
        if now >= shows_at or self.random.random() < 0.4:
            return False
        self.struck["answer as before a change"] += 1
        return True


@dataclass(frozen=True)
class Pages:
    """The paginator of an operation."""

    operation: Callable[..., Iterable[dict[str, Any]]]

    def paginate(self, **request: Any) -> Iterable[dict[str, Any]]:
        return self.operation(**request)


class TwinService(ABC):
    """Control plane and runtime of a service, whose resources change by themselves, later."""

    missing: str
    """The code of the refusal to look at what there is not."""

    def __init__(
        self,
        clock: VirtualClock,
        fate: Fate,
        later: Later,
        on_change: Callable[[str], None],
        lag: Lag | None = None,
    ) -> None:
        self.launches: list[str] = []
        self.claimed: Callable[[str], bool] = lambda _: True
        self.is_bounded: Callable[[str], bool] = lambda _: True
        """Whether what bills by the hour under this name ends by itself."""
        self.asked = 0
        self.denied: list[str] = []
        self._clock, self._fate, self._later, self._on_change = clock, fate, later, on_change
        self._lag = lag or Lag()
        self._tags_show_at: dict[str, datetime] = {}
        self._former: dict[str, tuple[Any, datetime]] = {}
        self._struck: set[tuple[str, str]] = set()

    def get_paginator(self, operation: str) -> Pages:
        return Pages(getattr(self, operation))

    @abstractmethod
    def _kinds(self) -> Mapping[str, dict[str, Any]]:
        """Return the resources by kind and name; all have `tags`."""

    def _named(self, kind: str, name: str) -> Any:
        """Return a resource as whatever changes it finds it: at once."""
        try:
            return self._kinds()[kind][name]
        except KeyError:
            raise refusal(self.missing, self._missing_message(kind, name)) from None

    def _missing_message(self, kind: str, name: str) -> str:
        return f'Could not find {kind} "{name}".'

    def _looked_up(self, kind: str, name: str) -> Any:
        """Return a resource as a look finds it: perhaps not yet, or as it was before a change."""
        former, shows_at = self._former.get(f"{kind} {name}", (None, self._clock.now()))
        if former is not None and self._lag.shows_former(shows_at, self._clock.now()):
            return former
        resource = self._named(kind, name)
        if self._lag.hides():
            raise refusal(self.missing, self._missing_message(kind, name))
        return resource

    def _before_change(self, kind: str, name: str) -> None:
        """Note how a resource stands that is about to be changed or deleted."""
        shows_at = self._lag.change_shows_at(self._clock.now())
        if shows_at > self._clock.now():
            self._former[f"{kind} {name}"] = copy.deepcopy(self._named(kind, name)), shows_at

    def _tag(self, kind: str, name: str) -> None:
        """Note when the tags of a new resource show."""
        self._tags_show_at[f"{kind} {name}"] = self._lag.tags_show_at(self._clock.now())

    def _shown_tags(self, kind: str, name: str) -> Mapping[str, str]:
        shows_at = self._tags_show_at.get(f"{kind} {name}", self._clock.now())
        tags: Mapping[str, str] = self._named(kind, name).tags
        return tags if self._clock.now() >= shows_at else _NONE

    def is_left_out(self, kind: str, name: str) -> bool:
        """Whether the index of tags does not name what is there."""
        return not self._shown_tags(kind, name) or self._lag.hides()

    def _permitted(self, kind: str, name: str) -> Any:
        """Return a resource on which a right on condition of our tag allows to act.

        IAM denies it for what carries no such tag: somebody else's, what does not exist, and what
        was created a moment ago. Source: the condition operator `Null` in the IAM User Guide. Some
        of the template's rights go by name instead; the twin holds all to the stricter rule.
        """
        if name in self._kinds()[kind]:
            if EXPERIMENT_TAG in self._shown_tags(kind, name):
                return self._named(kind, name)
            if self._named(kind, name).tags:
                self._lag.struck["right denied before its tag showed"] += 1
        self.denied.append(f"{kind} {name}")
        raise refusal("AccessDeniedException", f"not authorized to act on {kind} {name}")

    def left(
        self, experiment_id: str | None = None, stack: str | None = None, uid: str | None = None
    ) -> list[str]:
        """Return what carries these tags of an experiment, or what there is at all."""
        wanted = {EXPERIMENT_TAG: experiment_id, STACK_TAG: stack, UID_TAG: uid}.items()
        return [
            f"{kind} {name}"
            for kind, resources in self._kinds().items()
            for name, resource in resources.items()
            if all(value is None or resource.tags.get(tag) == value for tag, value in wanted)
        ]

    def _strike(
        self,
        kind: str,
        name: str,
        once: Mapping[str, str] = _NONE,
        always: Mapping[str, str] = _NONE,
    ) -> None:
        """Refuse with the code of the name's fate: what passes later, only once."""
        fate = self._fate(name)
        if fate in always:
            self._count(kind, fate)
            raise refusal(always[fate], f"{fate}: no")
        if fate in once and (fate, name) not in self._struck:
            self._struck.add((fate, name))
            self._count(kind, fate)
            raise refusal(once[fate], f"{fate}: not now")

    def _count(self, kind: str, fate: str) -> None:
        """Count that a fate struck a thing of this kind."""
        self._lag.struck[f"{kind} {fate.removeprefix(f'{kind} ')}"] += 1

    def _failure(self, name: str, kind: str, fault: str) -> str | None:
        """Return why the thing of this name fails, or None if it does not.

        A fate is that of all things of a name, or with the kind before it that of one kind.
        """
        fate = self._fate(name)
        said = {**LOSSES, "fails": fault}
        reason = said.get(fate) or said.get(fate.removeprefix(f"{kind} "))
        if reason:
            self._count(kind, fate)
        return reason

    def _answered(self, name: str, code: str, answer: object) -> io.BytesIO:
        """Answer a request, unless that is the fate of what serves: late, or never."""
        self.asked += 1
        fate = self._fate(name).removeprefix("endpoint ")
        if fate == "does not answer" or (fate == "answers late" and self.asked < 3):
            self._count("endpoint", fate)
            raise refusal(code, f"{name} {fate}")
        return io.BytesIO(json.dumps(answer).encode())
