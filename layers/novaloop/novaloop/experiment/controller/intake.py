"""COLLECTING and REJECTED: waiting until every dataset that the plan needs is accepted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from novaloop.datasets.errors import told_once
from novaloop.datasets.options import SourceFormat
from novaloop.experiment.controller.decision import (
    AwaitedCheckpoint,
    CheckDatasets,
    Command,
    Decision,
    IngestCommand,
    Policy,
    WritePlan,
    enter,
)
from novaloop.experiment.controller.observation import Observation, Version
from novaloop.experiment.controller.strays import others_of_datasets, what_is_not_used
from novaloop.experiment.controller.transitions import try_again_at
from novaloop.experiment.costs.budget import commitment
from novaloop.experiment.names import (
    INBOX,
    MAX_EXPERIMENT,
    MAX_EXPERIMENT_WITHOUT_UID,
    MISNAMED_SPEC_FILE,
    SPEC_FILE,
    check_experiment_name,
    check_file_name,
    file_of,
    is_misnamed_spec,
    stem_of,
)
from novaloop.experiment.record import (
    CONVERTING,
    INGEST,
    ChecksItem,
    DatasetItem,
    DatasetRef,
    DatasetStatus,
    Record,
    Snapshot,
    Stage,
    Status,
)
from novaloop.experiment.runtimes.estimates import cost_of_jobs
from novaloop.experiment.runtimes.registry import runtime_of
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import file_for, roles, row_formats, source_stem
from novaloop.experiment.validation.defaults import (
    OF_STACK,
    Resolved,
    resolve,
    told_of_defaults,
    told_of_gate,
)
from novaloop.problem import Problem

CONVERSION = timedelta(minutes=16)
"""Longer than the ingest function's timeout: what one call has not converted by then it never will.

A big file may take many calls. So ingest is asked again, and looks whether they still go on."""
_ALL = "all"
"""Under what it is noted which refusal of all datasets together people were told of."""
DATA_SETTINGS = (
    "columns",
    "system_prompt",
    "labels",
    "reward",
    "encoding",
    "delimiter",
    "max_rejects",
    "split",
    "model",
    "checks",
)


def data_fingerprint(spec: ExperimentSpec, role: str) -> str:
    """Identify everything in the spec that the conversion of one role's rows depends on."""
    settings = spec.model_dump(mode="json", include=set(DATA_SETTINGS))
    settings |= {"role": str(role), "formats": row_formats(spec, role)}
    # Not the rows depend on it, but what the checks across datasets find in them.
    settings |= {"max_length": max_lengths(spec).get(role)}
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def max_lengths(spec: ExperimentSpec) -> dict[str, int]:
    """Return how many tokens a row may have for the stages that train on it, by role."""
    lengths: dict[str, int] = {}
    for plan in spec.trainings:
        length = runtime_of(spec).settings(spec, plan).get("max_length")
        if length is not None:
            for role, _ in plan.inputs:
                lengths[role] = min(length, lengths.get(role, length))
    return lengths


@dataclass(frozen=True)
class _Intake:
    """The datasets that the plan needs, by what stands in the way of starting."""

    missing: tuple[str, ...]
    stale: tuple[DatasetItem, ...]
    busy: tuple[DatasetItem, ...]
    rejected: tuple[DatasetItem, ...]
    accepted: tuple[DatasetItem, ...]

    @property
    def is_complete(self) -> bool:
        """Whether nothing stands in the way."""
        return not (self.missing or self.stale or self.busy or self.rejected)


def collect(record: Record, seen: Observation, now: datetime, policy: Policy) -> Decision:
    """Take the newest spec and datasets; start when all that the plan needs are accepted."""
    item = seen.snapshot.spec
    if misnamed := next(_check_name(record), None):
        return enter(record, Status.REJECTED, str(misnamed), now)
    if newer := _read_newer(record, seen, now):
        return newer
    if why := _why_not_read(seen) or seen.endpoint_problem:
        which = _identity(_spec_id(seen.snapshot), seen.endpoint_problem or "")
        return _reject(record, why, {SPEC_FILE: which}, now)
    resolved = _resolved(seen.snapshot, policy)
    uploaded = item.version_id if item and item.spec else ""
    record = replace(record, spec=resolved.spec, spec_upload=uploaded)
    intake = _sort(record.spec, seen.snapshot.datasets.values())
    if gone := _refuse_gone(record, intake, seen, now):
        return gone
    if not intake.is_complete:
        return _wait_for_datasets(record, intake, seen.snapshot, now)
    return _judge(record, intake, seen, now, policy)


def _resolved(snapshot: Snapshot, policy: Policy) -> Resolved:
    """Return the settings that hold: what was uploaded, and for the rest the stack's defaults."""
    item = snapshot.spec
    if item is None or item.spec is None:
        return resolve(ExperimentSpec(), OF_STACK, policy.defaults)
    return resolve(item.spec, item.left_out, policy.defaults)


@dataclass(frozen=True)
class Compared:
    """What of the bucket a decision needs to know.

    `keys`: their newest versions. `later`: which keys with such a prefix hold a dataset that was
    uploaded later than that, or in the same second under a later key, and their newest versions.
    """

    keys: tuple[str, ...] = ()
    later: Mapping[str, tuple[datetime, str]] = field(default_factory=dict)


def compared(snapshot: Snapshot, now: datetime, policy: Policy) -> Compared:
    """Return what of the bucket a decision needs to know.

    An upload whose event is late or lost has no item yet, so nothing starts before the bucket says
    that what is about to be used is still the newest: of its key, and of those of other formats.
    Nor is waited for what can't be converted, since it, or its settings, were deleted; nor for a
    correction of what is refused, or of settings that ask for more files, that came within the same
    second, so that the sweep can't tell it.
    """
    record = snapshot.record
    spec = snapshot.spec.spec if snapshot.spec else ExperimentSpec()
    if record is None or not record.status.takes_uploads:
        return Compared()
    misnamed = [file.source_key for file in _misnamed(snapshot)]
    if spec is None:
        read = [_spec_key(snapshot)] if snapshot.spec and snapshot.spec.version_id else []
        return Compared((*read, *misnamed))
    intake = _sort(spec, snapshot.datasets.values())
    is_due = intake.is_complete and now >= _starts_at(intake, snapshot, policy)
    stalled = [item for item in intake.busy if _is_stalled(item, now)]
    refused = [item for item in intake.rejected if item.version_id]
    items = intake.accepted if is_due else (*intake.stale, *stalled, *refused)
    sources = sorted({item.source_key for item in items})
    waits = bool(intake.missing) and snapshot.spec is not None
    settings = [_spec_key(snapshot)] if is_due or sources or waits else []
    # Of what one file makes, all counts that came later than what is the oldest of it.
    uploads = sorted(((item.uploaded_at, item.source_key) for item in items), reverse=True)
    later = {
        f"{INBOX}{snapshot.experiment_id}/{stem_of(key)}.": (at, key)
        for at, key in uploads
        if is_due
    }
    return Compared((*settings, *sources, *misnamed), later)


def _is_stalled(item: DatasetItem, now: datetime) -> bool:
    """Whether a conversion that has a version to convert has left it undone.

    An item without one says why nothing could be read: the sweep asks for that.
    """
    return bool(item.version_id) and item.updated_at + CONVERSION < now


def _spec_key(snapshot: Snapshot) -> str:
    return f"{INBOX}{snapshot.experiment_id}/{SPEC_FILE}"


def _read_versions(snapshot: Snapshot) -> Mapping[str, Sequence[Version]]:
    """Return of which versions the items are that the plan needs, by the keys of the files.

    One file may make several datasets, not all of them of the same version. What the plan needs no
    more stays of the version that it was made of for good, which says nothing of the file.
    """
    spec = snapshot.spec.spec if snapshot.spec else ExperimentSpec()
    needed = _found(spec, snapshot.datasets.values()) if spec else ()
    read: dict[str, list[Version]] = {}
    for item in (*needed, *_misnamed(snapshot)):
        versions = read.setdefault(item.source_key, [])
        versions.append(Version(item.version_id, item.uploaded_at))
    if snapshot.spec is not None:
        spec_version = Version(snapshot.spec.version_id, snapshot.spec.uploaded_at)
        read[_spec_key(snapshot)] = [spec_version]
    return read


def _read_newer(record: Record, seen: Observation, now: datetime) -> Decision | None:
    """Have read what is newer in the bucket than its item."""
    read = _read_versions(seen.snapshot)
    newer = [
        key
        for key, newest in seen.newest.items()
        if newest is not None and any(_is_later(newest, each) for each in read.get(key, (None,)))
    ]
    if not newer:
        return None
    files = ", ".join(file_of(key) for key in newer)
    reason = f"waiting for {files}, of which the bucket has a newer version, to be read"
    waiting = enter(record, Status.COLLECTING, reason, now)
    ingest = tuple(map(IngestCommand, newer))
    # Ingest writes nothing before it has read a file that shows that it is at it.
    if record.reason == reason and (record.due_at is None or now < record.due_at):
        return replace(waiting, awaits=ingest)
    asked = (record.awaited.get(f"{INGEST}{file_of(key)}") for key in newer)
    since = min((each.since for each in asked if each is not None), default=now)
    return replace(waiting, commands=ingest, look_at=try_again_at(since, now))


def _is_later(newest: Version, read: Version | None) -> bool:
    return read is None or (newest != read and newest.uploaded_at >= read.uploaded_at)


def _refuse_gone(
    record: Record, intake: _Intake, seen: Observation, now: datetime
) -> Decision | None:
    """Refuse to start with what was deleted from the bucket; what is refused need not be there."""
    read = _read_versions(seen.snapshot)
    refused_by_now = {item.source_key for item in intake.rejected}
    gone = [
        key
        for key, newest in seen.newest.items()
        if any(
            newest is None or newest.uploaded_at < each.uploaded_at for each in read.get(key, ())
        )
        and not is_misnamed_spec(file_of(key))
        and key not in refused_by_now
    ]
    if not gone:
        return None
    files = ", ".join(file_of(key) for key in gone)
    reason = f"{files}: deleted from the bucket before the start; upload it again to go on"
    refused = {file_of(key): _identity(*map(str, read[key]), "gone") for key in gone}
    return _reject(record, reason, refused, now)


def _judge(
    record: Record, intake: _Intake, seen: Observation, now: datetime, policy: Policy
) -> Decision:
    """Start with datasets that are accepted each, unless something is wrong with all of them."""
    checks, versions = seen.snapshot.checks, versions_of(intake.accepted)

    def refused(why: str, *verdict: str) -> Mapping[str, str]:
        return {_ALL: _identity(versions, _spec_id(seen.snapshot), why, *verdict)}

    # Each by itself is accepted: where one is refused again later, that is news.
    told = {key: which for key, which in record.refused.items() if key == _ALL}
    record = replace(record, refused=told)
    if problems := list(check_row_counts(record.spec, intake.accepted)):
        return _reject(record, "\n".join(map(str, problems)), refused("rows"), now)
    if checks is None or checks.versions != versions:
        return _have_checked(record, checks, intake, refused("not checked"), now)
    if checks.refusal:
        return _reject(record, checks.refusal, refused("checks"), now)
    if seen.origin is not None and seen.origin.checkpoint is None:
        why = f"experiment.yaml: {seen.origin.problem}"
        if seen.origin.for_now and seen.origin.problem is not None:
            awaited = AwaitedCheckpoint(record.spec.checkpoint or "", seen.origin.problem.what)
            return replace(enter(record, Status.COLLECTING, why, now), awaits=(awaited,))
        return _reject(record, why, refused("origin", why, str(seen.origin.ended_at)), now)
    return _start_when_quiet(record, intake, seen, now, policy)


def _reject(
    record: Record, reason: str, refused: Mapping[str, str], now: datetime, *commands: Command
) -> Decision:
    """Refuse uploads. What is refused beside them, and was told, is not told again with them.

    `refused` identifies the uploads, and what refuses them if that may change without an upload.
    Not by a service's words: they may differ from look to look.
    """
    refusing = replace(record, refused={**record.refused, **refused})
    return enter(refusing, Status.REJECTED, reason, now, *commands)


def _identity(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _spec_id(snapshot: Snapshot) -> str:
    """Identify the newest spec, or what is called almost like it."""
    spec = snapshot.spec
    uploads = [(spec.uploaded_at, spec.version_id)] if spec is not None else []
    uploads += [
        (file.uploaded_at, file.version_id)
        for file in snapshot.datasets.values()
        if is_misnamed_spec(file.role)
    ]
    at, version = max(uploads, default=("", ""))
    return _identity(str(at), version)


def _check_name(record: Record) -> Iterator[Problem]:
    longest = MAX_EXPERIMENT if record.uid else MAX_EXPERIMENT_WITHOUT_UID
    return check_experiment_name(record.experiment_id, longest)


def is_misnamed(record: Record) -> bool:
    """Whether it is nothing but a folder whose name no experiment can have."""
    return record.status.takes_uploads and any(_check_name(record))


def _have_checked(
    record: Record,
    checks: ChecksItem | None,
    intake: _Intake,
    refused: Mapping[str, str],
    now: datetime,
) -> Decision:
    """Have the datasets checked; where ingest says why these could not be, not at each look.

    Its saying so is what brings the next look about.
    """
    if (
        checks is None
        or checks.versions
        or not checks.refusal
        or any(item.updated_at > checks.checked_at for item in intake.accepted)
    ):
        reason = "checking the datasets against each other"
        return enter(record, Status.COLLECTING, reason, now, CheckDatasets())
    again = [CheckDatasets()] if checks.checked_at + CONVERSION < now else []
    return _reject(record, checks.refusal, refused, now, *again)


def keeps_from_starting(snapshot: Snapshot) -> bool:
    """Whether something can't be read that must not be taken for missing.

    Without its item, an experiment.yaml would be one that asks for nothing special. Checks that a
    newer release wrote would be asked for without end, since nobody writes over them. What else
    is missing is waited for, and written anew by whoever writes it if it was damaged.
    """
    checks = snapshot.unread_item("CHECKS")
    return snapshot.unread_item("SPEC") is not None or (checks is not None and checks.is_newer)


def _misnamed(snapshot: Snapshot) -> Iterator[DatasetItem]:
    """Yield what is called almost like experiment.yaml, and was uploaded after it."""
    spec = snapshot.spec
    for item in snapshot.datasets.values():
        if is_misnamed_spec(item.role) and (spec is None or spec.uploaded_at < item.uploaded_at):
            yield item


def _why_not_read(seen: Observation) -> str | None:
    """Say what is wrong with the newest experiment.yaml, or with what is called almost like it.

    The latter is no fault any more once it is deleted.
    """
    item = seen.snapshot.spec
    for file in _misnamed(seen.snapshot):
        is_deleted = file.source_key in seen.newest and seen.newest[file.source_key] is None
        if not is_deleted:
            return str(next(check_file_name(file.file, file.file)))
    return _first_of(item.errors) if item is not None and item.spec is None else None


def _wait_for_datasets(
    record: Record, intake: _Intake, snapshot: Snapshot, now: datetime
) -> Decision:
    """Ask for what was converted by former settings, and for what a conversion has left undone.

    What is by newer ones, of which the table does not know yet, is not asked for at each look: each
    ask may change the item, which brings the next look about. So does one for what was used as
    something else, or not at all, before there was `split:`, or as long as there was.
    """
    set_at = snapshot.spec.uploaded_at if snapshot.spec else None
    unset = [item for item in intake.stale if set_at is not None and _is_before(item, set_at)]
    stalled = [item for item in (*intake.stale, *intake.busy) if _is_stalled(item, now)]
    again = {item.source_key for item in (*unset, *stalled)}
    files = _of_other_settings(record.spec, intake.missing, snapshot)
    again |= {f"{INBOX}{record.experiment_id}/{file}" for file in files}
    ingest = [IngestCommand(key) for key in sorted(again)]
    if intake.rejected:
        refused = {
            item.role: _identity(str(item.uploaded_at), item.version_id, item.fingerprint)
            for item in intake.rejected
        }
        return _reject(record, _why_rejected(intake.rejected), refused, now, *ingest)
    awaited = _what_is_awaited(record.spec, intake, snapshot)
    return enter(record, Status.COLLECTING, awaited, now, *ingest)


def _of_other_settings(
    spec: ExperimentSpec, missing: Iterable[str], snapshot: Snapshot
) -> Iterator[str]:
    """Yield files that by the present settings make what is missing, or make it no more."""
    set_at = snapshot.spec.uploaded_at if snapshot.spec else None
    stems = {source_stem(spec, role) for role in missing}
    items = snapshot.datasets.values()
    looked_at = {item.file for item in items if item.settings_at == set_at}
    for file in dict.fromkeys((*snapshot.strays.names, *(item.file for item in items))):
        is_data = SourceFormat.of(file) is not None and "/" not in file
        if is_data and stem_of(file) in stems and file not in looked_at:
            yield file
    for role in missing:
        item = snapshot.datasets.get(role)
        if item is not None and not snapshot.strays.has_told_of(item.file):
            yield item.file


def _is_before(item: DatasetItem, set_at: datetime) -> bool:
    """Whether a dataset is by settings that were uploaded before these, by the bucket's time.

    That is in whole seconds: of two in the same one, what is being converted by either goes on.
    What is by none, as there was no experiment.yaml, was so before these, unless that was deleted
    since: then each failure to convert it would be asked for again.
    """
    has_result = item.status is not DatasetStatus.INGESTING and bool(item.version_id)
    if item.settings_at is None:
        return has_result or item.updated_at < set_at
    waits = not item.fingerprint
    return item.settings_at < set_at or (item.settings_at == set_at and (has_result or waits))


def _start_when_quiet(
    record: Record, intake: _Intake, seen: Observation, now: datetime, policy: Policy
) -> Decision:
    """Start some time after the last upload: a person may still be dropping files."""
    starts_at = _starts_at(intake, seen.snapshot, policy)
    if now >= starts_at and _spec_key(seen.snapshot) in seen.newest:
        return _start(record, intake, seen, now, policy)
    reason = f"starts at {starts_at:%H:%M:%S} UTC unless a newer upload comes"
    return replace(enter(record, Status.COLLECTING, reason, now), look_at=starts_at)


def _starts_at(intake: _Intake, snapshot: Snapshot, policy: Policy) -> datetime:
    uploads = [item.uploaded_at for item in intake.accepted]
    uploads += [snapshot.spec.uploaded_at] if snapshot.spec else []
    return max(uploads) + policy.start_delay


def _first_of(errors: tuple[str, ...]) -> str:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"experiment.yaml: {errors[0]}{more}"


def _found(spec: ExperimentSpec, items: Iterable[DatasetItem]) -> Sequence[DatasetItem]:
    """Return the items of the datasets that the plan needs, made of the files that it names."""
    by_role = {
        item.role: item for item in items if stem_of(item.file) == source_stem(spec, item.role)
    }
    return [by_role[role] for role in roles(spec) if role in by_role]


def _sort(spec: ExperimentSpec, items: Iterable[DatasetItem]) -> _Intake:
    found = _found(spec, items)
    has = {item.role for item in found}
    fresh = [item for item in found if item.fingerprint == data_fingerprint(spec, item.role)]
    return _Intake(
        missing=tuple(role for role in roles(spec) if role not in has),
        stale=tuple(item for item in found if item not in fresh),
        busy=tuple(item for item in fresh if item.status is DatasetStatus.INGESTING),
        rejected=tuple(item for item in fresh if item.status is DatasetStatus.REJECTED),
        accepted=tuple(item for item in fresh if item.status is DatasetStatus.ACCEPTED),
    )


def _why_rejected(rejected: tuple[DatasetItem, ...]) -> str:
    told = told_once((item.file, item.reason) for item in rejected)
    return "\n".join((*told, "Upload corrected files to go on."))


def _what_is_awaited(spec: ExperimentSpec, intake: _Intake, snapshot: Snapshot) -> str:
    missing = dict.fromkeys(file_for(spec, role) for role in intake.missing)
    busy = sorted({item.file for item in intake.busy})
    stale = sorted({item.file for item in intake.stale})
    parts = [
        f"waiting for {', '.join(missing)}" if missing else "",
        f"{CONVERTING} {', '.join(busy)}" if busy else "",
        f"to be converted again with the present settings: {', '.join(stale)}" if stale else "",
        *(_what_is_not_used(spec, snapshot) if missing else ()),
    ]
    return "; ".join(part for part in parts if part)


def _what_is_not_used(spec: ExperimentSpec, snapshot: Snapshot) -> Iterator[str]:
    """Yield what lies there while something else is awaited, and what to do about it."""
    strays, used = snapshot.strays, (*roles(spec), MISNAMED_SPEC_FILE)
    idle = [item.file for role, item in sorted(snapshot.datasets.items()) if role not in used]
    like_data = sorted(strays.like_data, key=lambda file: stem_of(file) not in used)
    files = dict.fromkeys((*like_data, *idle))
    yield from what_is_not_used(snapshot.experiment_id, files, spec, strays.more)


def versions_of(items: Iterable[DatasetItem]) -> str:
    """Identify the versions and settings of a set of datasets."""
    parts = sorted(f"{item.role} {item.version_id} {item.fingerprint}" for item in items)
    return _identity(*parts)


def check_row_counts(spec: ExperimentSpec, items: Iterable[DatasetItem]) -> Iterator[Problem]:
    """Yield which stages have fewer rows than the recipe needs, of those that have all datasets."""
    by_role = {item.role: item for item in items}
    for plan in spec.trainings:
        used = [by_role[role] for role, _ in plan.inputs if role in by_role]
        if len(used) < len(plan.inputs):
            continue
        rows, files = sum(item.rows for item in used), dict.fromkeys(item.file for item in used)
        at = next(at for at, stage in spec.places if stage is plan)
        for problem in runtime_of(spec).check_rows(spec, plan, rows, at):
            # Of two files of one dataset it is not clear which was taken.
            yield replace(problem, what=f"{' and '.join(files)} {problem.what}")


def _start(
    record: Record, intake: _Intake, seen: Observation, now: datetime, policy: Policy
) -> Decision:
    """Begin with the first stage; from now on a change of the stack's defaults changes nothing."""
    origin = seen.origin.checkpoint if seen.origin else record.spec.checkpoint
    taken = dataset_refs(intake.accepted)
    files = [file_of(key) for key in seen.files_of_datasets]
    others = tuple(others_of_datasets(files, (item.file for item in intake.accepted)))
    findings = seen.snapshot.checks.findings if seen.snapshot.checks else ()
    found = (f"{finding['check']}: {finding['message']}" for finding in findings)
    record = replace(record, datasets=taken, base_checkpoint=origin, refused={})
    record = replace(record, notices=(*others, *found))
    if record.spec.dry_run:
        return _dry_run(record, seen, now)
    started = replace(record, stages=pending_stages(record.spec), started_at=now)
    rows = ", ".join(f"{item.role} {item.rows:,}" for item in intake.accepted) or "no"
    plan = "" if record.spec_upload else " by the default plan, since no experiment.yaml was there"
    told = [f"started with {rows} rows{plan}", *others, cost_of_jobs(started)]
    if record.spec.deployment is not None:
        told.append(f"a deployment: {commitment(started)}")
        told.append(told_of_gate(record.spec))
    resolved = _resolved(seen.snapshot, policy)
    told.append(told_of_defaults(resolved))
    lines = list(filter(None, told))
    started = replace(started, untold_start="\n".join(lines))
    return enter(started, Status.RUNNING, "; ".join(lines), now)


def dataset_refs(items: Iterable[DatasetItem]) -> dict[str, DatasetRef]:
    """Return the present versions of the datasets, by role."""
    return {
        item.role: DatasetRef(item.version_id, item.sha256, item.rows, item.outputs)
        for item in items
    }


def pending_stages(spec: ExperimentSpec) -> tuple[Stage, ...]:
    """Return the stages of the plan before the first is launched."""
    return tuple(Stage(kind=plan.kind, name=plan.name) for plan in spec.plan)


def _dry_run(record: Record, seen: Observation, now: datetime) -> Decision:
    """Have the plan written, and end once it is. Without stages, no retry can launch any."""
    if seen.refusal is not None:
        return enter(record, Status.FAILED, f"dry run: {seen.refusal.reason}", now)
    if seen.planned is not None:
        return enter(record, Status.COMPLETED, f"dry run: {seen.planned}", now)
    return enter(record, Status.COLLECTING, "dry run: writing the plan", now, WritePlan())
