"""How late a new resource and its tags show.

AWS promises no moment by which a Create's effect is read: tags of a new endpoint were missing for
a while (aws/sagemaker-python-sdk#3662), and IAM sees by a tag no more than its reader does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Lag:
    """When each resource was created, and for how many seconds that is not seen."""

    resource_seconds: float = 0.0
    tag_seconds: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _created: dict[str, float] = field(default_factory=dict)

    def created(self, arn: str) -> None:
        """Note that a resource has just been created."""
        self._created.setdefault(arn, self.clock())

    def hides(self, arn: str) -> bool:
        """Whether a reader is told that there is no such resource."""
        return self._age(arn) < self.resource_seconds

    def hides_tags(self, arn: str) -> bool:
        """Whether a reader, or IAM, sees the resource without its tags."""
        return self._age(arn) < self.tag_seconds

    def _age(self, arn: str) -> float:
        return self.clock() - self._created.get(arn, float("-inf"))
