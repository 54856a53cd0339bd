"""COLLECTING and REJECTED: waiting until every dataset that the plan needs is accepted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from novaloop.experiment.moves import Decision, IngestCommand, Policy, enter
from novaloop.experiment.names import experiment_name_error
from novaloop.experiment.observation import Observation
from novaloop.experiment.record import (
    DatasetItem,
    DatasetRef,
    DatasetStatus,
    Record,
    Stage,
    Status,
)
from novaloop.experiment.spec import ExperimentSpec, RftStage, Role

DATA_SETTINGS = (
    "columns",
    "system_prompt",
    "labels",
    "encoding",
    "delimiter",
    "max_rejects",
    "split",
    "model",
)


def data_fingerprint(spec: ExperimentSpec, role: Role) -> str:
    """Identify everything in the spec that the conversion of one role's rows depends on."""
    settings = spec.model_dump(mode="json", include=set(DATA_SETTINGS))
    settings |= {"role": str(role), "with_rft_rows": role is Role.SFT and wants_sft_in_rft(spec)}
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def wants_sft_in_rft(spec: ExperimentSpec) -> bool:
    """Whether a reinforcement stage trains on the rows of sft.csv too."""
    return any(isinstance(stage, RftStage) and stage.include_sft_rows for stage in spec.plan)


@dataclass(frozen=True)
class _Intake:
    """The datasets that the plan needs, by what stands in the way of starting."""

    missing: tuple[Role, ...]
    stale: tuple[DatasetItem, ...]
    busy: tuple[DatasetItem, ...]
    rejected: tuple[DatasetItem, ...]
    accepted: tuple[DatasetItem, ...]


def collect(record: Record, seen: Observation, now: datetime, policy: Policy) -> Decision:
    """Take the newest spec and datasets; start when all that the plan needs are accepted."""
    item = seen.snapshot.spec
    problem = experiment_name_error(record.experiment_id)
    if problem is None and item is not None and item.spec is None:
        problem = _first_of(item.errors)
    if problem is not None:
        return enter(record, Status.REJECTED, problem, now)
    record = replace(record, spec=item.spec if item and item.spec else ExperimentSpec())
    intake = _sort(record.spec, seen.snapshot.datasets.values())
    ingest = tuple(IngestCommand(key) for key in sorted({d.source_key for d in intake.stale}))
    if intake.rejected:
        return enter(record, Status.REJECTED, _why_rejected(intake.rejected), now, *ingest)
    if waiting := _what_is_awaited(intake):
        return enter(record, Status.COLLECTING, waiting, now, *ingest)
    starts_at = max([d.uploaded_at for d in intake.accepted]) + policy.start_delay
    if now < starts_at:
        reason = f"starts at {starts_at:%H:%M:%S} UTC unless a newer upload comes"
        return replace(enter(record, Status.COLLECTING, reason, now), look_at=starts_at)
    return _start(record, intake, now)


def _first_of(errors: tuple[str, ...]) -> str:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"experiment.yaml: {errors[0]}{more}"


def _sort(spec: ExperimentSpec, items: Iterable[DatasetItem]) -> _Intake:
    by_role = {item.role: item for item in items}
    needed = {role: by_role.get(role) for role in spec.roles()}
    found = [(role, item) for role, item in needed.items() if item is not None]
    fresh = [item for role, item in found if item.fingerprint == data_fingerprint(spec, role)]
    return _Intake(
        missing=tuple(role for role, item in needed.items() if item is None),
        stale=tuple(item for _, item in found if item not in fresh),
        busy=tuple(item for item in fresh if item.status is DatasetStatus.INGESTING),
        rejected=tuple(item for item in fresh if item.status is DatasetStatus.REJECTED),
        accepted=tuple(item for item in fresh if item.status is DatasetStatus.ACCEPTED),
    )


def _file(item: DatasetItem) -> str:
    return item.source_key.rpartition("/")[2]


def _why_rejected(rejected: tuple[DatasetItem, ...]) -> str:
    reasons = dict.fromkeys(f"{_file(item)}: {item.reason}" for item in rejected)
    return "; ".join(reasons) + ". Upload a corrected file to go on."


def _what_is_awaited(intake: _Intake) -> str:
    missing = [f"{role}.csv" for role in intake.missing]
    converting = sorted({_file(item) for item in (*intake.busy, *intake.stale)})
    parts = [
        f"waiting for {', '.join(missing)}" if missing else "",
        f"converting {', '.join(converting)}" if converting else "",
    ]
    return "; ".join(part for part in parts if part)


def _start(record: Record, intake: _Intake, now: datetime) -> Decision:
    datasets = {
        item.role: DatasetRef(item.version_id, item.sha256, item.rows, item.outputs)
        for item in intake.accepted
    }
    stages = tuple(Stage(kind=plan.kind, name=plan.name) for plan in record.spec.plan)
    started = replace(record, datasets=datasets, stages=stages, started_at=now)
    rows = ", ".join(f"{item.role} {item.rows:,}" for item in intake.accepted)
    return enter(started, Status.RUNNING, f"started with {rows} rows", now)
