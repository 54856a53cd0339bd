"""What SageMaker refuses waits; what fails fails."""

from __future__ import annotations

import pytest

from novaloop.experiment.record import Status
from novaloop_cli.stack import Stack
from novaloop_localcloud.cloud import LocalCloud
from novaloop_localcloud.sagemaker.faults import Fault
from tests.e2e.application import ONE_EVALUATION, ONLY_BASELINE, has_told, put, reaches, wait_for

pytestmark = pytest.mark.e2e


def test_a_failed_job_fails(stack: Stack, cloud: LocalCloud) -> None:
    cloud.inject(Fault("training-job", "*failing*", outcome="Failed", reason="AlgorithmError: no"))
    put(stack, "failing", ONE_EVALUATION)
    assert "AlgorithmError" in reaches(stack, "failing", Status.FAILED).reason


def test_what_is_lost_is_launched_again(stack: Stack, cloud: LocalCloud) -> None:
    cloud.inject(Fault("training-job", "*-lost--*-baseline-1", outcome="NoCapacity"))
    put(stack, "lost", ONE_EVALUATION)
    assert reaches(stack, "lost", Status.COMPLETED).stages[0].attempt.number == 2
    assert has_told(stack, "lost", "baseline WAITING: CapacityError")


def test_what_somebody_stopped_is_not(stack: Stack, cloud: LocalCloud) -> None:
    cloud.inject(Fault("training-job", "*-halted--*-baseline-1", outcome="Stopped"))
    put(stack, "halted", ONE_EVALUATION)
    assert "stopped from outside" in reaches(stack, "halted", Status.FAILED).reason


def test_a_refused_launch_waits_and_the_next_one_behind_it(stack: Stack, cloud: LocalCloud) -> None:
    # A queue of its own: the other tests' experiments run on the default instance type.
    other = "{name: baseline, instance_type: ml.p4d.24xlarge}"
    files = {**ONE_EVALUATION, "experiment.yaml": ONLY_BASELINE.replace("baseline", other)}
    no_quota = Fault(
        "CreateTrainingJob", "*-quota-*", code="ResourceLimitExceeded", reason="no quota"
    )
    refused = "baseline WAITING: ResourceLimitExceeded: no quota"
    with cloud.under(no_quota):
        put(stack, "quota", files)
        wait_for(lambda: has_told(stack, "quota", refused))
        put(stack, "behind", files)
        wait_for(lambda: has_told(stack, "behind", "baseline WAITING: waits behind quota"))
    first, second = (reaches(stack, name, Status.COMPLETED) for name in ("quota", "behind"))
    assert [record.stages[0].attempt.number for record in (first, second)] == [1, 1]
    begun = [record.stages[0].attempt.started_at for record in (first, second)]
    assert begun == sorted(filter(None, begun))
