"""What ingest may die of before it writes anything ends after a few attempts, with a reason.

A function that runs out of memory or time is ended without a word, and whoever waits for its
result asks again. So an attempt is counted before it is made. A conversion needs none of this: its
dataset's item counts attempts.
"""

from __future__ import annotations

from novaloop.experiment.controller.intake import CONVERSION
from novaloop.usecases.conversion import IngestWorld

MAX_ATTEMPTS = 6


def is_given_up(experiment_id: str, work: str, version: str, world: IngestWorld) -> bool:
    """Count an attempt, and say whether all before it have ended without a result.

    Several may be under way at once, since an event may come twice: only what began longer ago
    than the function runs has ended.
    """
    now = world.clock.now()
    attempts = world.store.begin(experiment_id, work, version, now)
    return attempts.number > MAX_ATTEMPTS and now - attempts.since > CONVERSION


def why_given_up(done: str) -> str:
    """Return the reason to give: `done` is such as `read`."""
    return (
        f"could not be {done} in {MAX_ATTEMPTS} attempts: the ingest function ended before it had "
        "a result, perhaps for want of memory or time, which it can't tell; its log has more. Make "
        "the file smaller, or look for what is unusual in it"
    )
