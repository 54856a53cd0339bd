"""Recipes, requests and their validation: what would run, checked before anything is spent."""

from novaloop.recipes.catalog import blueprint, methods
from novaloop.recipes.checks import validate_infrastructure, validate_overrides, validate_rows
from novaloop.recipes.endpoints import Endpoint, EndpointPlan, plan_endpoint, validate_endpoint
from novaloop.recipes.errors import FieldError, RecipeError
from novaloop.recipes.jobs import Deployment, TrainingJob
from novaloop.recipes.plans import JobPlan, plan_training_job
from novaloop.recipes.requests import inconsistencies

__all__ = [
    "Deployment",
    "Endpoint",
    "EndpointPlan",
    "FieldError",
    "JobPlan",
    "RecipeError",
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
