"""Where a stack keeps things, and by which tags what it creates is found again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from novaloop.experiment.record import Owner, Record, Stage
from novaloop.recipes.jobs import Deployment

EXPERIMENT_TAG = "novaloop:experiment"
UID_TAG = "novaloop:experiment-uid"
"""Which of the experiments that had this name one after the other something is."""
STAGE_TAG = "novaloop:stage"
STACK_TAG = "novaloop:stack"
"""The stack's name, which is unique in an account and region, and the same if it comes again."""
PREFIX_TAG = "novaloop:prefix"
"""Which stack's something is, where its name does not tell: Bedrock's ARNs are not ours."""


@dataclass(frozen=True)
class StackConfig:
    """Where a stack keeps its objects and what its jobs run with."""

    bucket: str
    deployment: Deployment
    bedrock_role_arn: str = ""
    stack_name: str = ""
    extra_tags: Mapping[str, str] = field(default_factory=dict)

    def uri(self, key: str) -> str:
        """Return the S3 URI of a key in the application's bucket."""
        return f"s3://{self.bucket}/{key}"

    def key(self, uri: str) -> str:
        """Return the key of an S3 URI in the application's bucket."""
        return uri.removeprefix(self.uri(""))

    def scored_by(self, function: str | None) -> StackConfig:
        """Return the site for a plan whose rewards a function of the user's own gives, if it does.

        `function` is its ARN; without one the stack's own function scores.
        """
        if function is None:
            return self
        return replace(self, deployment=replace(self.deployment, reward_function_arn=function))

    @property
    def on_bedrock(self) -> Deployment:
        """What jobs and models on Bedrock run with: a role that Bedrock may assume."""
        return replace(self.deployment, execution_role_arn=self.bedrock_role_arn)


def jobs_prefix(experiment_id: str) -> str:
    """Return the key prefix under which the jobs of an experiment write."""
    return f"jobs/{experiment_id}"


def output_prefix(experiment_id: str, stage: Stage) -> str:
    """Return the key prefix under which the service puts what a stage's job leaves."""
    return f"{jobs_prefix(experiment_id)}/{stage.attempt.claimed_name}/"


def experiment_tags(record: Record, stack_config: StackConfig) -> dict[str, str]:
    """Return the tags by which everything that experiments of this name create is found again."""
    of_stack = {STACK_TAG: stack_config.stack_name} if stack_config.stack_name else {}
    return {**stack_config.extra_tags, **of_stack, EXPERIMENT_TAG: record.experiment_id}


def tags(record: Record, stage: Stage, stack_config: StackConfig) -> dict[str, str]:
    """Return the tags by which everything that an attempt creates is found again."""
    uid = {UID_TAG: record.uid} if record.uid else {}
    attempt = {STAGE_TAG: f"{stage.name}-{stage.attempt.number}"}
    return {**experiment_tags(record, stack_config), **uid, **attempt}


def client_token(record: Record, stage: Stage) -> str:
    """Return the token by which Bedrock knows a repeated request for a stage's present attempt.

    With the whole uid: for the same token Bedrock answers with what was made before, and in names
    are only a few characters of it, which a former experiment of the name may share.
    """
    return "-".join(filter(None, (stage.attempt.claimed_name, record.uid)))


def tags_on_bedrock(record: Record, stage: Stage, stack_config: StackConfig) -> dict[str, str]:
    """Return the tags of what an attempt creates on Bedrock."""
    return {**tags(record, stage, stack_config), PREFIX_TAG: record.prefix}


def is_of_stack(name: str, tags: Mapping[str, str], prefix: str, stack_name: str) -> bool:
    """Whether a stack made what bears this name and these tags.

    The stack's tag decides, whatever prefix the stack had when this was made. What release 0.1.0
    made names no stack, and what was made a moment ago may show no tags yet.
    """
    if STACK_TAG in tags:
        return tags[STACK_TAG] == stack_name
    return name.startswith(f"{prefix}-") or tags.get(PREFIX_TAG) == prefix


def owner_of(tags: Mapping[str, str]) -> Owner | None:
    """Return whose something is by its tags; None if it is no experiment's."""
    experiment_id = tags.get(EXPERIMENT_TAG)
    return Owner(experiment_id, tags.get(UID_TAG)) if experiment_id else None
