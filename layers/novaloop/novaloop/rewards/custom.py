"""Your own rewards. Add a function, name it in CUSTOM_SCORERS, and ask for it by that name:

    reward: {type: custom, name: NAME, settings: {...}}

A scorer gets the generated answer without solution markers, the row's `reference_answer` (None if
it has none) and the `settings`. It returns the score from -1 to 1 and whether the answer had the
form asked for. Whatever it raises counts the sample as unusable and costs it -1. Import the
standard library and `novaloop.rewards` only: the function has nothing else at hand quickly.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from novaloop.rewards.outcome import Scorer

CUSTOM_SCORERS: dict[str, Scorer] = {}
