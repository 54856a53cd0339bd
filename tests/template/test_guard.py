"""The guard is made last and deleted first: whatever ends things is there as long as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from novaloop_localcloud.templates import references
from tests.template.stack import sam_template, transformed

CONDITIONS = {"without": False, "with": True}


def dependencies(resources: Mapping[str, Any], *, optional: bool) -> dict[str, set[str]]:
    """Return what each resource depends on, directly: by references and by DependsOn."""
    conditions = dict.fromkeys(transformed()["Conditions"], optional)
    there = {
        name: resource
        for name, resource in resources.items()
        if conditions.get(resource.get("Condition", ""), True)
    }
    found = {}
    for name, resource in there.items():
        named = resource.get("DependsOn", [])
        listed = [named] if isinstance(named, str) else named
        assert set(listed) <= there.keys(), f"{name} depends on what a condition leaves out"
        found[name] = (set(listed) | set(references(resource, conditions))) & there.keys()
    return found


def before(name: str, depends_on: Mapping[str, set[str]]) -> set[str]:
    """Return everything that is made before a resource, and deleted after it."""
    seen: set[str] = set()
    open_ends = [name]
    while open_ends:
        for each in depends_on[open_ends.pop()] - seen:
            seen.add(each)
            open_ends.append(each)
    return seen


@pytest.mark.parametrize("optional", CONDITIONS.values(), ids=CONDITIONS)
def test_the_guard_depends_on_everything_and_nothing_on_it(optional: bool) -> None:
    depends_on = dependencies(transformed()["Resources"], optional=optional)
    assert before("Guard", depends_on) == depends_on.keys() - {"Guard"}
    assert not [name for name, others in depends_on.items() if "Guard" in others]


def test_a_resource_that_the_guard_does_not_wait_for_is_found() -> None:
    resources = transformed()["Resources"] | {"New": {"Type": "AWS::SNS::Topic"}}
    depends_on = dependencies(resources, optional=True)
    assert depends_on.keys() - before("Guard", depends_on) == {"Guard", "New"}


def test_the_guard_of_the_prefix_is_asked_before_anything_with_the_prefix_changes() -> None:
    """But for itself: the guards' function, which looks for what the former prefix names."""
    resources = transformed()["Resources"]
    depends_on = dependencies(resources, optional=True)
    own = before("PrefixGuard", depends_on) | {"PrefixGuard"}
    with_prefix = {
        name for name, each in resources.items() if "JobNamePrefix" in json.dumps(each, default=str)
    }
    assert with_prefix & own == {"PrefixGuard", "GuardFunction"}
    early = [n for n in with_prefix - own if "PrefixGuard" not in before(n, depends_on)]
    assert len(with_prefix) > 10
    assert not early


def test_the_guard_goes_with_its_stack_and_is_not_waited_for_long() -> None:
    guard = sam_template()["Resources"]["Guard"]
    assert not {"DeletionPolicy", "UpdateReplacePolicy"} & guard.keys()
    # Lambda tries twice more after an error, a minute and then 2 minutes later.
    attempts = 3 * sam_template()["Resources"]["GuardFunction"]["Properties"]["Timeout"] + 180
    assert attempts <= guard["Properties"]["ServiceTimeout"] <= 3_600
