"""What a scorer returns, and how it says that it can't score."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Outcome = tuple[float, bool]
    """The score from -1 to 1, and whether the answer had the form asked for."""
    Scorer = Callable[[str, object, Mapping[str, Any]], Outcome]

RIGHT = 1.0
WRONG = -1.0


class UnusableSampleError(ValueError):
    """A sample whose reward can't be computed."""
