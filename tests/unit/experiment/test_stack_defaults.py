"""What holds where experiment.yaml is silent: the stack's defaults, as far as they can."""

from __future__ import annotations

import pytest

from novaloop.experiment.spec.defaults import SpecDefaults
from novaloop.experiment.spec.experiment import ExperimentSpec, Gate
from novaloop.experiment.validation.defaults import (
    OF_STACK,
    left_out,
    resolve,
    told_of_defaults,
    told_of_gate,
)
from novaloop.experiment.validation.reading import read_spec

GATE = Gate(better_than="baseline")
STRICT = SpecDefaults("manual", 2_500.0, GATE)


def resolved_of(text: str) -> ExperimentSpec:
    spec = read_spec(text.encode())
    return resolve(spec, left_out(spec), STRICT).spec


def test_what_no_file_says_the_stack_does() -> None:
    assert left_out(ExperimentSpec()) == OF_STACK
    found = resolve(ExperimentSpec(), OF_STACK, STRICT)
    assert (found.spec.approval, found.spec.budget_usd, found.spec.gate) == ("manual", 2_500, GATE)
    assert not found.impossible
    assert told_of_defaults(found) == (
        "by the stack's defaults: approval: manual, budget_usd: 2500, gate: {better_than: baseline}"
    )
    assert told_of_gate(found.spec) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("approval: auto", ("auto", 2_500, GATE)),
        ("budget_usd: 10", ("manual", 10, GATE)),
        ("budget_usd: null", ("manual", None, GATE)),
        ("gate: null", ("manual", 2_500, None)),
        ("gate: {at_least: 0.5}", ("manual", 2_500, Gate(at_least=0.5))),
        ("labels: [a, b]", ("manual", 2_500, GATE)),
    ],
)
def test_what_the_file_says_holds_also_if_that_is_none(
    text: str, expected: tuple[object, ...]
) -> None:
    spec = resolved_of(f"{text}\n")
    assert (spec.approval, spec.budget_usd, spec.gate) == expected


@pytest.mark.parametrize(
    ("text", "field", "why"),
    [
        ("runtime: serverless", "budget_usd", "billed by tokens"),
        ("plan: [sft, deploy: {to: bedrock-on-demand}]", "budget_usd", "no price"),
        ("plan: [sft, deploy]", "gate", "no evaluation"),
        ("plan: [evaluate: first, sft, evaluate: last, deploy]", "gate", "called baseline"),
        (
            "plan: [evaluate: {name: baseline, task: mmlu}, sft, evaluate: last, deploy]",
            "gate",
            "ran mmlu",
        ),
    ],
)
def test_a_default_that_cannot_hold_is_left_out_and_told(text: str, field: str, why: str) -> None:
    spec = read_spec(f"{text}\n".encode())
    found = resolve(spec, left_out(spec), STRICT)
    assert getattr(found.spec, field) is None
    told = told_of_defaults(found)
    assert "the stack's default can't hold: " in told
    assert why in told
    assert list(found.spec.check_consistency()) == []


def test_who_deploys_nothing_needs_no_gate() -> None:
    found = resolved_of("plan: [evaluate: baseline, sft, evaluate: last]\n")
    assert found.gate is None
    assert told_of_gate(found) == ""


def test_a_deployment_without_a_gate_is_told() -> None:
    assert told_of_gate(ExperimentSpec()) == (
        "no gate is set: it is deployed whatever the evaluations show"
    )
    assert told_of_gate(ExperimentSpec(approval="manual")).endswith(", once it is approved")


def test_a_stack_that_has_none_changes_nothing() -> None:
    found = resolve(ExperimentSpec(), OF_STACK, None)
    assert found.spec == ExperimentSpec()
    assert told_of_defaults(found) == ""
