"""What is wrong is said in one way: the convention of docs/architecture.md, held by the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from novaloop.problem import Invalid, Problem

ROOT = Path(__file__).parents[2]
FILES = [
    file
    for package in ("layers/novaloop/novaloop", "cli/novaloop_cli")
    for file in sorted((ROOT / package).rglob("*.py"))
]
TELLERS = {"Problem", "DatasetRefused", "RowRejected", "rejected"}
"""What says what is wrong. Its third argument says what to do."""
OTHER_VERBS = re.compile(r"_?((problems?|errors?)_(?!of)|validate_|complain|wrong_)|.*_problems?$")
"""How functions were called that looked for what is wrong."""
OTHER_CHECKS = {
    "datasets/profile/checks.py:check_datasets": "its findings have a policy and a number of rows",
    "usecases/dataset_checks.py:check_experiment": "writes what the checks across datasets find",
    "novaloop_cli/plan.py:check_folder": "gives what it has read of a folder, or ends the command",
    "recipes/catalog.py:_check_paths": "of the packaged recipes, when they are loaded",
    "controller/transitions.py:_check": "the action that looks at what was launched",
}
"""Called so, and no check of something given; with the reason."""

PASSED_ON = {
    "datasets/convert.py:require_rows",
    "datasets/parts.py:after",
    "rows/json_lines.py:open_json_rows",
}
"""These pass on what was told already, and it says what to do."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(file: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def name_of(file: Path, function: Function) -> str:
    return f"{file.parent.name}/{file.name}:{function.name}"


def is_other_check(file: Path, function: Function) -> bool:
    place = f"{file.as_posix()}:{function.name}"
    return any(place.endswith(f"/{other}") for other in OTHER_CHECKS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_check_gives_problems_and_raises_nothing(file: Path) -> None:
    for check in functions(file):
        if not re.match(r"_?check(_|$)", check.name) or is_other_check(file, check):
            continue
        gives = ast.unparse(check.returns) if check.returns else ""
        assert re.search(r"\bProblem\b", gives), f"{name_of(file, check)} gives {gives}"
        raised = [node.lineno for node in ast.walk(check) if isinstance(node, ast.Raise)]
        assert not raised, f"{name_of(file, check)} raises in line {raised[0]}"


def test_each_exception_is_still_needed() -> None:
    there = [(file, each) for file in FILES for each in functions(file)]
    found = [f"{f.as_posix()}:{each.name}" for f, each in there if is_other_check(f, each)]
    assert len(found) == len(OTHER_CHECKS), found


def test_what_looks_for_problems_has_one_verb() -> None:
    found = [name_of(file, each) for file in FILES for each in functions(file)]
    assert [name for name in found if OTHER_VERBS.match(name.rpartition(":")[2])] == []


def _say_what_to_do(function: Function, call: ast.Call) -> bool:
    if len(call.args) > 2:
        return not isinstance(call.args[2], ast.Constant) or bool(call.args[2].value)
    body = function.body[1:] if ast.get_docstring(function) else function.body
    nodes = ast.walk(ast.Module(body, []))
    return any(isinstance(each, ast.Constant) and "must" in str(each.value) for each in nodes)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_each_problem_says_what_to_do(file: Path) -> None:
    """Or what must be, which says it as well: then a text of the function has the word."""
    for function in functions(file):
        for call in ast.walk(function):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            if call.func.id in TELLERS and name_of(file, function) not in PASSED_ON:
                told = _say_what_to_do(function, call)
                assert told, f"{name_of(file, function)}, line {call.lineno}"


def test_a_problem_reads_from_the_place_to_what_to_do() -> None:
    problem = Problem("plan[0].sft.peft", "must stay lora", "set it, or leave it out")
    assert str(problem) == "plan[0].sft.peft: must stay lora; set it, or leave it out"
    assert str(Problem("", "must be positive")) == "must be positive"


def test_what_is_invalid_tells_all_of_it_below_its_place() -> None:
    invalid = Invalid(Problem("", "is there twice", "keep one"), Problem("lr", "must be a number"))
    assert [each.where for each in invalid.under("plan[0]")] == ["plan[0]", "plan[0].lr"]
    assert str(invalid) == "is there twice; keep one\nlr: must be a number"
