"""From a job to what is uploaded and requested for it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from novaloop.problem import Invalid, joined
from novaloop.recipes import facts
from novaloop.recipes.catalog import Blueprint, blueprint
from novaloop.recipes.checks import check_infrastructure, check_inputs
from novaloop.recipes.overrides import resolve
from novaloop.recipes.requests import create_training_job, inconsistencies
from novaloop.recipes.settings import Fixed, Given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop.recipes.jobs import Deployment, TrainingJob


@dataclass(frozen=True)
class JobPlan:
    """What to upload (``recipe_text`` to ``recipe_uri``), then what to request."""

    request: dict[str, Any]
    recipe: dict[str, Any]
    recipe_text: str
    recipe_uri: str


def plan_training_job(job: TrainingJob, deployment: Deployment, at: str = "") -> JobPlan:
    """Return the recipe and the CreateTrainingJob request of ``job``.

    ``at`` is the path of the stage in ``experiment.yaml``, put before each field's name.

    Raises:
        Invalid: with everything that is wrong.
    """
    try:
        chosen = blueprint(job.method, job.model, job.instance_type)
    except Invalid as invalid:
        raise Invalid(*invalid.under(joined(at, "method"))) from None
    values, problems = resolve(chosen, job.overrides, joined(at, "overrides"))
    problems += check_infrastructure(
        job.method, job.model, job.instance_type, job.instance_count, at
    )
    problems += check_inputs(job, chosen, deployment, at)
    if problems:
        raise Invalid(*problems)
    recipe = _recipe(chosen, values | _inputs(job, chosen, deployment))
    request = create_training_job(job, chosen, deployment)
    contradictions = inconsistencies(request, recipe)
    if contradictions:
        raise AssertionError("; ".join(contradictions))
    import yaml  # noqa: PLC0415 - most looks launch nothing

    return JobPlan(request, recipe, yaml.safe_dump(recipe, sort_keys=False), job.recipe_uri)


def _inputs(job: TrainingJob, chosen: Blueprint, deployment: Deployment) -> dict[str, Any]:
    model = facts.model(job.model)
    given = {
        "run_name": job.run_name,
        "model_type": model.model_type,
        "model_path": job.checkpoint or model.base_path,
        "data_uri": job.data_uri,
        "output_uri": job.output_uri,
        "instance_count": job.instance_count,
        "reward_function_arn": deployment.reward_function_arn,
        "processor_function_arn": job.processor_function_arn,
        "task": job.method,
        "strategy": chosen.facts.strategy,
        "metric": chosen.facts.metric,
        "subtask": job.subtask,
    }
    values: dict[str, Any] = {}
    for path, leaf in chosen.leaves.items():
        if isinstance(leaf, Fixed):
            values[path] = leaf.fixed
        elif isinstance(leaf, Given):
            value = given[leaf.source]
            values[path] = leaf.default if value is None else value
    return values


def _recipe(chosen: Blueprint, values: Mapping[str, Any]) -> dict[str, Any]:
    recipe: dict[str, Any] = {}
    for path in chosen.leaves:
        if path in values:
            *sections, name = path.split(".")
            section = recipe
            for part in sections:
                section = section.setdefault(part, {})
            section[name] = deepcopy(values[path])  # never the catalog's own list or mapping
    return recipe
