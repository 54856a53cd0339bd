"""Endpoints: the tier table, the container's variables, names and tags."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from novaloop.experiment.controller.transitions import ENDPOINT_START
from novaloop.problem import Invalid
from novaloop.recipes.endpoints import Endpoint, check_endpoint, escrow_tag_value, plan_endpoint
from novaloop.recipes.facts import facts
from novaloop.recipes.jobs import Deployment
from tests.unit.recipes.wire import assert_valid

DEPLOYMENT = Deployment(
    region="us-east-1", execution_role_arn="arn:aws:iam::123456789012:role/NovaExec"
)
ENDPOINT = Endpoint(
    name="novaloop-exp1--deploy-1",
    model="nova-lite-2",
    checkpoint="s3://customer-escrow-123456789012-smtj-0a1b2c3d/exp1/step_40",
    instance_type="ml.p5.48xlarge",
    context_length=12000,
    max_concurrency=16,
    tags={"novaloop:experiment": "exp1"},
)


def paths(
    context_length: int = 12000,
    max_concurrency: int = 16,
    *,
    model: str = "nova-lite-2",
    instance_type: str = "ml.p5.48xlarge",
    environment: dict[str, object] | None = None,
    inference_component: bool = False,
) -> set[str]:
    errors = check_endpoint(
        model,
        instance_type,
        context_length,
        max_concurrency,
        environment or {},
        inference_component=inference_component,
        at="plan[5].deploy",
    )
    return {error.where.removeprefix("plan[5].deploy.") for error in errors}


@pytest.mark.parametrize(
    ("context_length", "max_concurrency", "fits"),
    [
        (12000, 16, True),
        (16000, 128, True),
        (16000, 129, False),
        (16001, 32, True),
        (16001, 33, False),
        (256000, 2, True),
        (256000, 3, False),
        (256001, 1, False),
    ],
)
def test_size_must_fit_one_tier(context_length: int, max_concurrency: int, fits: bool) -> None:
    assert paths(context_length, max_concurrency) == (set() if fits else {"context_length"})


@pytest.mark.parametrize("size", [0, -1, True, 12000.0])
def test_sizes_are_positive_whole_numbers(size: int) -> None:
    assert paths(max_concurrency=size) == {"max_concurrency"}


def test_a_machine_that_hosts_other_models_is_refused() -> None:
    assert paths(instance_type="ml.g5.12xlarge") == {"instance_type"}
    assert paths(4000, 12, model="nova-micro", instance_type="ml.g5.12xlarge") == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEFAULT_TEMPERATURE", 2.1),
        ("DEFAULT_TOP_P", 0),
        ("DEFAULT_MAX_NEW_TOKENS", 0),
        ("DEFAULT_LOGPROBS", 21),
        ("NUM_SPECULATIVE_TOKENS", 11),
        ("KV_CACHE_DTYPE", "fp4"),
        ("DISABLE_SPECULATIVE_DECODING", "yes"),
        ("CONTEXT_LENGTH", 4000),
        ("DEFAULT_TEMPERTURE", 1),
    ],
)
def test_a_variable_the_container_would_not_take_is_refused(name: str, value: object) -> None:
    assert paths(environment={name: value}) == {f"environment.{name}"}


def test_variables_become_strings() -> None:
    environment: dict[str, object] = {"DISABLE_SPECULATIVE_DECODING": True, "DEFAULT_TOP_P": 1}
    planned = plan_endpoint(replace(ENDPOINT, environment=environment), DEPLOYMENT)

    assert planned.create_model["PrimaryContainer"]["Environment"] == {
        "CONTEXT_LENGTH": "12000",
        "MAX_CONCURRENCY": "16",
        "DISABLE_SPECULATIVE_DECODING": "true",
        "DEFAULT_TOP_P": "1.0",
    }


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        plan_endpoint(
            replace(ENDPOINT, name="a_b", checkpoint="model", context_length=10**6),
            replace(DEPLOYMENT, region="eu-north-1"),
            at="plan[5].deploy",
        )

    assert {error.where for error in caught.value.problems} == {
        "plan[5].deploy.name",
        "plan[5].deploy.checkpoint",
        "plan[5].deploy.context_length",
        "plan[5].deploy.region",
    }


def test_requests_are_valid_and_tagged() -> None:
    planned = plan_endpoint(ENDPOINT, DEPLOYMENT)
    for operation, request in [
        ("CreateModel", planned.create_model),
        ("CreateEndpointConfig", planned.create_endpoint_config),
        ("CreateEndpoint", planned.create_endpoint),
    ]:
        assert_valid("sagemaker", operation, request)
        assert {"Key": "novaloop:experiment", "Value": "exp1"} in request["Tags"]


def test_a_model_package_stands_for_image_and_data() -> None:
    package = "arn:aws:sagemaker:us-east-1:123456789012:model-package/exp1/3"
    planned = plan_endpoint(replace(ENDPOINT, checkpoint=package), DEPLOYMENT)

    assert_valid("sagemaker", "CreateModel", planned.create_model)
    assert planned.create_model["PrimaryContainer"] == {
        "ModelPackageName": package,
        "Environment": {"CONTEXT_LENGTH": "12000", "MAX_CONCURRENCY": "16"},
    }


def test_a_long_escrow_uri_is_shortened_to_a_tag_value() -> None:
    uri = "s3://bucket/" + "x" * 300
    assert escrow_tag_value("s3://bucket/" + "x" * 244) == "s3://bucket/" + "x" * 244

    shortened = escrow_tag_value(uri)

    assert len(shortened) == 256
    assert shortened == uri[:224] + "-" + sha256(uri.encode()).hexdigest()[:31]


def test_an_inference_component_gets_the_least_that_its_model_needs() -> None:
    planned = plan_endpoint(
        replace(ENDPOINT, inference_component=True, instance_count=2), DEPLOYMENT
    )

    component = planned.create_inference_component
    assert component is not None
    assert_valid("sagemaker", "CreateInferenceComponent", component)
    assert component["Specification"] == {
        "ModelName": ENDPOINT.name,
        "ComputeResourceRequirements": {
            "NumberOfCpuCoresRequired": 20,
            "MinMemoryRequiredInMb": 100000,
            "NumberOfAcceleratorDevicesRequired": 4,
        },
    }
    assert component["RuntimeConfig"] == {"CopyCount": 2}
    config = planned.create_endpoint_config
    assert_valid("sagemaker", "CreateEndpointConfig", config)
    assert "ModelName" not in config["ProductionVariants"][0]
    assert config["ExecutionRoleArn"] == DEPLOYMENT.execution_role_arn
    assert {"Key": "sagemaker:nova-inference-component", "Value": "true"} in config["Tags"]


def test_without_a_component_the_configuration_names_the_model() -> None:
    planned = plan_endpoint(ENDPOINT, DEPLOYMENT)

    assert planned.create_inference_component is None
    assert planned.create_endpoint_config["ProductionVariants"][0]["ModelName"] == ENDPOINT.name


@pytest.mark.parametrize(
    ("model", "instance_type", "sizes", "fits"),
    [
        ("nova-lite-2", "ml.p5.48xlarge", (12000, 16), True),
        ("nova-micro", "ml.g5.12xlarge", (4000, 12), True),
        ("nova-micro", "ml.g6e.4xlarge", (8000, 4), False),
        ("nova-pro", "ml.p5.48xlarge", (8000, 8), False),
    ],
)
def test_a_component_must_fit_its_machine(
    model: str, instance_type: str, sizes: tuple[int, int], fits: bool
) -> None:
    found = paths(*sizes, model=model, instance_type=instance_type, inference_component=True)
    assert found == (set() if fits else {"inference_component"})


def test_the_accelerators_of_every_machine_that_hosts_are_known() -> None:
    hosts = {machine for tiers in facts().endpoint_tiers.values() for machine in tiers}
    assert hosts == set(facts().accelerators)


def test_an_update_in_place_is_valid_and_given_up_before_it_is_overdue() -> None:
    planned = plan_endpoint(replace(ENDPOINT, served_as="novaloop-bot"), DEPLOYMENT)

    update = planned.update_endpoint
    assert update is not None
    assert_valid("sagemaker", "UpdateEndpoint", update)
    assert (update["EndpointName"], update["EndpointConfigName"]) == ("novaloop-bot", ENDPOINT.name)
    assert planned.create_endpoint["EndpointName"] == "novaloop-bot"
    assert planned.create_model["ModelName"] == ENDPOINT.name
    longest = update["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert longest["MaximumExecutionTimeoutInSeconds"] < ENDPOINT_START.total_seconds()
