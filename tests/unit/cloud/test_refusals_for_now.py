"""What may pass when it is asked again."""

from __future__ import annotations

from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from novaloop.cloud.endpoints import SageMakerEndpoints
from novaloop.cloud.errors import may_answer_later, obstacle_of
from novaloop.cloud.jobs import TrainingJobs
from novaloop.experiment.record import Obstacle
from novaloop.experiment.runtimes.jobs import PlannedRequest
from novaloop.experiment.runtimes.serving import EndpointRef
from novaloop.usecases.ports import LaunchRefused


def refused(
    code: str, message: str = "", status: int = 400, operation: str = "CreateTrainingJob"
) -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, operation)


@pytest.mark.parametrize("code", ["500", "502", "503", "504"])
def test_a_bare_status_of_a_load_balancer_is_a_service_fault(code: str) -> None:
    error = refused(code, "Service Unavailable", int(code))
    assert obstacle_of(error) is Obstacle.SERVICE_FAULT
    assert may_answer_later(error)


def test_any_5xx_is_a_service_fault_whatever_its_code() -> None:
    assert obstacle_of(refused("NeverHeardOf", status=500)) is Obstacle.SERVICE_FAULT
    assert obstacle_of(refused("NeverHeardOf", status=400)) is Obstacle.INVALID


def test_a_question_that_hangs_on_a_tag_may_be_allowed_once_it_shows() -> None:
    denied = ("AccessDeniedException", "not authorized", 403)
    assert may_answer_later(refused(*denied, operation="InvokeModel"))
    assert not may_answer_later(refused(*denied, operation="InvokeEndpoint"))


class Service:
    """A SageMaker that refuses one call and remembers the others."""

    def __init__(self, error: ClientError) -> None:
        self.error, self.deleted = error, False

    def describe_endpoint(self, EndpointName: str) -> dict[str, str]:  # noqa: N803
        return {"EndpointArn": "arn", "EndpointConfigName": "new", "EndpointStatus": "InService"}

    def update_endpoint(self, **_: object) -> None:
        raise self.error

    def create_training_job(self, **_: object) -> None:
        raise self.error

    def delete_endpoint(self, EndpointName: str) -> None:  # noqa: N803
        self.deleted = True


@pytest.mark.parametrize(
    ("message", "deletes"),
    [
        ('Could not find endpoint configuration "arn:aws:sagemaker:::endpoint-config/old".', True),
        ("The execution role arn:aws:iam::1:role/Nova does not exist", False),
    ],
)
def test_only_a_former_configuration_that_is_gone_costs_the_endpoint(
    message: str, deletes: bool
) -> None:
    service = Service(refused("ValidationException", message))
    endpoints = SageMakerEndpoints(cast("Any", service), cast("Any", None))
    endpoints._take_out_of_service(EndpointRef("new", "bot", former="old"))
    assert service.deleted is deletes


@pytest.mark.parametrize(
    ("parameters", "cause"),
    [({"ServerlessJobConfig": {}}, Obstacle.NOT_FOUND), ({}, Obstacle.INVALID)],
)
def test_what_a_serverless_job_refers_to_may_not_show_yet(
    parameters: dict[str, object], cause: Obstacle
) -> None:
    service = Service(refused("ValidationException", "Model Package Group x does not exist"))
    jobs = TrainingJobs(cast("Any", service))
    with pytest.raises(LaunchRefused) as told:
        jobs.create(PlannedRequest("CreateTrainingJob", parameters))
    assert told.value.cause is cause
