"""Whatever comes in, what is stored fits into an item and a commit into a transaction."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass, replace
from datetime import UTC, datetime
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from novaloop.experiment.bounds import TEXT_BYTES, Bounded, cut, first_of
from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import MAX_LINES, Policy, condensed
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.record import (
    Attempt,
    ChecksItem,
    Cleanup,
    CommandItem,
    CommandKind,
    DatasetItem,
    DatasetRef,
    Endpoint,
    GateVerdict,
    HistoryEntry,
    Measured,
    Record,
    ScoreItem,
    Snapshot,
    SpecItem,
    Stage,
    Status,
    Trouble,
)
from novaloop.experiment.spec.experiment import MAX_ASKED, ExperimentSpec
from novaloop.experiment.spec.stages import EvaluateStage, Role, SftStage, StageKind
from novaloop.experiment.spec.yaml_file import MAX_BYTES
from novaloop.metrics.gate import LedgerEntry, Outcome, Tier
from novaloop.store.serialisation import Stored, plain, resolved_spec
from novaloop.training.notes import HealthKind, HealthNote
from tests.dynamodb import check_item, check_transaction

NOW = datetime(2026, 5, 4, tzinfo=UTC)
LONG = "é€😀" * 3_000
ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/" + "n" * 63
URI = "s3://" + "u" * 1_024
NOTES = tuple(HealthNote(kind, 10**9, "m" * 300) for kind in HealthKind)


@pytest.mark.parametrize("text", ["", "short", "x" * TEXT_BYTES, "x" * (TEXT_BYTES + 1), LONG])
@pytest.mark.parametrize("most", [10, 250, TEXT_BYTES])
def test_a_text_is_cut_between_characters_and_only_once(text: str, most: int) -> None:
    short = cut(text, most)
    assert len(short.encode()) <= most
    assert cut(short, most) == short
    assert short == text or (short.endswith("...") and text.startswith(short[:-3]))


def test_a_list_says_how_many_more_there_are() -> None:
    assert first_of(["a", "b", "c"], 3) == ("a", "b", "c")
    assert first_of(["a", "b", "c", "d"], 3) == ("a", "b", "and 2 more")
    assert first_of(first_of(list("abcdef"), 3), 3) == ("a", "b", "and 4 more")


def test_the_lines_of_a_commit_fit_with_all_that_0_1_0_remembered() -> None:
    lines = [HistoryEntry(NOW, "what", str(number)) for number in range(MAX_LINES + 5)]
    assert condensed(lines[:MAX_LINES]) == tuple(lines[:MAX_LINES])
    few = condensed(lines)
    assert few[-1].why == "and 6 more lines"
    items = [{"experiment_id": "a", "item": str(n), **plain(line)} for n, line in enumerate(few)]
    check_transaction(items, others=1 + 50)


LARGEST_ENTRY = asdict(
    LedgerEntry(
        f"{'e' * 16}: recall of {'😀' * 100} not worse than {'e' * 16} by 0.000001 (should)",
        f"+0.1234 (-0.1234 to +0.1234); {10**9} improved, {10**9} regressed of {10**9} questions; "
        "as many characters as the name of a test of paired changes, by questions, may have",
        "a change above -0.000001 at 99.995 % confidence, two-sided",
        Outcome.UNDECIDED,
        Tier.SHOULD,
    )
)


def largest() -> Record:
    evaluation, training = EvaluateStage(name="e" * 16), SftStage(name="s" * 16)
    spec = ExperimentSpec().model_copy(
        update={"system_prompt": "p" * MAX_BYTES, "plan": (evaluation, training) * 10}
    )
    metrics = {"m" * 64 + str(number): Measured(1 / 3, 1 / 3, 10**9) for number in range(1_000)}
    stages = tuple(
        Stage(
            plan.kind,
            plan.name,
            checkpoint=URI,
            reason=LONG,
            metrics=metrics if plan.kind is StageKind.EVALUATE else {},
            attempt=Attempt(
                job_name="n" * 63,
                job_arn=ARN,
                claimed_at=NOW,
                started_at=NOW,
                ended_at=NOW,
                health=NOTES if plan.kind is StageKind.SFT else (),
                warned=tuple(HealthKind) if plan.kind is StageKind.SFT else (),
            ),
        )
        for plan in spec.plan
    )
    outputs = dict.fromkeys(("sft", "rft", "dpo", "evaluation", "llm_judge"), "d" * 200)
    return Record(
        "x" * 32,
        spec,
        NOW,
        reason=LONG,
        stages=stages,
        datasets={role: DatasetRef("v" * 1_024, "a" * 64, 10**9, outputs) for role in Role},
        gate=GateVerdict("HOLD", False, LONG, (LARGEST_ENTRY,) * (MAX_ASKED + len(spec.plan))),
        approved_by=LONG,
        budget_lifted_by=LONG,
        endpoint=Endpoint("n" * 63, NOW, NOW, "n" * 63),
        cleanup=Cleanup(LONG, LONG),
        notified=LONG,
        notices=(LONG,) * 500,
        unused_uploads=LONG,
        troubles=(Trouble(LONG, NOW, NOW),) * 10,
        handled_commands=("c" * 32,) * 50,
        base_checkpoint=URI,
        uid="u" * 36,
    )


def test_the_largest_record_fits_into_an_item() -> None:
    item = {"experiment_id": "x" * 32, "item": "RECORD", **plain(largest())}
    assert check_item(item) > 90_000
    beside = plain(resolved_spec(largest()))
    assert check_item({"experiment_id": "x" * 32, "item": "RESOLVED_SPEC", **beside}) > 150_000


STORED = (
    Record, Stage, Attempt, GateVerdict, Cleanup, SpecItem, DatasetItem, ChecksItem, ScoreItem,
    CommandItem, HistoryEntry, Trouble,
)  # fmt: skip
NAMED = {
    "name", "job_name", "job_arn", "previous_config", "checkpoint", "base_checkpoint",
    "experiment_id", "prefix", "verdict", "version_id", "role", "source_key", "fingerprint",
    "sha256", "rejects_key", "card_key", "profile_key", "rows_key", "versions", "command_id", "uid",
    "spec_upload", "spec_digest", "spec", "answers",
}  # fmt: skip
"""What services, or the application itself, bound: names, keys, ids, URIs, digests. A command's
`spec` is the text of a file, with the bound of such files."""


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_every_text_is_cut_or_is_a_name(kind: type[Any]) -> None:
    assert issubclass(kind, Bounded)
    hints = get_type_hints(kind, include_extras=True)
    free = {name for name, hint in hints.items() if hint in (str, str | None)}
    if kind is not ScoreItem:
        assert not free - NAMED, "mark it as Prose"


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_what_is_marked_is_cut(kind: type[Any]) -> None:
    hints = get_type_hints(kind, include_extras=True)
    required = {each.name: None for each in fields(kind) if "|" not in str(each.type)}
    for name, hint in hints.items():
        if "Cut" in str(hint):
            made = kind(**{**required, name: LONG})
            assert len(getattr(made, name).encode()) <= TEXT_BYTES, name


def test_a_reason_that_was_cut_is_entered_and_told_once() -> None:
    refused = SpecItem("v1", NOW, None, (LONG,))
    record = Record("demo", ExperimentSpec(), NOW)
    seen = Observation(Snapshot("demo", record, spec=refused))
    first = decide(seen, NOW, Policy())
    assert first.record.status is Status.REJECTED
    assert len(first.commands) == 1
    told = replace(seen, snapshot=replace(seen.snapshot, record=first.record))
    second = decide(replace(told, notified=first.commands[0].mark), NOW, Policy())
    third = decide(
        replace(told, snapshot=replace(seen.snapshot, record=second.record)), NOW, Policy()
    )
    assert third.record == second.record
    assert third.commands == ()


def test_a_command_of_any_length_fits() -> None:
    command = CommandItem("1", CommandKind.APPROVE, LONG, NOW, LONG, 1.0, LONG)
    check_item({"experiment_id": "a", "item": "COMMAND#1", **plain(command)})


def stored_kinds(kind: Any, found: set[type[Any]] | None = None) -> set[type[Any]]:
    """Return the dataclasses that items are made of."""
    found = set() if found is None else found
    for argument in get_args(kind):
        stored_kinds(argument, found)
    if is_dataclass(kind) and isinstance(kind, type) and kind not in found:
        found.add(kind)
        for hint in get_type_hints(kind).values():
            stored_kinds(hint, found)
    return found


def test_what_may_be_none_is_none_by_default_because_it_is_not_stored() -> None:
    kinds = stored_kinds(Stored)
    assert len(kinds) > 15
    for kind in kinds:
        hints = get_type_hints(kind)
        for each in fields(kind):
            if NoneType in get_args(hints[each.name]):
                assert each.default is None, f"{kind.__name__}.{each.name}"
