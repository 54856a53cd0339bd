"""The functions' settings and the template's environment variables say the same."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from novaloop.settings import (
    BucketSettings,
    ControllerSettings,
    IngestSettings,
    Settings,
    StackSettings,
    SweeperSettings,
)
from tests.template.stack import deployed, sam_template

STACK = deployed()
SETTINGS: dict[str, type[Settings] | None] = {
    "IngestFunction": IngestSettings,
    "MetricsFunction": BucketSettings,
    "SweeperFunction": SweeperSettings,
    "ControllerFunction": ControllerSettings,
    "RewardFunction": None,
    "GuardFunction": StackSettings,
}
FROM_LAMBDA = {"AWS_REGION": "us-east-1"}


def variables(function: str) -> dict[str, str]:
    """Return the environment variables of one function, without those that all have."""
    environment = STACK.properties(function)["Environment"]["Variables"]
    shared = sam_template()["Globals"]["Function"]["Environment"]["Variables"]
    return {name: str(value) for name, value in environment.items() if name not in shared}


def test_every_function_is_covered() -> None:
    assert SETTINGS.keys() == STACK.of_type("AWS::Lambda::Function").keys()


@pytest.mark.parametrize(("function", "settings"), SETTINGS.items())
def test_each_variable_is_read_and_each_setting_is_given(
    function: str, settings: type[Settings] | None
) -> None:
    fields = settings.model_fields if settings else {}
    read = {name.upper() for name in fields} - FROM_LAMBDA.keys()
    assert variables(function).keys() == read


@pytest.mark.parametrize(("function", "settings"), SETTINGS.items())
def test_what_the_template_gives_is_valid(function: str, settings: type[Settings] | None) -> None:
    if settings:
        settings.from_environment(variables(function) | FROM_LAMBDA)


@pytest.mark.parametrize("name", ["TABLE_NAME", "EXECUTION_ROLE_ARN", "JOB_NAME_PREFIX"])
def test_a_missing_variable_is_named(name: str) -> None:
    environment = variables("ControllerFunction") | FROM_LAMBDA
    del environment[name]
    with pytest.raises(ValidationError, match=name.lower()):
        ControllerSettings.from_environment(environment)


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("JobNamePrefix", {"a": True, "novaloop": True, "novaloop2": False, "no-va": False}),
        ("StartDelaySeconds", {"0": True, "900": True, "901": False, "-1": False}),
        ("LookSeconds", {"1": True, "3600": True, "3601": False, "0": False}),
    ],
)
def test_template_and_settings_draw_the_same_limits(
    parameter: str, values: dict[str, bool]
) -> None:
    spec = sam_template()["Parameters"][parameter]
    for value, valid in values.items():
        assert _allows(spec, value) is valid
        assert _settings_accept(parameter, value) is valid


def _allows(spec: dict[str, str], value: str) -> bool:
    if spec["Type"] == "Number":
        return float(spec["MinValue"]) <= float(value) <= float(spec["MaxValue"])
    return re.fullmatch(spec["AllowedPattern"], value) is not None


def _settings_accept(parameter: str, value: str) -> bool:
    names = {
        "JobNamePrefix": "JOB_NAME_PREFIX",
        "StartDelaySeconds": "START_DELAY_SECONDS",
        "LookSeconds": "LOOK_SECONDS",
    }
    environment = variables("ControllerFunction") | FROM_LAMBDA
    try:
        ControllerSettings.from_environment(environment | {names[parameter]: value})
    except ValidationError:
        return False
    return True
