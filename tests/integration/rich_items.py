"""One of each item of an experiment, with every field set to something."""

from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from novaloop.experiment.record import (
    Ailment,
    Attempt,
    Backstop,
    ChecksItem,
    Cleanup,
    CommandItem,
    CommandKind,
    CommandOutcome,
    DatasetItem,
    DatasetRef,
    DatasetStatus,
    Endpoint,
    GateTry,
    GateVerdict,
    HistoryEntry,
    Measured,
    Obstacle,
    Progress,
    Record,
    ScoreItem,
    SpecItem,
    Stage,
    StageState,
    Status,
    Suspect,
    Suspicion,
    Trouble,
    Waited,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind
from novaloop.experiment.validation.reading import read_spec
from novaloop.training.notes import HealthKind, HealthNote

NOW = datetime(2026, 1, 5, 9, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)
UID = "c0ffee00-0000-4000-8000-000000000001"

SPEC: ExperimentSpec = read_spec(
    b"""
columns: {question: Body, answer: Y}
system_prompt: |
  Answer with one label.
  Nothing else, \xc3\xa9ver.
labels: [HQ, LQ_EDIT, LQ_CLOSE]
plan:
  - evaluate: baseline
  - sft: {instances: 4, overrides: {lr: 5.0e-6, max_steps: 100}}
  - evaluate: after-sft
  - deploy: {ttl_hours: 1.5}
gate: {metric: exact_match, at_least: 0.7, better_than: baseline}
"""
)


def complete(item: Any) -> Any:
    """Return the item, sure that none of its optional fields has its default."""
    for each in fields(item):
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        assert getattr(item, each.name) != default, f"{type(item).__name__}.{each.name}"
    return item


def complete_values(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values, sure that none is left out but the version, which commits count."""
    assert {each.name for each in fields(kind)} - {"version"} == values.keys()
    return values


def stage(**changes: Any) -> Stage:
    of_attempt: dict[str, Any] = {
        "number": 2,
        "job_name": "novaloop-questions--sft-2",
        "job_arn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/x",
        "claimed_at": NOW,
        "second_step_at": NOW,
        "previous_config": "novaloop-questions-2--deploy-1",
        "refusals": 2,
        "ending": True,
        "suspicion": complete(
            Suspicion(Suspect.ABSENT, NOW, LATER, 3, confirmed=True, why="not found")
        ),
        "denied": Suspicion(Suspect.DENIED, NOW, LATER),
        "overdue": Suspicion(Suspect.OVERDUE, NOW, LATER),
        "started_at": NOW,
        "ended_at": LATER,
        "scoring_since": LATER,
        "checked_at": LATER,
        "checks": 3,
        "progress": complete(Progress("Training", 7, 100, LATER)),
        "health": (HealthNote(HealthKind.LOSS_DIVERGENCE, 7, "the loss rose"),),
        "warned": (HealthKind.LOSS_DIVERGENCE,),
        "billable_seconds": 86_400,
    }
    values: dict[str, Any] = {
        "kind": StageKind.SFT,
        "name": "sft",
        "state": StageState.RUNNING,
        "attempt": Attempt(**complete_values(Attempt, of_attempt)),
        "backstop": complete(
            Backstop(
                "novaloop-bot",
                "sagemaker",
                2,
                LATER,
                component=True,
                lasting=True,
                is_set=True,
                was_gone=True,
                changed="Target.Arn",
                touched_at=LATER,
                refused=complete(
                    Suspicion(Suspect.DENIED, NOW, LATER, looks=2, confirmed=True, why="no")
                ),
            )
        ),
        "next_try_at": LATER,
        "queued_at": NOW,
        "tries": 4,
        "losses": 3,
        "waits": (complete(Waited(Obstacle.QUOTA, NOW, 4, long=True)),),
        "checkpoint": "s3://customer-escrow-1-smtj-x/job/step_9",
        "metrics": {
            "exact_match": complete(Measured(0.1 + 0.2, 1 / 3, 30)),
            "bleu": Measured(100.0),
            "f1": Measured(1 / 3),
        },
        "earlier_seconds": 1_800,
        "earlier_usd": 12.5,
        "unpriced": True,
        "reason": "because",
    }
    return Stage(**complete_values(Stage, values) | changes)


def record(experiment_id: str = "questions", **changes: Any) -> Record:
    values: dict[str, Any] = {
        "experiment_id": experiment_id,
        "spec": SPEC,
        "created_at": NOW,
        "status": Status.STOPPING,
        "reason": "stopped by jane",
        "stages": (Stage(StageKind.EVALUATE, "baseline"), stage()),
        "datasets": {"sft": DatasetRef("v1", "ab" * 32, 3500, {"sft": "datasets/a/sft.jsonl"})},
        "gate": complete(GateVerdict("PROMOTE", True, "better", ({"met": True, "n": 7},))),
        "approved_by": "jane",
        "budget_lifted_by": "joe",
        "unreadable": Suspicion(Suspect.UNREADABLE, NOW, LATER, why="AccessDenied"),
        "base_checkpoint": "s3://customer-escrow-1-smtj-x/earlier/40",
        "endpoint": complete(
            Endpoint(
                "novaloop-questions--deploy-1",
                NOW,
                LATER,
                "component",
                LATER,
                unkept=LATER,
                ailment=complete(Ailment(NOW, "it fails", "Failed: too large")),
            )
        ),
        "stopping_to": Status.STOPPED,
        "cleanup": complete(
            Cleanup(
                "jane",
                "sagemaker:model novaloop-questions--deploy-1",
                "AccessDenied",
                held=Suspicion(Suspect.LINGERING, NOW, LATER),
                empty=Suspicion(Suspect.ABSENT, NOW, LATER),
            )
        ),
        "started_at": NOW,
        "ended_at": LATER,
        "due_at": LATER,
        "untold_start": "started with sft 3 rows",
        "notified": "LIVE",
        "reported": "0 warnings; LIVE",
        "notices": ("a late upload",),
        "awaited": {"the ingest of sft.csv": Suspicion(Suspect.UNANSWERED, NOW, LATER, why="no")},
        "unread": "COMMAND#c9 is left alone: this command is damaged",
        "troubles": (complete(Trouble("sft waits: QUOTA", NOW, LATER)),),
        "refused": {"sft": "0123456789abcdef"},
        "unused_uploads": "sft.csv version v2 is not used",
        "handled_commands": ("c1", "c2"),
        "prefix": "other",
        "uid": UID,
        "spec_upload": "v3",
        "spec_digest": "of another spec",
        "updated_at": LATER,
    }
    return Record(**complete_values(Record, values) | changes)


def dataset(role: str = "sft", uploaded_at: datetime = NOW, **changes: Any) -> DatasetItem:
    values: dict[str, Any] = {
        "role": role,
        "status": DatasetStatus.REJECTED,
        "source_key": f"inbox/questions/{role}.csv",
        "version_id": "v7",
        "uploaded_at": uploaded_at,
        "fingerprint": "fp",
        "settings_at": NOW,
        "updated_at": LATER,
        "ingest_attempts": 2,
        "reason": "line 7: no answer",
        "rows": 3500,
        "rejected_rows": 3,
        "sha256": "cd" * 32,
        "outputs": {"sft": "a", "rft": "b"},
        "rejects_key": "rejects",
        "card_key": "card",
        "profile_key": "profile",
        "summary": {
            "labels": {"HQ": 1200},
            "bytes": {"sft": 2**53 + 1},
            "share": 0.1,
            "none": None,
        },
    }
    return DatasetItem(**complete_values(DatasetItem, values) | changes)


TRY = GateTry("questions", "after-sft", 1, NOW, "k3x9")


def score(attempt: int = 1) -> ScoreItem:
    difference = {"p_value": 2.0**-500, "confidence": 0.95, "low": None}
    content = {
        "n": 500,
        "metrics": {"exact_match": {"value": 0.7, "stderr": 0.020493901531919198}},
        "comparisons": {"baseline": {"metrics": {"exact_match": difference}}},
        "notes": ["a note", ""],
        "confusion": [[1, 2], [3, 0]],
    }
    return ScoreItem("baseline", attempt, NOW, "wrong size", content, "rows", UID)


CHECKS = ChecksItem("v", NOW, "leak", ({"check": "overlap", "rows": [1, 2]},))
SPEC_ITEM = SpecItem("v3", NOW, SPEC, ("plan.0: unknown",), "it came too late", ("gate",))
ENTRIES = [
    HistoryEntry(NOW, "sft CLAIMED", "first"),
    HistoryEntry(NOW, "stop by jane", "second", "c1", CommandOutcome.APPLIED),
]


def command(command_id: str, at: datetime = NOW) -> CommandItem:
    values = "jane", at, "deploy", 1.5, "please", UID, "plan: [sft]", "LIVE 0123456789ab"
    return CommandItem(command_id, CommandKind.KEEP, *values)
