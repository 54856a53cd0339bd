"""What `checkpoint: experiment/stage` may and may not go on from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from novaloop.experiment.controller.gate import judge
from novaloop.experiment.controller.intake import pending_stages
from novaloop.experiment.lineage import origin_of
from novaloop.experiment.record import Record, ScoreItem, Stage, StageState, Status
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind
from novaloop.experiment.validation.reading import read_spec

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ESCROW = "s3://customer-escrow-1-smtj-x/job/40"


def source(text: str = "plan: [evaluate: base, sft]", status: Status = Status.LIVE) -> Record:
    spec = read_spec(text.encode())
    stages = tuple(
        replace(
            stage, state=StageState.SUCCEEDED, checkpoint=ESCROW if stage.name != "base" else None
        )
        for stage in pending_stages(spec)
    )
    return Record("first", spec, created_at=NOW, status=status, stages=stages)


def spec(plan: str = "[rft]", more: str = "") -> ExperimentSpec:
    return read_spec(f"checkpoint: first/sft\nplan: {plan}\n{more}".encode())


@pytest.mark.parametrize(
    ("checkpoint", "named"),
    [
        ("first/sft", ("first", "sft")),
        ("first", None),
        ("First/sft", None),
        ("first/sft/1", None),
        (ESCROW, None),
        (None, None),
    ],
)
def test_what_names_a_stage(checkpoint: str | None, named: tuple[str, str] | None) -> None:
    assert ExperimentSpec.model_construct(checkpoint=checkpoint).origin == named


def test_the_checkpoint_that_the_stage_left() -> None:
    assert origin_of(spec(), source()).checkpoint == ESCROW
    assert origin_of(spec("[evaluate: a]"), source()).checkpoint == ESCROW
    full = source("plan: [sft: {peft: full}]")
    assert origin_of(spec("[deploy: {to: bedrock-provisioned}]"), full).checkpoint == ESCROW
    assert origin_of(spec("[deploy: {to: bedrock-on-demand}]"), source()).checkpoint == ESCROW


@pytest.mark.parametrize(
    ("asked", "found", "says"),
    [
        (spec(), source("model: nova-pro\nplan: [sft: {instances: 6}]"), "trained nova-pro, not"),
        (
            spec(),
            source("plan: [sft: {peft: full}]"),
            "trained with peft full, rft is to with lora",
        ),
        (
            spec("[deploy: {to: bedrock-on-demand}]"),
            source("plan: [sft: {peft: full}]"),
            "bedrock-on-demand takes models trained with peft lora, not full",
        ),
        (
            spec(),
            source("plan: [sft: {name: warm}, rft]"),
            "first has no stage sft; those that train are warm, rft",
        ),
        (spec(), source("plan: [rft]"), "first has no stage sft; the one that trains is rft"),
        (
            spec(),
            source("plan: [evaluate: sft, rft]"),
            "first/sft is no training; the one that trains is rft",
        ),
        (
            spec(),
            source("plan: [evaluate: sft]"),
            "first/sft is no training, and none of its stages trains; name another checkpoint",
        ),
        (spec(more="runtime: serverless"), source(), "left no package"),
        (spec(), None, "no experiment is called first"),
    ],
)
def test_what_does_not_fit_is_refused_for_good(
    asked: ExperimentSpec, found: Record | None, says: str
) -> None:
    origin = origin_of(asked, found)
    assert says in str(origin.problem)
    assert (origin.checkpoint, origin.for_now) == (None, False)


def test_a_checkpoint_that_may_yet_come_is_waited_for() -> None:
    running = replace(source(status=Status.RUNNING), stages=())
    assert origin_of(spec(), running).for_now
    assert not origin_of(spec(), replace(running, status=Status.STOPPED)).for_now


def test_the_gate_judges_the_evaluation_that_it_names() -> None:
    plan = "[evaluate: {name: a, task: mmlu}, sft, evaluate: {name: b, task: mmlu}]"
    names = {"a": 0.4, "b": 0.6}
    stages = tuple(Stage(StageKind.EVALUATE, name) for name in names)
    scores = {
        (name, 1): ScoreItem(
            name,
            1,
            NOW,
            score={
                "task": "mmlu",
                "subtask": None,
                "metrics": {"accuracy": {"value": value, "stderr": 0.01}},
                "changes": {},
            },
        )
        for name, value in names.items()
    }
    for evaluation, promotes in {
        "": True,
        "evaluation: b, ": True,
        "evaluation: a, ": False,
    }.items():
        gate = f"gate: {{{evaluation}metric: accuracy, at_least: 0.5}}"
        record = Record("demo", read_spec(f"plan: {plan}\n{gate}".encode()), NOW, stages=stages)
        assert judge(record, scores).promotes is promotes
