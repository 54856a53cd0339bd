"""Jobs as an experiment asks for them, before any recipe or request exists."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MAX_RUNTIME_SECONDS = 86400

MODEL_PACKAGE_ARN = re.compile(
    r"(arn:aws:sagemaker:[a-z0-9-]+:\d{12}:model-package)/([A-Za-z0-9-]+)/\d+", re.ASCII
)


@dataclass(frozen=True)
class Deployment:
    """Where jobs run and with which rights: the same for all jobs of one stack.

    ``image_repositories`` are the ARNs of the repositories, with ``*`` as IAM reads it, whose
    images may run beside AWS's own. ``processor_functions`` and ``reward_functions`` are the ARNs
    of the user's own functions that jobs may call; ``*`` stands for any.
    """

    region: str
    execution_role_arn: str
    reward_function_arn: str | None = None
    kms_key_arn: str | None = None
    subnets: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    image_repositories: tuple[str, ...] = ()
    processor_functions: tuple[str, ...] = ()
    reward_functions: tuple[str, ...] = ()

    @property
    def account_id(self) -> str:
        """The account of the execution role, which is the stack's."""
        return self.execution_role_arn.split(":")[4]


@dataclass(frozen=True)
class TrainingJob:
    """One fine-tuning or evaluation job, in the words of an experiment.

    ``method`` is one of ``catalog.methods(model)``; ``overrides`` are as a person wrote them.
    ``run_name`` becomes the top folder of an evaluation's archive.
    ``checkpoint`` is the escrow URI or model package ARN to start from; without it, the base model.
    ``image`` is a registry address to use instead of the recipe family's.
    """

    method: str
    model: str
    run_name: str
    job_name: str
    output_uri: str
    recipe_uri: str
    instance_type: str
    instance_count: int
    data_uri: str | None = None
    validation_uri: str | None = None
    checkpoint: str | None = None
    processor_function_arn: str | None = None
    subtask: str | None = None
    image: str | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    max_runtime_seconds: int = DEFAULT_MAX_RUNTIME_SECONDS
    tags: Mapping[str, str] = field(default_factory=dict)
