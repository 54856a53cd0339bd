"""What is wrong with a job: its settings, its machines, its data and what it starts from."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import chain
from typing import TYPE_CHECKING

from novaloop.problem import Problem, joined, shown
from novaloop.recipes import facts
from novaloop.recipes.catalog import Blueprint, blueprint, variants
from novaloop.recipes.jobs import MODEL_PACKAGE_ARN, Deployment, TrainingJob
from novaloop.recipes.names import LEGAL_NAME
from novaloop.recipes.overrides import resolve
from novaloop.recipes.settings import Given, RecipeSetting, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

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


def check_overrides(
    method: str,
    model: str,
    overrides: Mapping[str, object],
    *,
    instance_type: str | None = None,
    at: str = "overrides",
) -> list[Problem]:
    """Return everything that is wrong with ``overrides`` of a method that ``model`` has."""
    return resolve(blueprint(method, model, instance_type), overrides, at)[1]


def check_infrastructure(
    method: str, model: str, instance_type: str, instance_count: int, at: str = ""
) -> Iterator[Problem]:
    """Yield what is wrong with the choice of machines for a method that ``model`` has."""
    offered = [one.variant for one in variants(method, model)]
    types = tuple(chain.from_iterable(variant.instance_types for variant in offered))
    if instance_type not in types:
        what = f"{method} on {model} does not run on {shown(instance_type)}"
        yield Problem(joined(at, "instance_type"), what, f"choose one of {listed(types)}")
        return
    counts = blueprint(method, model, instance_type).variant.instance_counts
    if isinstance(instance_count, bool) or instance_count not in counts:
        what = f"{method} on {model} does not take {shown(instance_count)} of {instance_type}"
        yield Problem(joined(at, "instances"), what, f"choose one of {listed(counts)}")


def check_rows(
    method: str, model: str, rows: int, overrides: Mapping[str, object], at: str = ""
) -> Iterator[Problem]:
    """Yield that a data set of ``rows`` rows can't fill one optimizer step, if it can't."""
    chosen = blueprint(method, model)
    setting = chosen.family.rows_at_least
    if setting is None:
        return
    values, problems = resolve(chosen, overrides, at)
    if not problems and rows < values[setting]:  # `check_overrides` tells what is wrong with them
        what = f"has {rows} rows, fewer than global_batch_size ({values[setting]})"
        yield Problem(joined(at, "data"), what, _how_to_fill(chosen, setting, rows))


def _how_to_fill(chosen: Blueprint, setting: str, rows: int) -> str:
    """Say how a step is filled: not by a batch of less than the recipe takes."""
    leaf = chosen.leaves[setting]
    choices = sorted(leaf.choices or ()) if isinstance(leaf, RecipeSetting) else []
    if fitting := [each for each in choices if each <= rows]:
        return f"add rows, or lower it in `overrides` to {listed(tuple(fitting))}"
    least = leaf.least if isinstance(leaf, RecipeSetting) else None
    if least is not None and least <= rows:
        return "add rows, or lower it in `overrides`"
    return f"add rows: it takes no less than {least:g}" if least is not None else "add rows"


def check_evaluation(
    task: str, model: str, subtask: str | None, processor_function_arn: str | None, at: str = ""
) -> Iterator[Problem]:
    """Yield what is wrong with the subtask and the processor function of an evaluation."""
    chosen = blueprint(task, model)
    yield from _check_subtask(subtask, chosen, joined(at, "subtask"))
    yield from _check_processor(processor_function_arn, chosen, joined(at, "processor"))


def check_holdout(
    method: str,
    model: str,
    overrides: Mapping[str, object],
    *,
    instance_type: str | None = None,
    at: str = "",
) -> Iterator[Problem]:
    """Yield that validation data would be ignored, if it would."""
    chosen, where = blueprint(method, model, instance_type), joined(at, "validation")
    if not chosen.family.holdout:
        yield Problem(where, f"{method} on {model} takes no validation data", "leave it out")
        return
    values, problems = resolve(chosen, overrides, at)
    by_name = {path.rpartition(".")[2]: value for path, value in values.items()}
    interval, steps = by_name.get("val_check_interval"), by_name.get("max_steps")
    if problems or interval is None or steps is None or interval <= steps:
        return  # `check_overrides` tells what is wrong with the overrides
    what = f"would never be looked at: val_check_interval is {interval}, more than max_steps"
    yield Problem(where, f"{what} ({steps})", "lower it in `overrides`")


def check_inputs(
    job: TrainingJob, chosen: Blueprint, deployment: Deployment, at: str
) -> Iterator[Problem]:
    """Yield what is wrong with everything but the overrides and the machines."""
    yield from facts.check_region(deployment.region, joined(at, "region"))
    yield from check_name(job.job_name, joined(at, "job_name"))
    yield from _check_data(job, chosen, joined(at, "data_uri"))
    yield from check_validation(job.validation_uri, chosen, joined(at, "validation_uri"))
    yield from _check_recipe(job.recipe_uri, joined(at, "recipe_uri"))
    yield from check_checkpoint(job.checkpoint, joined(at, "checkpoint"))
    arn = deployment.reward_function_arn
    yield from _check_reward(arn, chosen, joined(at, "reward_function_arn"))
    processor = job.processor_function_arn
    yield from _check_processor(processor, chosen, joined(at, "processor_function_arn"))
    yield from _check_subtask(job.subtask, chosen, joined(at, "subtask"))
    yield from check_image(job.image, joined(at, "image"))
    yield from check_repository(job.image, deployment, joined(at, "image"))
    if job.max_runtime_seconds <= 0:
        yield Problem(joined(at, "max_runtime_seconds"), "must be positive")


def check_name(name: str, at: str) -> Iterator[Problem]:
    """Yield that SageMaker would refuse ``name``, if it would."""
    if not LEGAL_NAME.fullmatch(name):
        rule = "must be at most 63 letters, digits and hyphens, and end in no hyphen"
        yield Problem(at, f"{shown(name)} {rule}")


def _check_recipe(uri: str, at: str) -> Iterator[Problem]:
    if uri.endswith("/recipe.yaml"):
        yield from check_object(uri, at)
    else:
        rule = "must end in /recipe.yaml, the name under which the job looks for it"
        yield Problem(at, f"{shown(uri)} {rule}")


def _check_data(job: TrainingJob, chosen: Blueprint, at: str) -> Iterator[Problem]:
    if chosen.family.channel is None:
        if job.data_uri:
            what = f"{job.method} brings its own questions and would ignore {shown(job.data_uri)}"
            yield Problem(at, what, "leave it out")
    elif job.data_uri is None:
        yield Problem(at, f"{job.method} needs a data set", "give one")
    else:
        yield from check_object(job.data_uri, at)


def check_validation(uri: str | None, chosen: Blueprint, at: str) -> Iterator[Problem]:
    """Yield that a job of ``chosen`` can't validate by the rows at ``uri``, if it can't."""
    if uri is None:
        return
    if not chosen.family.holdout:
        what = f"{chosen.method} takes no validation data and would ignore it"
        yield Problem(at, what, "leave it out")
        return
    yield from check_object(uri, at)


def check_object(uri: str, at: str) -> Iterator[Problem]:
    """Yield that ``uri`` names no S3 object, if it doesn't."""
    if not _S3_OBJECT.fullmatch(uri):
        yield Problem(at, f"{shown(uri)} must be s3://bucket/key")


def check_checkpoint(checkpoint: str | None, at: str) -> Iterator[Problem]:
    """Yield that no training job can start from ``checkpoint``, if none can."""
    if checkpoint is None or MODEL_PACKAGE_ARN.fullmatch(checkpoint):
        return
    if _HYPERPOD_ESCROW.match(checkpoint):
        what = "was trained on HyperPod, and a training job can't start from it"
        yield Problem(at, what, "choose another checkpoint")
    elif not _S3_OBJECT.fullmatch(checkpoint):
        rule = "must be s3://bucket/key, a model package's ARN or experiment/stage"
        yield Problem(at, f"{shown(checkpoint)} {rule}")


def _check_reward(arn: str | None, chosen: Blueprint, at: str) -> Iterator[Problem]:
    if not _takes(chosen, "reward_function_arn"):
        return
    if arn:
        yield from check_function(arn, at)
    else:
        yield Problem(at, f"{chosen.method} needs a reward function", "name one")


def _check_processor(arn: str | None, chosen: Blueprint, at: str) -> Iterator[Problem]:
    if arn is None:
        return
    if _takes(chosen, "processor_function_arn"):
        yield from check_function(arn, at)
    else:
        what = f"{chosen.method} takes no processor function and would ignore it"
        yield Problem(at, what, "leave it out")


def _takes(chosen: Blueprint, source: str) -> bool:
    leaves = chosen.leaves.values()
    return any(isinstance(leaf, Given) and leaf.source == source for leaf in leaves)


def check_function(arn: str, at: str) -> Iterator[Problem]:
    """Yield that ``arn`` can't name a reward or processor function, if it can't."""
    if not _LAMBDA_ARN.fullmatch(arn):
        yield Problem(at, f"{shown(arn)} must be a Lambda function's ARN without version or alias")


def _check_subtask(subtask: str | None, chosen: Blueprint, at: str) -> Iterator[Problem]:
    known = chosen.facts.subtasks
    if subtask is None or subtask in known:
        return
    if known:
        what = f"{chosen.method} has no subtask {shown(subtask)}"
        yield Problem(at, what, f"choose one of {listed(known)}")
    else:
        yield Problem(at, f"{chosen.method} has no subtasks", "remove it")


def check_image(uri: str | None, at: str) -> Iterator[Problem]:
    """Yield that ``uri`` names no tagged image in a private registry, if it doesn't."""
    if uri is not None and not _IMAGE.fullmatch(uri):
        rule = "must be <account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>"
        yield Problem(at, f"{shown(uri)} {rule}")


def check_repository(uri: str | None, deployment: Deployment, at: str) -> Iterator[Problem]:
    """Yield that an image may not run in this stack, if it may not.

    Who may upload an experiment.yaml is not by that allowed to run any container under the
    execution role: only AWS's Nova images, and what whoever deployed the stack has named.
    """
    parts = _IMAGE.fullmatch(uri) if uri is not None else None
    if parts is None:
        return
    account, region, repository = parts.groups()
    arn = f"arn:aws:ecr:{region}:{account}:repository/{repository}"
    nova = (
        f"arn:aws:ecr:{region}:{account}:repository/nova-*"
        for region, account in facts.facts().registry_accounts.items()
    )
    if not any(fnmatchcase(arn, each) for each in (*nova, *deployment.image_repositories)):
        what = f"{shown(uri)} is from a repository that the stack does not name"
        do = f"leave it out, or have {arn} added to the stack's parameter ImageRepositoryArns"
        yield Problem(at, what, do)


def check_callable(
    arn: str | None, named: Collection[str], parameter: str, deployment: Deployment, at: str
) -> Iterator[Problem]:
    """Yield that the jobs of this stack can't call a function of the user's own, if they can't.

    ``named`` are the functions that the stack's ``parameter`` names, ``*`` stands for any. The role
    of a job may invoke those; of any other the job would learn only after it has answered. Lambda
    lets nobody call a function of another region (alexcasalboni/aws-lambda-power-tuning#18).
    """
    if arn is None or arn == deployment.reward_function_arn or "*" in named:
        return
    if arn not in named:
        what = f"{shown(arn)} is a function that the stack's jobs may not call"
        do = f"leave it out, or have it added to the stack's parameter {parameter}"
        yield Problem(at, what, do)
    elif arn.split(":")[3] != deployment.region:
        what = f"{shown(arn)} can't be called from {deployment.region}, where the jobs run"
        yield Problem(at, what, "deploy it there too")
