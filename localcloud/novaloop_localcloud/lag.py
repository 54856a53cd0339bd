"""How late a new resource, its tags, and changes show.

AWS promises no moment by which a call's effect is read: tags of a new endpoint were missing for
a while (aws/sagemaker-python-sdk#3662), and IAM sees by a tag no more than its reader does. That a
look answers as before a change is not known of AWS, nor is that it doesn't.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from novaloop_localcloud.sagemaker.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Lag:
    """When each resource was created, and for how many seconds that is not seen.

    A change, also a deletion, is not seen for `change_seconds` after the first look that could see
    it.
    """

    resource_seconds: float = 0.0
    tag_seconds: float = 0.0
    change_seconds: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _created: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _told: dict[str, list[tuple[float, str | ServiceError]]] = field(default_factory=dict)

    def created(self, arn: str) -> None:
        """Note that a resource has just been created."""
        self._created.setdefault(arn, self.clock())

    def hides(self, arn: str) -> bool:
        """Whether a reader is told that there is no such resource."""
        return self._age(arn) < self.resource_seconds

    def hides_tags(self, arn: str) -> bool:
        """Whether a reader, or IAM, sees the resource without its tags."""
        return self._age(arn) < self.tag_seconds

    def told(self, name: str, look: Callable[[], object]) -> str:
        """Return in JSON what a look tells, as it may be before a change. Raises ServiceError."""
        now = self.clock()
        try:
            answer: str | ServiceError = json.dumps(look())
        except ServiceError as missing:
            answer = missing
        with self._lock:
            told = self._told.setdefault(name, [])
            if not told or str(told[-1][1]) != str(answer):
                told.append((now, answer))
            while len(told) > 1 and now >= told[1][0] + self.change_seconds:
                del told[0]
            shown = told[0][1]
        if isinstance(shown, ServiceError):
            raise shown
        return shown

    def _age(self, arn: str) -> float:
        return self.clock() - self._created.get(arn, float("-inf"))
