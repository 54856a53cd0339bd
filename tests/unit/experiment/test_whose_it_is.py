"""Names that are given once, and tags that tell whose something is."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations

from novaloop.experiment.names import experiment_of_job, job_name
from novaloop.experiment.record import Attempt, Owner, Record, ScoreItem, Snapshot, Stage
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind
from novaloop.experiment.stack import (
    EXPERIMENT_TAG,
    PREFIX_TAG,
    STACK_TAG,
    UID_TAG,
    client_token,
    is_of_stack,
    owner_of,
)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
FIRST, SECOND = "1111aaaa", "2222aaaa"


def test_each_attempt_of_each_life_has_a_name_of_its_own() -> None:
    names = [
        job_name("novaloop", experiment, uid, stage, attempt)
        for experiment in ("demo", "demo-2")
        for uid in (FIRST, SECOND, None)
        for stage in ("sft", "deploy")
        for attempt in (1, 2)
    ]
    assert all(first != second for first, second in combinations(names, 2))
    assert names[0] == "novaloop-demo--1111-sft-1"
    assert [experiment_of_job("novaloop", name) for name in (names[0], names[-1])] == [
        "demo",
        "demo-2",
    ]


def test_a_name_of_another_prefix_or_of_a_lasting_endpoint_is_no_attempts() -> None:
    assert experiment_of_job("novaloop", "other-demo--1111-sft-1") is None
    assert experiment_of_job("novaloop", "novaloop-demo") is None


def test_an_owner_owns_what_its_own_life_is_tagged_with() -> None:
    mine = Owner("demo", FIRST)
    assert mine.owns(Owner("demo", FIRST))
    others = (None, Owner("demo", SECOND), Owner("demo"), Owner("other", FIRST))
    assert not any(mine.owns(each) for each in others)
    assert Owner("demo").owns(Owner("demo", FIRST)), "release 0.1.0 gave no uid"
    assert owner_of({EXPERIMENT_TAG: "demo", UID_TAG: FIRST}) == mine
    assert owner_of({UID_TAG: FIRST}) is None


def test_a_stacks_tag_decides_whatever_the_prefix() -> None:
    name = "novaloop-demo--1111-sft-1"
    assert not is_of_stack(name, {STACK_TAG: "theirs"}, "novaloop", "ours")
    assert is_of_stack("before-demo--1111-sft-1", {STACK_TAG: "ours"}, "novaloop", "ours")
    assert is_of_stack(name, {}, "novaloop", "ours")
    assert is_of_stack("arn", {PREFIX_TAG: "novaloop"}, "novaloop", "ours")
    assert not is_of_stack("arn", {PREFIX_TAG: "other"}, "novaloop", "ours")


def test_a_token_of_bedrocks_is_of_one_attempt_of_one_life() -> None:
    stage = Stage(StageKind.SFT, "sft", attempt=Attempt(job_name="novaloop-demo--1111-sft-1"))
    tokens = [
        client_token(Record("demo", ExperimentSpec(), NOW, uid=uid), stage)
        for uid in ("1111aaaa", "1111bbbb")
    ]
    assert tokens[0] != tokens[1]


def test_a_score_of_a_former_life_is_none() -> None:
    record = Record("demo", ExperimentSpec(), NOW, uid=FIRST)
    items = tuple(ScoreItem("after", 1, NOW, uid=uid) for uid in (SECOND, FIRST))
    assert Snapshot("demo", record, score_items=items).scores == {("after", 1): items[1]}
    assert Snapshot("demo", record, score_items=items[:1]).scores == {}
