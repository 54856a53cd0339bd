"""Every pair of what was trained and where it is to be served, and every region, by the guides."""

from __future__ import annotations

from itertools import product

import pytest

from novaloop.experiment.runtimes.registry import check_region
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid

MODELS = ("nova-micro", "nova-lite", "nova-pro", "nova-lite-2")
METHODS = {
    "nova-micro": ("sft", "dpo"),
    "nova-lite": ("sft", "dpo"),
    "nova-pro": ("sft", "dpo"),
    "nova-lite-2": ("sft", "rft"),
}
TARGETS = ("sagemaker", "bedrock-on-demand", "bedrock-provisioned")
MACHINES = {"nova-pro": 6}
TRAININGS = [
    (model, method, peft)
    for model in MODELS
    for method, peft in product(METHODS[model], ("lora", "full"))
]


def refusals(text: str) -> dict[str, str]:
    try:
        read_spec(text.encode())
    except Invalid as refused:
        return dict(line.partition(": ")[::2] for line in map(str, refused.problems))
    return {}


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize(("model", "method", "peft"), TRAININGS)
def test_what_sagemaker_trained_is_served_where_the_guides_say(
    model: str, method: str, peft: str, to: str
) -> None:
    """On demand, Bedrock serves only what was trained parameter-efficiently on SageMaker.

    Source: Nova's user guides, "On-demand inference on Custom Models", compatibility requirements.
    """
    instances = MACHINES.get(model, 4)
    training = f"{method}: {{peft: {peft}, instances: {instances}}}"
    tier = "context_length: 8000, max_concurrency: 1"
    target = f"to: {to}" if to != "sagemaker" else tier
    found = refusals(f"model: {model}\nplan: [{training}, deploy: {{{target}}}]")
    refused = to == "bedrock-on-demand" and peft == "full"
    assert set(found) == ({"plan[1].deploy.to"} if refused else set()), found
    if refused:
        (problem,) = found.values()
        assert "bedrock-provisioned" in problem
        assert "peft: lora" in problem


def test_the_newest_training_before_the_deployment_counts() -> None:
    evaluated = "plan: [sft: {peft: full}, evaluate: after, deploy: {to: bedrock-on-demand}]"
    assert set(refusals(evaluated)) == {"plan[2].deploy.to"}


def test_of_a_checkpoint_from_elsewhere_nobody_knows_how_it_was_trained() -> None:
    checkpoint = "checkpoint: s3://customer-escrow-1-smtj-x/earlier/40\n"
    assert refusals(f"{checkpoint}plan: [deploy: {{to: bedrock-on-demand}}]") == {}


REGIONS = {
    # nova-forge-region-availability: "Amazon Bedrock inference is not available in US West
    # (Oregon)"; deploy-custom-model-on-demand and prov-thru-supported: every Nova in us-east-1.
    "plan: [sft, deploy: {to: bedrock-on-demand}]": {"us-east-1"},
    "plan: [sft, deploy: {to: bedrock-provisioned}]": {"us-east-1"},
    # custom-model-fine-tuning and rft-nova-models
    "runtime: bedrock\nplan: [sft]": {"us-east-1"},
    "runtime: bedrock\nplan: [rft]": {"us-east-1"},
    # The SageMaker SDK's own list
    "runtime: serverless\nplan: [sft]": {"us-east-1", "us-west-2"},
    # The guides name the first two, the SDKs have images in all four.
    "plan: [sft]": {"us-east-1", "us-west-2", "eu-west-2", "ap-northeast-1"},
    "plan: [sft, deploy]": {"us-east-1", "us-west-2", "eu-west-2", "ap-northeast-1"},
}


@pytest.mark.parametrize(
    "region", ["us-east-1", "us-west-2", "eu-west-2", "ap-northeast-1", "eu-north-1"]
)
@pytest.mark.parametrize("text", REGIONS)
def test_the_regions_of_each_runtime_and_target(text: str, region: str) -> None:
    spec = read_spec(text.encode())
    problems = list(check_region(spec, spec.plan[-1], region, "plan[0]"))
    assert bool(problems) is (region not in REGIONS[text]), problems
    for problem in map(str, problems):
        assert region in problem
        assert all(each in problem for each in REGIONS[text])
