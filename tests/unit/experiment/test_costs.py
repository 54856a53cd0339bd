"""Prices, run times and what is made of them."""

from __future__ import annotations

from itertools import chain

import pytest

from novaloop.experiment.costs import budget
from novaloop.experiment.costs.prices import (
    PriceTable,
    endpoint_cost,
    job_cost,
    packaged_prices,
    read_prices,
)
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid
from novaloop.recipes.catalog import families
from novaloop.recipes.facts import facts

TABLE = read_prices(
    b"""
usd_per_instance_hour: {ml.p5.48xlarge: 36}
run_times: {sft: {start_seconds: 100, seconds_per_step: 2}}
"""
)


def test_every_machine_of_every_recipe_and_endpoint_has_a_price() -> None:
    in_recipes = (v.instance_types for family in families().values() for v in family.variants)
    hosting = facts().endpoint_tiers.values()
    machines = set(chain.from_iterable((*in_recipes, *hosting)))
    assert machines <= packaged_prices().usd_per_instance_hour.keys()


@pytest.mark.parametrize("technique", ["sft", "dpo", "rft"])
def test_every_technique_has_a_run_time_of_its_own(technique: str) -> None:
    prices = packaged_prices()
    assert prices.run_time(f"{technique}-lora") is prices.run_times[technique]
    assert prices.run_time("gen_qa") is prices.run_times["evaluation"]


def cost(steps: int, max_runtime_seconds: int, instances: int = 1) -> tuple[float, float, float]:
    """What a job costs at a cent a second and machine."""
    found = job_cost(
        TABLE,
        "sft-lora",
        "ml.p5.48xlarge",
        instances,
        steps=steps,
        rows=0,
        max_runtime_seconds=max_runtime_seconds,
    )
    assert found is not None
    return found.low, found.expected, found.most


def test_a_job_costs_its_start_and_its_steps_on_all_machines() -> None:
    assert cost(steps=50, max_runtime_seconds=1000) == pytest.approx((1, 2, 10))
    assert cost(steps=50, max_runtime_seconds=1000, instances=4) == pytest.approx((4, 8, 40))


def test_nothing_is_expected_to_run_longer_than_it_may() -> None:
    assert cost(steps=5000, max_runtime_seconds=1000) == pytest.approx((5, 10, 10))


def test_an_endpoint_costs_its_hours() -> None:
    found = endpoint_cost(TABLE, "ml.p5.48xlarge", 2, 10)
    assert found is not None
    assert (found.expected, found.most) == (720, 720)
    assert endpoint_cost(TABLE, "ml.unknown", 2, 10) is None


def test_what_a_file_does_not_say_stays_as_packaged() -> None:
    assert TABLE.run_times["rft"] == packaged_prices().run_times["rft"]
    other = TABLE.usd_per_instance_hour["ml.p4d.24xlarge"]
    assert other == packaged_prices().usd_per_instance_hour["ml.p4d.24xlarge"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"usd_per_instance_hour: {ml.p5.48xlarge: dear}", "usd_per_instance_hour.ml.p5.48xlarge"),
        (b"run_times: {sft: {start_seconds: -1}}", "run_times.sft.start_seconds"),
        (b"usd: 1", "usd: "),
        (b"as_of: tomorrow", "as_of: "),
        (b"- 1", "key: value"),
        (b"a: [", "not YAML"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_by_field(content: bytes, complaint: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_prices(content)
    assert any(complaint in error for error in map(str, refused.value.problems))


def test_a_budget_needs_the_price_of_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = packaged_prices().model_dump() | {"usd_per_instance_hour": {}}
    table = PriceTable.model_validate(prices)
    monkeypatch.setattr(budget, "packaged_prices", lambda: table)
    with pytest.raises(Invalid, match=r"plan\[0\]\.sft\.instance_type: budget_usd"):
        read_spec(b"plan: [sft]\nbudget_usd: 100\n")
    read_spec(b"plan: [sft]\n")


@pytest.mark.parametrize("value", ["0", "-5", "cheap"])
def test_a_budget_is_a_sum_above_nothing(value: str) -> None:
    with pytest.raises(Invalid, match="budget_usd: "):
        read_spec(f"budget_usd: {value}\n".encode())
