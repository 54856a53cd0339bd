"""What jobs and endpoints cost: estimates before the launch, and what was spent after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import chain
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from novaloop.problem import Invalid
from novaloop.recipes.packaged import packaged_yaml
from novaloop.typed import dotted
from novaloop.wording import problems_of

_HOUR = 3600
_LOW_SHARE = 0.5


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class RunTime(_Model):
    """How long a kind of job is assumed to take, in seconds."""

    start_seconds: float = Field(ge=0)
    seconds_per_step: float = Field(default=0, ge=0)
    seconds_per_row: float = Field(default=0, ge=0)


class PriceTable(_Model):
    """`prices.yaml`: US dollars for an hour of one instance, and assumed run times."""

    as_of: date
    region: str
    source: str
    usd_per_instance_hour: Mapping[str, Annotated[float, Field(ge=0)]]
    run_times: Mapping[str, RunTime]

    def usd(self, instance_type: str, instances: int, seconds: float) -> float | None:
        """Return what the instances cost for that long; None without a price for the type."""
        price = self.usd_per_instance_hour.get(instance_type)
        return None if price is None else price * instances * seconds / _HOUR

    def run_time(self, method: str) -> RunTime:
        """Return the assumed run time of a method of the recipes, such as `sft-lora`."""
        return self.run_times.get(method.partition("-")[0], self.run_times["evaluation"])


@cache
def packaged_prices() -> PriceTable:
    """Return the packaged price table."""
    return PriceTable.model_validate(_packaged())


def _packaged() -> Any:
    return packaged_yaml("novaloop.experiment.costs", "prices.yaml")


def read_prices(content: bytes) -> PriceTable:
    """Return the packaged prices with what `content` says otherwise. Raises Invalid."""
    # Only the command reads people's prices.
    from novaloop.experiment.spec.yaml_file import read_settings  # noqa: PLC0415

    changes = read_settings(content, example="as_of: 2026-11-01")
    try:
        return PriceTable.model_validate(_merged(_packaged(), changes))
    except ValidationError as error:
        found = (problems_of(each, dotted(*each["loc"])) for each in error.errors())
        raise Invalid(*chain.from_iterable(found)) from None


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**table, **{key: _changed(table.get(key), value) for key, value in changes.items()}}


def _changed(old: object, new: object) -> object:
    return {**old, **new} if isinstance(old, dict) and isinstance(new, dict) else new


@dataclass(frozen=True)
class CostRange:
    """US dollars: if all goes fast, as assumed, and at the very most."""

    low: float
    expected: float
    most: float

    def __add__(self, other: CostRange) -> CostRange:
        return CostRange(
            self.low + other.low, self.expected + other.expected, self.most + other.most
        )


def job_cost(
    prices: PriceTable,
    method: str,
    instance_type: str,
    instances: int,
    *,
    steps: int,
    rows: int,
    max_runtime_seconds: int,
) -> CostRange | None:
    """Estimate a job; None without a price for its machines."""
    time = prices.run_time(method)
    seconds = time.start_seconds + steps * time.seconds_per_step + rows * time.seconds_per_row
    expected = min(seconds, max_runtime_seconds)
    return _range(prices, instance_type, instances, expected, max_runtime_seconds)


def endpoint_cost(
    prices: PriceTable, instance_type: str, instances: int, hours: float
) -> CostRange | None:
    """Estimate an endpoint that lives its whole time; low if it is deleted halfway."""
    return _range(prices, instance_type, instances, hours * _HOUR, hours * _HOUR)


def _range(
    prices: PriceTable, instance_type: str, instances: int, expected: float, most: float
) -> CostRange | None:
    per_second = prices.usd(instance_type, instances, 1)
    if per_second is None:
        return None
    return CostRange(expected * _LOW_SHARE * per_second, expected * per_second, most * per_second)
