"""What holds for every test."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine is, and what else it is doing, is no fault of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

MAY_BE_SKIPPED = {
    "tests/integration/test_namespace.py": "where namespaces are made, `make accept` runs",
    "tests/unit/datasets/test_csv_corpus.py": "others' files, which are not ours to publish",
    "tests/unit/datasets/test_sdk_dataset_cases.py": "what an SDK was seen to do, kept in part",
    "tests/unit/localcloud/test_container.py": "full captures of an SDK, kept in part",
    "tests/unit/localcloud/test_job_metrics.py": "what an SDK was seen to do, kept in part",
    "tests/unit/localcloud/test_request_validation.py": "full captures of an SDK, kept in part",
    "tests/unit/metrics/test_pair_metrics.py": "others' cases, which are not ours to publish",
    "tests/unit/recipes/test_kept_captures.py": "full captures of an SDK, kept in part",
}
"""Files whose tests also need what a machine or this repository lacks, and why that is no fault."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="A skipped test has failed.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    is_skip = report.skipped and not hasattr(report, "wasxfail")
    if is_skip and item.config.getoption("--no-skips") and item.location[0] not in MAY_BE_SKIPPED:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped. {report.longrepr[2]}"
    if report.passed:
        # Nobody reads what a test wrote that passed. Some log thousands of tracebacks: all of them
        # were kept to the end, in 4 GB of the process that gathers reports and 2 GB of each other.
        report.sections.clear()
        if report.when == "teardown":
            item._report_sections.clear()
    return report
