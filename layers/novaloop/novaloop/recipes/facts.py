"""Models, registries and endpoint tiers: what ``facts.yaml`` says, checked and typed."""

from __future__ import annotations

from functools import cache

from pydantic import BaseModel, ConfigDict

from novaloop.recipes.packaged import packaged_yaml
from novaloop.recipes.settings import Setting, listed


class Model(BaseModel):
    """One base model as the hub, a recipe and Bedrock name it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), defer_build=True
    )

    hub_content: str
    model_type: str
    base_path: str
    bedrock_model: str


class ComponentSize(BaseModel):
    """What one copy of an inference component must be given at the least."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    cpu_cores: int
    memory_mb: int
    accelerators: int


class Facts(BaseModel):
    """Everything in ``facts.yaml``."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    models: dict[str, Model]
    registry_accounts: dict[str, str]
    inference_image: str
    endpoint_tiers: dict[str, dict[str, tuple[tuple[int, int], ...]]]
    inference_components: dict[str, ComponentSize]
    accelerators: dict[str, int]
    endpoint_environment: dict[str, Setting]


@cache
def facts() -> Facts:
    """Return the packaged facts."""
    return Facts.model_validate(packaged_yaml("novaloop.recipes", "facts.yaml"))


def model(name: str) -> Model:
    """Return the model that ``experiment.yaml`` calls ``name``.

    Raises:
        ValueError: if there is no such model.
    """
    known = facts().models
    if name not in known:
        raise ValueError(f"is no known model; choose one of {listed(tuple(known))}")
    return known[name]


def problem_with_region(region: str) -> str | None:
    """Return why no Nova job or endpoint can run on SageMaker in ``region``, if none can."""
    accounts = facts().registry_accounts
    if region in accounts:
        return None
    return f"Nova images are not published in {region}; deploy to one of {listed(tuple(accounts))}"


def image_uri(image: str, region: str) -> str:
    """Return the registry address of ``image`` (``repository:tag``) in ``region``.

    Raises:
        ValueError: if Nova images are not published there.
    """
    problem = problem_with_region(region)
    if problem is not None:
        raise ValueError(problem)
    return f"{facts().registry_accounts[region]}.dkr.ecr.{region}.amazonaws.com/{image}"
