"""One leaf of a recipe: where its value comes from and what it may be."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from novaloop.problem import Invalid, Problem, shown

# YAML 1.1, which PyYAML reads, takes `5e-6` for text: it wants a dot and a signed exponent.
_EXPONENT_NOTATION = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)[eE][+-]?\d+")


class Fixed(BaseModel):
    """A leaf that nobody may change."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    fixed: Any


class Given(BaseModel):
    """A leaf that the job itself fills in (its name, its data, its replicas)."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    source: str = Field(alias="from")
    default: str | None = None


class RecipeSetting(BaseModel):
    """A leaf that an override may change, within its type, bounds and choices.

    ``default_from`` is the dotted path of another leaf whose value is the default.
    ``parameter`` is the leaf's name in the hub's override parameters, where it differs.
    ``omitted`` leaves appear in the recipe only when they are set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    type: Literal["integer", "float", "boolean", "string", "floats"]
    default: Any = None
    default_from: str | None = None
    parameter: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    multiple_of: int | None = None
    choices: tuple[Any, ...] | None = None
    nullable: bool = False
    omitted: bool = False

    @property
    def least(self) -> float | None:
        """The smallest number that it may be, if there is one."""
        return min(self.choices) if self.choices and self.type != "string" else self.at_least

    def parse(self, value: object) -> Any:
        """Return ``value`` as the recipe wants it.

        Raises:
            Invalid: saying which values are accepted.
        """
        if self.nullable and value in (None, "null"):
            return None
        return self._within_limits(_PARSERS[self.type](value))

    def _within_limits(self, value: Any) -> Any:
        if self.choices is not None and value not in self.choices:
            rule = f"must be one of {listed(self.choices)}, not {shown(value)}"
            raise Invalid(Problem("", rule))
        for number in value if isinstance(value, list) else [value]:
            self._within_bounds(number)
        return value

    def _within_bounds(self, number: Any) -> None:
        if self.at_least is not None and number < self.at_least:
            raise Invalid(Problem("", f"must be at least {self.at_least:g}, not {shown(number)}"))
        if self.at_most is not None and number > self.at_most:
            raise Invalid(Problem("", f"must be at most {self.at_most:g}, not {shown(number)}"))
        if self.multiple_of is not None and number % self.multiple_of:
            raise Invalid(Problem("", f"must be a multiple of {self.multiple_of}, not {number}"))


Leaf = Fixed | Given | RecipeSetting


def listed(values: tuple[Any, ...]) -> str:
    """Return ``values`` as people write them in YAML, comma-separated."""
    return ", ".join("null" if value is None else str(value) for value in values)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        rule = "must be a whole number, unquoted and without a dot"
        raise Invalid(Problem("", f"{rule}, not {shown(value)}"))
    return value


def _float(value: object) -> float:
    try:
        number = float(value) if _is_number(value) else math.nan  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Invalid(Problem("", f"must be a finite number, unquoted, not {shown(value)}"))
    return number


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return _EXPONENT_NOTATION.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Invalid(Problem("", f"must be true or false, not {shown(value)}"))
    return value


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid(Problem("", f"must be text, not {shown(value)}"))
    return value


def _floats(value: object) -> list[float]:
    if not isinstance(value, list):
        raise Invalid(Problem("", f"must be a list of numbers, not {shown(value)}"))
    return [_float(item) for item in value]


_PARSERS = {
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "string": _string,
    "floats": _floats,
}
