"""How Novaloop compares with the verified behaviour of the Nova Forge SDK, case by case.

`python -m tests.conformance` (or `make conformance`) prints one table from the data of the tests:
each case is equal, different on purpose (with its reason in docs/), or wrong. The exit status is 1
if any is wrong.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum

from rich.console import Console
from rich.table import Table

from novaloop.recipes.plans import plan_training_job
from tests.unit.datasets import test_sdk_dataset_cases as datasets
from tests.unit.recipes import test_bedrock, test_captured_requests
from tests.unit.recipes.captures import capture, verdicts
from tests.unit.recipes.probe_jobs import ACCEPTED_ON_PURPOSE, PROBES, REFUSED_ON_PURPOSE


class Verdict(StrEnum):
    """What a case shows."""

    EQUAL = "equal"
    DIFFERENT = "deliberately different"
    WRONG = "wrong"


Case = tuple[str, str, Verdict]
"""The case's kind, its name, what it shows."""


def verdict(is_equal: bool, is_meant_to_differ: bool) -> Verdict:
    """Judge a case: a difference must be listed, and what is listed must be a difference."""
    if is_equal is is_meant_to_differ:
        return Verdict.WRONG
    return Verdict.EQUAL if is_equal else Verdict.DIFFERENT


def _holds(check: Callable[[], object]) -> bool:
    try:
        check()
    except AssertionError:
        return False
    return True


def request_cases() -> Iterator[Case]:
    """Yield the captured training requests with their recipes, and the deployments."""
    for name, case in test_captured_requests.CASES.items():
        planned = plan_training_job(*case)
        captured = capture(name)
        renamed = test_captured_requests.renamed
        same = renamed(planned.request) == renamed(captured["CreateTrainingJob"][0])
        yield "captured requests", name, verdict(same, is_meant_to_differ=False)
        (recipe,) = captured["recipe_uploads"].values()
        yield "captured recipes", name, verdict(planned.recipe_text == recipe, False)
    deployments = (
        test_captured_requests.test_endpoint_requests_equal_the_captured_ones,
        test_bedrock.test_import_and_deployment_equal_the_captured_requests,
    )
    for check in deployments:
        yield "captured deployments", check.__name__, verdict(_holds(check), False)


def probe_cases() -> Iterator[Case]:
    """Yield the probes of the SDK's validation."""
    for name, sdk in verdicts().items():
        same = bool(PROBES[name]()) == (sdk == "ERR")
        differs = name in REFUSED_ON_PURPOSE | ACCEPTED_ON_PURPOSE
        yield "validation probes", name, verdict(same, differs)


def dataset_cases() -> Iterator[Case]:
    """Yield the dataset cases, by what of the SDK they ran."""
    for case in datasets.ALL:
        kind, name = f"datasets: {case['kind']}", case["id"]
        yield kind, name, verdict(datasets.is_equal(case), name in datasets.DIFFERENT)


def main() -> int:
    """Print the table and return the exit status."""
    out = Console(highlight=False)
    cases = [*request_cases(), *probe_cases(), *dataset_cases()]
    counts = Counter((kind, shown) for kind, _, shown in cases)
    table = Table("kind", "cases", *Verdict, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for kind in dict.fromkeys(kind for kind, _, _ in cases):
        row = [counts[kind, each] for each in Verdict]
        table.add_row(kind, str(sum(row)), *map(str, row))
    totals = Counter(shown for _, _, shown in cases)
    table.add_row("all", str(len(cases)), *(str(totals[each]) for each in Verdict), style="bold")
    out.print(table)
    for kind, name, shown in cases:
        if shown is Verdict.WRONG:
            out.print(f"wrong: {kind}: {name}", style="red")
    if not datasets.ALL:
        out.print("The SDK's dataset cases are not beside this checkout (NOVALOOP_SHARED).")
    return 1 if totals[Verdict.WRONG] else 0


if __name__ == "__main__":
    sys.exit(main())
