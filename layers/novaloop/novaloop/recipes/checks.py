"""What is wrong with a job: its settings, its machines, its data and what it starts from."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import chain
from typing import TYPE_CHECKING

from novaloop.recipes import facts
from novaloop.recipes.catalog import Blueprint, blueprint, variants
from novaloop.recipes.errors import FieldError, joined, shown
from novaloop.recipes.jobs import MODEL_PACKAGE_ARN, Deployment, TrainingJob
from novaloop.recipes.names import LEGAL_NAME
from novaloop.recipes.overrides import resolve
from novaloop.recipes.settings import Given, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

# In ASCII: to `re`, `\d` and `\w` are the digits and letters of all scripts.
_LAMBDA_ARN = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9-_]+", re.ASCII)
_IMAGE = re.compile(
    r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([a-z0-9][a-z0-9._/-]*)"
    r":[A-Za-z0-9_][\w.-]{0,127}",
    re.ASCII,
)
_S3_OBJECT = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/\S+")
# Escrow buckets are named customer-escrow-<account>-<platform>-<id>; `hp` is HyperPod.
_HYPERPOD_ESCROW = re.compile(r"s3://customer-escrow-\d+-hp-")


def validate_overrides(
    method: str,
    model: str,
    overrides: Mapping[str, object],
    *,
    instance_type: str | None = None,
    at: str = "overrides",
) -> list[FieldError]:
    """Return everything that is wrong with ``overrides``.

    Raises:
        ValueError: if ``model`` has no such ``method``.
    """
    return resolve(blueprint(method, model, instance_type), overrides, at)[1]


def validate_infrastructure(
    method: str, model: str, instance_type: str, instance_count: int, at: str = ""
) -> list[FieldError]:
    """Return what is wrong with the choice of machines.

    Raises:
        ValueError: if ``model`` has no such ``method``.
    """
    offered = [one.variant for one in variants(method, model)]
    types = tuple(chain.from_iterable(variant.instance_types for variant in offered))
    if instance_type not in types:
        message = f"{method} on {model} runs on {listed(types)}, not on {shown(instance_type)}"
        return [FieldError(joined(at, "instance_type"), message)]
    counts = blueprint(method, model, instance_type).variant.instance_counts
    if isinstance(instance_count, bool) or instance_count not in counts:
        message = f"{method} on {model} takes {listed(counts)} of {instance_type}"
        return [FieldError(joined(at, "instances"), f"{message}, not {shown(instance_count)}")]
    return []


def validate_rows(
    method: str, model: str, rows: int, overrides: Mapping[str, object], at: str = ""
) -> list[FieldError]:
    """Return an error if a data set of ``rows`` rows can't fill one optimizer step.

    Raises:
        ValueError: if ``model`` has no such ``method``.
    """
    chosen = blueprint(method, model)
    setting = chosen.family.rows_at_least
    if setting is None:
        return []
    values, errors = resolve(chosen, overrides, at)
    if errors or rows >= values[setting]:
        return []  # `validate_overrides` tells what is wrong with the overrides
    needed = values[setting]
    message = f"has {rows} rows, fewer than global_batch_size ({needed}): add rows or lower it"
    return [FieldError(joined(at, "data"), message)]


def validate_evaluation(
    task: str, model: str, subtask: str | None, processor_function_arn: str | None, at: str = ""
) -> list[FieldError]:
    """Return what is wrong with the subtask and the processor function of an evaluation.

    Raises:
        ValueError: if ``model`` has no such ``task``.
    """
    chosen = blueprint(task, model)
    checks = {
        "subtask": _problem_with_subtask(subtask, chosen),
        "processor": _problem_with_processor(processor_function_arn, chosen),
    }
    return [FieldError(joined(at, name), problem) for name, problem in checks.items() if problem]


def validate_holdout(
    method: str,
    model: str,
    overrides: Mapping[str, object],
    *,
    instance_type: str | None = None,
    at: str = "",
) -> list[FieldError]:
    """Return why validation data would be ignored, if it would.

    Raises:
        ValueError: if ``model`` has no such ``method``.
    """
    chosen = blueprint(method, model, instance_type)
    if not chosen.family.holdout:
        return [
            FieldError(joined(at, "validation"), f"{method} on {model} takes no validation data")
        ]
    values, errors = resolve(chosen, overrides, at)
    by_name = {path.rpartition(".")[2]: value for path, value in values.items()}
    interval, steps = by_name.get("val_check_interval"), by_name.get("max_steps")
    if errors or interval is None or steps is None or interval <= steps:
        return []  # `validate_overrides` tells what is wrong with the overrides
    message = (
        f"would never be looked at: val_check_interval is {interval}, more than max_steps"
        f" ({steps}); lower it in `overrides`"
    )
    return [FieldError(joined(at, "validation"), message)]


def validate_inputs(
    job: TrainingJob, chosen: Blueprint, deployment: Deployment, at: str
) -> list[FieldError]:
    """Return what is wrong with everything but the overrides and the machines."""
    checks = {
        "region": facts.problem_with_region(deployment.region),
        "job_name": problem_with_name(job.job_name),
        "data_uri": _problem_with_data(job, chosen),
        "validation_uri": problem_with_validation(job.validation_uri, chosen),
        "recipe_uri": _problem_with_recipe(job.recipe_uri),
        "checkpoint": problem_with_checkpoint(job.checkpoint),
        "reward_function_arn": _problem_with_reward(deployment.reward_function_arn, chosen),
        "processor_function_arn": _problem_with_processor(job.processor_function_arn, chosen),
        "subtask": _problem_with_subtask(job.subtask, chosen),
        "image": problem_with_image(job.image) or problem_with_repository(job.image, deployment),
        "max_runtime_seconds": None if job.max_runtime_seconds > 0 else "must be positive",
    }
    return [FieldError(joined(at, name), problem) for name, problem in checks.items() if problem]


def problem_with_name(name: str) -> str | None:
    """Return why SageMaker would refuse ``name``, if it would."""
    if LEGAL_NAME.fullmatch(name):
        return None
    return f"{shown(name)} must be at most 63 letters, digits and hyphens, and end in no hyphen"


def _problem_with_recipe(uri: str) -> str | None:
    if not uri.endswith("/recipe.yaml"):
        return f"{shown(uri)} must end in /recipe.yaml, the name under which the job looks for it"
    return problem_with_object(uri)


def _problem_with_data(job: TrainingJob, chosen: Blueprint) -> str | None:
    if chosen.family.channel is None:
        return job.data_uri and f"{job.method} brings its own questions and would ignore it"
    if job.data_uri is None:
        return f"{job.method} needs a data set"
    return problem_with_object(job.data_uri)


def problem_with_validation(uri: str | None, chosen: Blueprint) -> str | None:
    """Return why a job of ``chosen`` can't validate by the rows at ``uri``, if it can't."""
    if uri is None:
        return None
    if not chosen.family.holdout:
        return f"{chosen.method} takes no validation data and would ignore it"
    return problem_with_object(uri)


def problem_with_object(uri: str) -> str | None:
    """Return why ``uri`` names no S3 object, if it doesn't."""
    return None if _S3_OBJECT.fullmatch(uri) else f"{shown(uri)} must be s3://bucket/key"


def problem_with_checkpoint(checkpoint: str | None) -> str | None:
    """Return why no training job can start from ``checkpoint``, if none can."""
    if checkpoint is None or MODEL_PACKAGE_ARN.fullmatch(checkpoint):
        return None
    if _HYPERPOD_ESCROW.match(checkpoint):
        return "was trained on HyperPod; a training job can't start from it"
    return problem_with_object(checkpoint)


def _problem_with_reward(arn: str | None, chosen: Blueprint) -> str | None:
    if not _takes(chosen, "reward_function_arn"):
        return None
    return problem_with_function(arn) if arn else f"{chosen.method} needs a reward function"


def _problem_with_processor(arn: str | None, chosen: Blueprint) -> str | None:
    if arn is None:
        return None
    if not _takes(chosen, "processor_function_arn"):
        return f"{chosen.method} takes no processor function and would ignore it"
    return problem_with_function(arn)


def _takes(chosen: Blueprint, source: str) -> bool:
    leaves = chosen.leaves.values()
    return any(isinstance(leaf, Given) and leaf.source == source for leaf in leaves)


def problem_with_function(arn: str) -> str | None:
    """Return why ``arn`` can't name a reward or processor function, if it can't."""
    if _LAMBDA_ARN.fullmatch(arn):
        return None
    return f"{shown(arn)} must be a Lambda function's ARN without version or alias"


def _problem_with_subtask(subtask: str | None, chosen: Blueprint) -> str | None:
    known = chosen.facts.subtasks
    if subtask is None or subtask in known:
        return None
    if not known:
        return f"{chosen.method} has no subtasks; remove it"
    return f"{chosen.method} has no subtask {shown(subtask)}; it has {listed(known)}"


def problem_with_image(uri: str | None) -> str | None:
    """Return why ``uri`` names no tagged image in a private registry, if it doesn't."""
    if uri is None or _IMAGE.fullmatch(uri):
        return None
    return f"{shown(uri)} must be <account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>"


def problem_with_repository(uri: str | None, deployment: Deployment) -> str | None:
    """Return why an image may not run in this stack, if it may not.

    Who may upload an experiment.yaml is not by that allowed to run any container under the
    execution role: only AWS's Nova images, and what whoever deployed the stack has named.
    """
    parts = _IMAGE.fullmatch(uri) if uri is not None else None
    if parts is None:
        return None
    account, region, repository = parts.groups()
    arn = f"arn:aws:ecr:{region}:{account}:repository/{repository}"
    nova = (
        f"arn:aws:ecr:{region}:{account}:repository/nova-*"
        for region, account in facts.facts().registry_accounts.items()
    )
    if any(fnmatchcase(arn, each) for each in (*nova, *deployment.image_repositories)):
        return None
    return (
        f"{shown(uri)} is from a repository that the stack does not name; leave it out, or have "
        f"{arn} added to the stack's parameter ImageRepositoryArns"
    )


def problem_with_unnamed(arn: str | None, deployment: Deployment) -> str | None:
    """Return why the jobs of this stack may not call a processor function, if they may not.

    The execution role may invoke those that its policy names; of any other the job would learn
    only after it has answered every question.
    """
    named = (deployment.reward_function_arn, *deployment.processor_functions)
    if arn is None or arn in named or "*" in named:
        return None
    return (
        f"{shown(arn)} is a function that the stack's jobs may not call; leave it out, or have it "
        "added to the stack's parameter ProcessorFunctionArns"
    )
