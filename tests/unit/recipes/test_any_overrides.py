"""Whatever a person writes as overrides: errors or a faithful recipe, never an exception."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from novaloop.problem import Invalid
from novaloop.recipes.bedrock import CustomizationJob, customization_job
from novaloop.recipes.catalog import blueprint, methods
from novaloop.recipes.overrides import resolve
from tests.unit.recipes.test_bedrock import DEPLOYMENT, SFT

LITE_2 = methods("nova-lite-2")
SETTINGS = sorted(
    {
        name
        for method in LITE_2
        for path in blueprint(method, "nova-lite-2").settings
        for name in (path, path.rpartition(".")[2])
    }
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from([4, 32, 64, 1e-5, "5e-6", "high", "null", 0xF << 20000])
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(), SCALARS, max_size=1)
NAMES = st.sampled_from(SETTINGS) | st.text(max_size=12) | st.integers() | st.none()


def number_types(values: dict[str, Any]) -> list[tuple[str, type]]:
    return [(path, type(value)) for path, value in values.items()]


@given(st.sampled_from(LITE_2), st.dictionaries(NAMES, VALUES, max_size=6))
@example("sft-lora", {"max_steps": 0xF << 20000})
@example("rft-lora", {"": 1, ".": 1, None: 1})
def test_overrides_are_refused_or_written_faithfully(
    method: str, overrides: dict[Any, object]
) -> None:
    chosen = blueprint(method, "nova-lite-2")
    values, errors = resolve(chosen, overrides, "overrides")

    assert all(error.where.startswith("overrides.") and error.what for error in errors)
    if not errors:
        read = yaml.safe_load(yaml.safe_dump(values, sort_keys=False))
        assert read == values
        assert number_types(read) == number_types(values)


def answer(job: CustomizationJob) -> dict[str, Any] | Invalid:
    try:
        return customization_job(job, DEPLOYMENT)
    except Invalid as problem:
        return problem


@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_bedrock_refuses_what_it_does_not_know(overrides: dict[Any, object]) -> None:
    answered = answer(replace(SFT, overrides=overrides))

    if isinstance(answered, Invalid):
        assert all(error.where.startswith("overrides.") for error in answered.problems)
    else:
        assert overrides.keys() <= answered["hyperParameters"].keys()
