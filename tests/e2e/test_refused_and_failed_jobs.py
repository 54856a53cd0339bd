"""What SageMaker refuses waits; what fails fails."""

from __future__ import annotations

import pytest

from cli.stack import Stack
from localcloud.cloud import LocalCloud
from localcloud.sagemaker.faults import Fault
from novaloop.experiment.record import StageState, Status
from tests.e2e.application import ONE_EVALUATION, put, reaches, wait_for

pytestmark = pytest.mark.e2e


def is_waiting(stack: Stack, name: str) -> bool:
    record = stack.table.load(name).record
    return record is not None and any(s.state is StageState.WAITING for s in record.stages)


def test_a_refused_launch_waits_and_a_failed_job_fails(stack: Stack, cloud: LocalCloud) -> None:
    cloud.inject(
        Fault("CreateTrainingJob", "*quota*", code="ResourceLimitExceeded", reason="no quota")
    )
    cloud.inject(Fault("training-job", "*failing*", outcome="Failed", reason="AlgorithmError: no"))
    for name in ("quota", "failing"):
        put(stack, name, ONE_EVALUATION)
    failed = reaches(stack, "failing", Status.FAILED)
    assert "AlgorithmError" in failed.reason
    assert wait_for(lambda: is_waiting(stack, "quota"), 30)
    waiting = stack.load("quota")[1].stages[0]
    assert "ResourceLimitExceeded" in (waiting.reason or "")
    assert reaches(stack, "quota", Status.COMPLETED).stages[0].attempt == 1
