"""When to believe that something is gone, or somebody else's: after several looks over minutes.

AWS's control planes are eventually consistent. SageMaker shows tags up to a minute after the
Create that set them (aws/sagemaker-python-sdk#3662), and a Describe may say "not found" of what
was just created; that it says so of something older is not known, and not taken for granted. An
IAM right that hangs on a resource's tag is denied both while the tag does not show and for what
does not exist, as neither has the tag (IAM User Guide, condition operator `Null`).

So one look makes it only suspect, as failure detectors have it. Looks that agree confirm it; one
that says otherwise ends the suspicion.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from novaloop.experiment.moves import Policy, put_stage
from novaloop.experiment.observation import GONE, End, Observation, Phase, Work
from novaloop.experiment.record import Record, Stage, StageState, Status, Suspect, Suspicion

LOOKS = 3
"""How many looks must agree."""
SPAN = 5
"""Over how many times the distance between two looks that count: five minutes, by default."""


def watched(record: Record, seen: Observation, now: datetime, policy: Policy) -> Record:
    """Return the record with what this look says of the existence and owner of its stage's work."""
    stage, work = record.focus, seen.work
    record = replace(record, unreadable=_unreadable(record, seen, now, policy))
    if stage is None:
        return record
    stage = replace(stage, job_arn=seen.made or stage.job_arn)
    if work is None:
        return put_stage(record, stage)
    of = _suspect(record, stage, work)
    known = stage.suspicion if seen.end is not End.REQUESTED else None  # so it was there
    suspicion = known if _says_nothing(record, stage, work) else None
    if of is not None:
        suspicion = _after(known, of, work.reason or "", now, policy.looks_apart)
    ending = record.is_ending_work and work.phase is Phase.ENDING
    return put_stage(
        record,
        replace(
            stage,
            ending=stage.ending or ending,
            suspicion=suspicion,
            denied=_denied(stage, seen, now, policy),
        ),
    )


def _unreadable(
    record: Record, seen: Observation, now: datetime, policy: Policy
) -> Suspicion | None:
    """Return what is suspected of not being readable at all: the first look that failed."""
    if not seen.blind:
        return None
    why = str(seen.blind[0])
    return _after(record.unreadable, Suspect.UNREADABLE, why, now, policy.looks_apart)


def _denied(stage: Stage, seen: Observation, now: datetime, policy: Policy) -> Suspicion | None:
    if seen.denied is not None:
        return _after(stage.denied, Suspect.DENIED, seen.denied, now, policy.looks_apart)
    return None if seen.end in {End.REQUESTED, End.DONE} else stage.denied


def _suspect(record: Record, stage: Stage, work: Work) -> Suspect | None:
    if not work.ours:
        return Suspect.FOREIGN
    gone = Suspect.PARTIAL if work.phase is Phase.PARTIAL else Suspect.ABSENT
    if record.is_ending_work:
        return gone if work.phase in GONE else None
    if stage.state is StageState.CLAIMED:  # until it is launched, its absence is no news
        return None
    # The second step's work: an endpoint's component, or the deployment of a model.
    lacks_second = work.phase is Phase.HALFWAY and work.serving is None
    requested = stage.state is not StageState.RUNNING or stage.proceeded_at is not None
    return gone if work.phase in GONE or (lacks_second and requested) else None


def _says_nothing(record: Record, stage: Stage, work: Work) -> bool:
    """Whether a look is no evidence: nobody's work, where somebody else's was seen before."""
    claimed = stage.state is StageState.CLAIMED and record.status is not Status.STOPPING
    return claimed and work.ours and work.phase in GONE


def _after(
    known: Suspicion | None, of: Suspect, why: str, now: datetime, apart: timedelta
) -> Suspicion:
    """Return what is suspected after one more look; looks soon after each other count as one."""
    if known is None or known.of is not of:
        return Suspicion(of, now, now + apart, why=why)
    if known.confirmed or now < known.look_at:
        return known
    looks = known.looks + 1
    confirmed = looks >= LOOKS and now >= known.since + SPAN * apart
    return replace(known, look_at=now + apart, looks=looks, confirmed=confirmed, why=why)
