"""A retry with other settings changes what runs again, and nothing that has run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from novaloop.experiment.controller.commands import apply
from novaloop.experiment.controller.decision import Decision
from novaloop.experiment.controller.intake import pending_stages
from novaloop.experiment.costs.budget import cost_usd, spent_usd, usd
from novaloop.experiment.record import (
    Attempt,
    CommandItem,
    CommandKind,
    CommandOutcome,
    DatasetRef,
    Record,
    StageState,
    Status,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.yaml_file import MAX_BYTES
from novaloop.experiment.validation.changes import changes
from novaloop.experiment.validation.reading import read_spec

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SETTINGS = """
labels: [a, b]
plan:
  - evaluate: baseline
  - sft: {instances: 4, overrides: {max_steps: 100, global_batch_size: 64}}
  - evaluate: after-sft
  - deploy: {ttl_hours: 2}
gate: {better_than: baseline}
budget_usd: 1000
"""
SPEC = read_spec(SETTINGS.encode())
ROWS = {"sft": {"sft": "s"}, "eval": {"evaluation": "e"}}


def failed(**fields: Any) -> Record:
    """Return an experiment whose training has failed after an hour, out of memory, say."""
    baseline, sft, *rest = pending_stages(SPEC)
    ran = Attempt(1, "novaloop-x--sft-1", started_at=NOW, billable_seconds=3_600)
    stages = (
        replace(baseline, state=StageState.SUCCEEDED),
        replace(sft, state=StageState.FAILED, attempt=ran),
        *rest,
    )
    datasets = {role: DatasetRef("v", "0", 500, outputs) for role, outputs in ROWS.items()}
    given: dict[str, Any] = {"status": Status.FAILED, "stages": stages, "datasets": datasets}
    return Record("x", SPEC, NOW, uid="uid", started_at=NOW, ended_at=NOW, **given | fields)


def retried(text: str, stage: str | None = None, record: Record | None = None) -> Decision:
    command = CommandItem("1", CommandKind.RETRY, "jane", NOW, stage, spec=text)
    return apply(record or failed(), command, NOW)


def why_not(text: str, stage: str | None = None) -> str:
    decision = retried(text, stage)
    assert decision.history[0].outcome is CommandOutcome.IGNORED
    assert decision.record == failed()
    return decision.history[0].why


def plan_of(record: Record, name: str) -> Any:
    return record.plan_of(record.stage(name))


def test_what_runs_again_has_the_new_settings_and_the_history_says_which() -> None:
    decision = retried(SETTINGS.replace("global_batch_size: 64", "global_batch_size: 32"))
    record = decision.record
    assert record.status is Status.RUNNING
    assert plan_of(record, "sft").overrides == {"max_steps": 100, "global_batch_size": 32}
    assert record.stage("sft").attempt.number == 2
    assert [line.why for line in decision.history[1:]] == [
        "retried from sft by jane, with sft.overrides.global_batch_size: 64 to 32"
    ]


def test_other_machines_leave_what_was_spent_as_it_was() -> None:
    before = spent_usd(failed())
    assert before == usd(SPEC, plan_of(failed(), "sft"), 3_600)
    record = retried(SETTINGS.replace("instances: 4", "instances: 8")).record
    assert plan_of(record, "sft").instances == 8
    assert spent_usd(record) == pytest.approx(before)
    cost = cost_usd(record, NOW)
    assert cost is not None
    assert cost.spent == pytest.approx(before, abs=0.01)
    again = retried(SETTINGS, record=replace(record, status=Status.STOPPED)).record
    assert spent_usd(again) == pytest.approx(before), "back on the first ones"


def test_what_was_billed_at_no_known_price_stays_unknown_after_a_retry_on_other_machines() -> None:
    free = SETTINGS.replace("budget_usd: 1000", "budget_usd: null")
    before = replace(failed(), spec=read_spec(free.encode(), "x"))
    unknown = before.spec.plan[1].model_copy(update={"instance_type": "ml.unheard-of.48xlarge"})
    plan = tuple(unknown if each.name == "sft" else each for each in before.spec.plan)
    before = replace(before, spec=before.spec.model_copy(update={"plan": plan}))
    assert cost_usd(before, NOW) is None
    record = retried(free, record=before).record
    assert record.status is Status.RUNNING
    assert (record.stage("sft").earlier_seconds, cost_usd(record, NOW)) == (0, None)
    again = retried(free, record=replace(record, status=Status.STOPPED)).record
    assert cost_usd(again, NOW) is None
    for each in (before, replace(record, status=Status.STOPPED)):
        refused = retried(SETTINGS, record=each)
        assert refused.record == each
        assert "what sft was billed so far is not known" in refused.history[0].why


def test_what_the_text_leaves_out_of_money_and_approval_stays() -> None:
    text = SETTINGS.partition("gate:")[0].replace("ttl_hours: 2", "ttl_hours: 3")
    spec = retried(text).record.spec
    assert (spec.gate, spec.budget_usd, spec.approval) == (SPEC.gate, 1000, "auto")


def test_another_budget_holds_though_the_old_one_was_lifted() -> None:
    lifted = failed(budget_lifted_by="joe")
    text = SETTINGS.replace("budget_usd: 1000", "budget_usd: 900")
    assert retried(text, record=lifted).record.budget_lifted_by is None
    assert retried(SETTINGS, record=lifted).record.budget_lifted_by == "joe"


HAS_RUN = (
    "plan[0].evaluate: baseline has run, and keeps its settings; leave it as it is, or retry from "
    "it, with --from baseline"
)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("evaluate: baseline", "evaluate: {name: baseline, max_runtime_seconds: 700}", HAS_RUN),
        ("labels: [a, b]", "labels: [a, b, c]", "labels: can't be changed after the start"),
        ("labels: [a, b]", "labels: [a, b]\nsystem_prompt: Sort it.", "system_prompt: can't be"),
        ("labels: [a, b]", "labels: [a, b]\ndry_run: true", "dry_run: can't be changed"),
        ("evaluate: after-sft", "evaluate: after-sft\n  - evaluate: more", "plan: has other"),
        ("evaluate: after-sft", "evaluate: later", "keep baseline, sft, after-sft, deploy"),
        ("instances: 4", "instances: 3", "plan[1].sft.instances"),
        ("global_batch_size: 64", "global_batch_sise: 64", "global_batch_sise"),
        ("overrides: {", "validation: true, overrides: {val_check_interval: 9, ", "of validation"),
        ("ttl_hours: 2", "endpoint: shared", "plan[3].deploy.endpoint: can't be changed"),
        ("better_than: baseline", "better_than: nobody", "no earlier evaluation is called nobody"),
        ("plan:", "plan: &x", "x"),
        ("budget_usd: 1000", "budget_usd: much", "budget_usd"),
        ("labels", "l" * MAX_BYTES, "262,144"),
    ],
)  # fmt: skip
def test_what_would_alter_what_has_run_or_can_not_be_is_refused(
    old: str, new: str, why: str
) -> None:
    assert why in why_not(SETTINGS.replace(old, new))


def test_from_an_earlier_stage_its_settings_may_change_too() -> None:
    new = "evaluate: {name: baseline, max_runtime_seconds: 700}"
    record = retried(SETTINGS.replace("evaluate: baseline", new), "baseline").record
    assert plan_of(record, "baseline").max_runtime_seconds == 700
    assert record.stage("baseline").state is StageState.PENDING


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ("instances: 4", "peft: full, instances: 4", "plan[1].sft.peft"),
        ("ttl_hours: 2", "to: bedrock-on-demand", "plan[3].deploy.to"),
    ],
)
def test_what_another_experiments_checkpoint_has_to_allow_stays(
    old: str, new: str, at: str
) -> None:
    """It is checked when that is looked up: once, before the start."""
    text = SETTINGS.replace("budget_usd: 1000", "budget_usd: null")
    changed = text.replace(old, new)
    assert retried(changed).history[0].outcome is CommandOutcome.APPLIED
    origin = "checkpoint: first/sft\n"
    record = failed(base_checkpoint="s3://bucket/first")
    record = replace(record, spec=read_spec((origin + text).encode()))
    refused = retried(origin + changed, record=record).history[0]
    assert refused.outcome is CommandOutcome.IGNORED
    assert f"{at}: can't be changed after the start" in refused.why


def scored() -> Record:
    """Return an experiment of which all but the deployment has run."""
    *ran, deploy = failed().stages
    done = (replace(stage, state=StageState.SUCCEEDED) for stage in ran)
    return failed(status=Status.HELD, stages=(*done, deploy))


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ("confidence: 0.99", "gate.confidence: after-sft was scored with intervals at another"),
        ("tries: 5", "gate.tries: after-sft was scored with intervals at another confidence"),
        (
            "not_worse_than: baseline, margin: 0.1, each_class: true",
            "gate.each_class: after-sft was not compared class by class when it was scored",
        ),
        (
            "conditions: [{not_worse_than: baseline, margin: 0.1, each_class: true}]",
            "gate.each_class: after-sft was not compared class by class when it was scored",
        ),
    ],
)
def test_a_gate_asks_nothing_that_the_scores_can_not_tell_any_more(gate: str, why: str) -> None:
    """It was obeyed, and the gate went by the intervals that there are."""
    text = SETTINGS.replace("better_than: baseline", f"better_than: baseline, {gate}")
    refused = retried(text, "deploy", scored()).history[0]
    assert refused.outcome is CommandOutcome.IGNORED
    assert why in refused.why
    assert "or retry from it, with --from after-sft" in refused.why
    again = retried(text, "after-sft", scored())
    assert again.history[0].outcome is CommandOutcome.APPLIED
    former = replace(scored(), spec=again.record.spec)
    assert retried(text, "deploy", former).history[0].outcome is CommandOutcome.APPLIED


@pytest.mark.parametrize("gate", ["at_least: 0.5", "metric: f1, better_than: baseline", ""])
def test_another_gate_of_what_was_measured_judges_anew(gate: str) -> None:
    text = SETTINGS.replace("gate: {better_than: baseline}", f"gate: {{{gate}}}")
    assert retried(text, "deploy", scored()).history[0].outcome is CommandOutcome.APPLIED


IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/mine:1"


def test_an_image_that_the_stack_has_not_checked_gets_in_by_no_retry() -> None:
    text = SETTINGS.replace("instances: 4", f"instances: 4, image: {IMAGE}")
    assert "plan[1].sft.image: can't be changed after the start" in why_not(text)


def test_without_other_settings_nothing_of_the_spec_changes() -> None:
    command = CommandItem("1", CommandKind.RETRY, "jane", NOW)
    record = apply(failed(), command, NOW).record
    assert record.spec is SPEC
    assert record.stage("sft").earlier_seconds == 3_600
    assert isinstance(record.spec, ExperimentSpec)


def test_an_override_that_was_not_set_was_the_recipes_default_and_not_none() -> None:
    def with_overrides(**overrides: int) -> ExperimentSpec:
        spec = ExperimentSpec()
        plan = [
            stage.model_copy(update={"overrides": overrides}) if stage.name == "sft" else stage
            for stage in spec.plan
        ]
        return spec.model_copy(update={"plan": tuple(plan)})

    plain, smaller = with_overrides(), with_overrides(global_batch_size=32)
    path = "sft.overrides.global_batch_size"
    assert changes(plain, smaller) == (f"{path}: the recipe's default to 32",)
    assert changes(smaller, plain) == (f"{path}: 32 to the recipe's default",)
