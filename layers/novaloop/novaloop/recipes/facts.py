"""Models, registries and endpoint tiers: what ``facts.yaml`` says, checked and typed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from novaloop.problem import Invalid, Problem, shown
from novaloop.recipes.packaged import packaged_yaml
from novaloop.recipes.settings import RecipeSetting, listed

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    endpoint_environment: dict[str, RecipeSetting]


@cache
def facts() -> Facts:
    """Return the packaged facts."""
    return Facts.model_validate(packaged_yaml("novaloop.recipes", "facts.yaml"))


def model(name: str) -> Model:
    """Return the model that ``experiment.yaml`` calls ``name``.

    Raises:
        Invalid: if there is no such model.
    """
    known = facts().models
    if name not in known:
        do = f"choose one of {listed(tuple(known))}"
        raise Invalid(Problem("model", f"{shown(name)} is no known model", do))
    return known[name]


def check_region(region: str, at: str) -> Iterator[Problem]:
    """Yield that no Nova job or endpoint can run on SageMaker in ``region``, if none can."""
    accounts = facts().registry_accounts
    if region not in accounts:
        what = f"Nova images are not published in {region}"
        yield Problem(at, what, f"deploy to one of {listed(tuple(accounts))}")


def image_uri(image: str, region: str) -> str:
    """Return the registry address of ``image`` (``repository:tag``) in ``region``.

    Raises:
        Invalid: if Nova images are not published there.
    """
    if problems := list(check_region(region, "region")):
        raise Invalid(*problems)
    return f"{facts().registry_accounts[region]}.dkr.ecr.{region}.amazonaws.com/{image}"
