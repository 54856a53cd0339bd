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
from tests.template.refusals import state_machines
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
        ("LagSeconds", {"1": True, "3600": True, "3601": False, "0": False}),
        ("DefaultBudgetUsd", {"0": True, "2500": True, "99.5": True, "-1": False}),
        ("DefaultApproval", {"auto": True, "manual": True, "": False, "no": False}),
        ("DefaultGate", {"none": True, "better-than-baseline": True, "baseline": False}),
    ],
)
def test_template_and_settings_draw_the_same_limits(
    parameter: str, values: dict[str, bool]
) -> None:
    spec = sam_template()["Parameters"][parameter]
    for value, valid in values.items():
        assert _allows(spec, value) is valid
        assert _settings_accept(parameter, value) is valid


NUMBERS = [
    name
    for name, spec in sam_template()["Parameters"].items()
    if spec["Type"] == "Number" and "AllowedValues" not in spec
]


@pytest.mark.parametrize("parameter", NUMBERS)
def test_whatever_cloudformation_takes_for_a_number_the_stack_takes(parameter: str) -> None:
    """A Number is "an integer or float" ("Parameters", CloudFormation's user guide), and is handed
    on as it was written."""
    least = sam_template()["Parameters"][parameter]["MinValue"]
    for value in (f"{least + 1}.5", f"{least + 1}e0"):
        stack = deployed(**{parameter: value})
        assert list(state_machines(stack)) == []
        for function, settings in SETTINGS.items():
            given = stack.properties(function)["Environment"]["Variables"]
            if settings:
                settings.from_environment({k: str(v) for k, v in given.items()} | FROM_LAMBDA)


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("BigFileConcurrency", ["1", "4", "1000"], ["0", "1001", "2.5", "1e2", "-1", "", " 4"]),
        ("BigFileBytes", ["1000000", "17179869184"], ["999999", "1e9", "2000000.5", "0x10", ""]),
    ],
)
def test_whole_numbers_are_digits_alone(parameter: str, good: list[str], bad: list[str]) -> None:
    spec = sam_template()["Parameters"][parameter]
    assert [value for value in (*good, *bad) if _allows(spec, value)] == good


def _allows(spec: dict[str, str], value: str) -> bool:
    if spec["Type"] == "Number":
        return float(spec["MinValue"]) <= float(value) <= float(spec["MaxValue"])
    if "AllowedValues" in spec:
        return value in spec["AllowedValues"]
    return re.fullmatch(spec["AllowedPattern"], value) is not None


def _settings_accept(parameter: str, value: str) -> bool:
    names = {
        "JobNamePrefix": "JOB_NAME_PREFIX",
        "StartDelaySeconds": "START_DELAY_SECONDS",
        "LookSeconds": "LOOK_SECONDS",
        "LagSeconds": "LAG_SECONDS",
        "DefaultBudgetUsd": "DEFAULT_BUDGET_USD",
        "DefaultApproval": "DEFAULT_APPROVAL",
        "DefaultGate": "DEFAULT_GATE",
    }
    environment = variables("ControllerFunction") | FROM_LAMBDA
    try:
        ControllerSettings.from_environment(environment | {names[parameter]: value})
    except ValidationError:
        return False
    return True
