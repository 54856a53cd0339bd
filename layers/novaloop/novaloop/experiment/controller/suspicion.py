"""When to believe that something is gone, replaced, or somebody else's: after several looks.

AWS's control planes are eventually consistent. SageMaker shows tags up to a minute after the
Create that set them (aws/sagemaker-python-sdk#3662), and a Describe may say "not found" of what
was just created, or how things stood before a change that was accepted; that it does so of
something older is not known, and not taken for granted. An
IAM right that hangs on a resource's tag is denied both while the tag does not show and for what
does not exist, as neither has the tag (IAM User Guide, condition operator `Null`).

So one look makes it only suspect, as failure detectors have it. Looks that agree confirm it; one
that says otherwise ends the suspicion. That a deadline is missed by what can't be seen is believed
likewise: it may have passed while the controller was away, and one call was throttled since.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from novaloop.experiment.controller.decision import Policy, put_stage
from novaloop.experiment.controller.observation import (
    GONE,
    End,
    Observation,
    Phase,
    ResourceStatus,
    Sense,
)
from novaloop.experiment.controller.transitions import deadline
from novaloop.experiment.names import experiment_of_job
from novaloop.experiment.record import Record, Stage, StageState, Status, Suspect, Suspicion

LOOKS = 3
"""How many looks must agree, over the time by which answers may be behind: `Policy.lag`."""
ENDS_WITHIN = timedelta(hours=2)
"""How long an end may take before people are told that it does not come: what is being created
can't be deleted before it is there, which takes as long at most (ENDPOINT_START in `stages`)."""


def watched(record: Record, seen: Observation, now: datetime, policy: Policy) -> Record:
    """Return the record with what this look says of the existence and owner of its stage's work."""
    stage, resource = record.focus, seen.resource
    record = replace(record, unreadable=unreadable(record, seen, now, policy))
    if stage is None:
        return record
    attempt = replace(stage.attempt, job_arn=seen.made or stage.attempt.job_arn)
    if resource is None:
        # A look that failed breaks the row: part of it may have shown that the work is there.
        known = attempt.suspicion
        if seen.blind_to(Sense.RESOURCE) and known is not None and not known.confirmed:
            attempt = replace(attempt, suspicion=None)
        return put_stage(record, replace(stage, attempt=attempt))
    of = _suspect(record, stage, resource, seen)
    known = attempt.suspicion if seen.end is not End.REQUESTED else None  # so it was there
    suspicion = known if _says_nothing(record, stage, resource) else None
    if of is not None:
        suspicion = seen_again(known, of, resource.reason or "", now, policy)
    ending = record.is_ending and resource.phase is Phase.ENDING
    attempt = replace(
        attempt,
        ending=attempt.ending or ending,
        suspicion=suspicion,
        denied=_denied(attempt.denied, seen, now, policy),
    )
    return put_stage(record, replace(stage, attempt=attempt))


def unreadable(
    record: Record, seen: Observation, now: datetime, policy: Policy
) -> Suspicion | None:
    """Return what is suspected of not being readable at all: the first look that failed."""
    if not seen.blind:
        return None
    why = str(seen.blind[0])
    return seen_again(record.unreadable, Suspect.UNREADABLE, why, now, policy)


def past_deadline(record: Record, seen: Observation, now: datetime, policy: Policy) -> Record:
    """Return the record with what this look says of the deadline of the stage in focus.

    Only looks after the deadline count that saw nothing. One that saw the work, or the outcome,
    goes by what it saw.
    """
    stage = record.focus
    if stage is None:
        return record
    blind = seen.blind_to(Sense.RESOURCE, Sense.OUTCOME)
    known = seen.outcome is not None and seen.outcome.ok is not None
    is_unseen = blind is not None or (stage.state is StageState.SCORING and not known)
    why = str(blind) if blind else ""
    overdue = unseen_overdue(record, stage, why, now, policy) if is_unseen else None
    return put_stage(record, replace(stage, attempt=replace(stage.attempt, overdue=overdue)))


def unseen_overdue(
    record: Record, stage: Stage, why: str, now: datetime, policy: Policy
) -> Suspicion | None:
    """Return what is suspected of a stage that nobody could see now; None before its deadline."""
    if record.is_ending or not stage.state.has_deadline:
        return None
    if now <= deadline(stage, record.plan_of(stage)):
        return None
    return seen_again(stage.attempt.overdue, Suspect.OVERDUE, why, now, policy)


def _denied(
    known: Suspicion | None, seen: Observation, now: datetime, policy: Policy
) -> Suspicion | None:
    """Return what keeps a stage's work from ending, as this look has it."""
    if seen.denied is not None:
        return refused(known, seen.denied, now, policy)
    was_refused = known is not None and known.of is Suspect.DENIED
    return None if was_refused and seen.end in {End.REQUESTED, End.DONE} else known


def refused(known: Suspicion | None, why: str, now: datetime, policy: Policy) -> Suspicion:
    """Return what is suspected of an end that was just refused."""
    return seen_again(known, Suspect.DENIED, why, now, policy)


def awaiting_ends(record: Record, seen: Observation, now: datetime) -> Record:
    """Return the record with the times since when the ends that it waits for are to come.

    Of whatever is asked to end, be it accepted, refused or put off, people are told in the end; of
    what can't be seen they are told that.
    """
    if (stage := record.focus) is not None and stage.attempt.job_name is not None:
        progress = seen.resource.progress if seen.resource else None
        left = f"it is still {progress.phase}" if progress else "it can't be seen to be gone"
        known = stage.attempt.denied
        held = _overdue(known, left, now) if record.is_ending else None
        held = known if held and held.confirmed and seen.blind_to(Sense.RESOURCE) else held
        record = put_stage(record, replace(stage, attempt=replace(stage.attempt, denied=held)))
    if (cleanup := record.cleanup) is not None and record.status.is_final:
        held = _overdue(cleanup.held, f"still there: {cleanup.left}", now)
        held = cleanup.held if held.confirmed and seen.blind_to(Sense.TAGGED) else held
        record = replace(record, cleanup=replace(cleanup, held=held))
    return record


def _overdue(known: Suspicion | None, left: str, now: datetime) -> Suspicion:
    """Return what is suspected of an end: from its beginning on that it lingers."""
    if known is None:
        return Suspicion(Suspect.LINGERING, now, now + ENDS_WITHIN)
    if known.confirmed or now < known.since + ENDS_WITHIN:
        return known
    return replace(known, confirmed=True, why=known.why or left)


def _suspect(
    record: Record, stage: Stage, resource: ResourceStatus, seen: Observation
) -> Suspect | None:
    if stage.state is StageState.WAITING and not record.is_ending:
        return None  # it was refused: what is not there, or somebody else's, is no news
    if not resource.ours:
        return Suspect.FOREIGN
    if resource.is_replaced:
        return Suspect.REPLACED if seen.is_succeeded or _matters(record, stage, resource) else None
    gone = Suspect.PARTIAL if resource.phase is Phase.PARTIAL else Suspect.ABSENT
    if record.is_ending:
        return gone if resource.phase in GONE else None
    if stage.state is StageState.CLAIMED:  # until it is launched, its absence is no news
        return None
    # The second step's work: an endpoint's component, or the deployment of a model.
    lacks_second = resource.phase is Phase.HALFWAY
    requested = stage.state is not StageState.RUNNING or stage.attempt.second_step_at is not None
    return gone if resource.phase in GONE or (lacks_second and requested) else None


def _matters(record: Record, stage: Stage, resource: ResourceStatus) -> bool:
    """Whether it is news that the endpoint serves another configuration than the attempt's.

    It does before the update is requested, and while another experiment tries its own there.
    """
    if record.status is Status.LIVE:
        on_trial = experiment_of_job(record.prefix, resource.serving or "") is not None
        return not (on_trial and record.owner.owns(resource.owner))
    return record.is_ending or stage.attempt.second_step_at is not None


def _says_nothing(record: Record, stage: Stage, resource: ResourceStatus) -> bool:
    """Whether a look is no evidence: nobody's work, where somebody else's was seen before."""
    claimed = stage.state is StageState.CLAIMED and record.status is not Status.STOPPING
    return claimed and resource.ours and resource.phase in GONE


def seen_again(
    known: Suspicion | None, of: Suspect, why: str, now: datetime, policy: Policy
) -> Suspicion:
    """Return what is suspected after one more look; looks soon after each other count as one."""
    apart = policy.looks_apart
    if known is None or known.of is not of:
        return Suspicion(of, now, now + apart, why=why)
    if known.confirmed or now < known.look_at:
        return known
    looks = known.looks + 1
    confirmed = looks >= LOOKS and now >= known.since + policy.lag
    return replace(known, look_at=now + apart, looks=looks, confirmed=confirmed, why=why)
