"""Recipes, requests and their validation: what would run, checked before anything is spent."""

from novaloop.recipes.catalog import blueprint, methods
from novaloop.recipes.endpoints import Endpoint, EndpointPlan, plan_endpoint, validate_endpoint
from novaloop.recipes.errors import FieldError, RecipeError
from novaloop.recipes.jobs import (
    Deployment,
    JobPlan,
    TrainingJob,
    inconsistencies,
    plan_training_job,
    validate_infrastructure,
    validate_overrides,
    validate_rows,
)
from novaloop.recipes.names import ResourceName

__all__ = [
    "Deployment",
    "Endpoint",
    "EndpointPlan",
    "FieldError",
    "JobPlan",
    "RecipeError",
    "ResourceName",
    "TrainingJob",
    "blueprint",
    "inconsistencies",
    "methods",
    "plan_endpoint",
    "plan_training_job",
    "validate_endpoint",
    "validate_infrastructure",
    "validate_overrides",
    "validate_rows",
]
