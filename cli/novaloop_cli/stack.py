"""The deployment that a command talks to: a stack on AWS, or the local cloud's."""

from __future__ import annotations

import functools
import os
import shlex
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
from botocore.session import Session
from botocore.utils import validate_region_name
from click.core import ParameterSource

from novaloop.experiment.names import INBOX
from novaloop.experiment.spec.defaults import SpecDefaults
from novaloop.store.table import ExperimentTable
from novaloop.usecases.inbox import InboxFile, Unusable, read_key
from novaloop_cli.errors import Failed, Refused
from novaloop_localcloud.cloud import LocalCloud
from novaloop_localcloud.emulator import LocalCloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Set
    from datetime import datetime

    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

    from novaloop.experiment.record import Record, Snapshot

DEFAULT_STACK = "novaloop"
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""In the order of the AWS CLI v2; boto3 alone looks at the second only."""

PATIENCE = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard"})
"""Three attempts: a network that swallows what is sent is told after 15 seconds or so, where
botocore's own settings take five minutes. An endpoint has a minute to answer."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Stack:
    """One deployment of Novaloop, as its CloudFormation outputs describe it.

    `chosen_by` are the options of the command line that led to it, `defaults` those of its
    experiments; None if its release knows none.
    """

    bucket: str
    table_name: str
    region: str
    is_local: bool = False
    chosen_by: tuple[str, ...] = ()
    defaults: SpecDefaults | None = None

    @cached_property
    def table(self) -> ExperimentTable:
        """The experiments table."""
        return ExperimentTable(self.table_name, self.region, os.environ.get("AWS_ENDPOINT_URL"))

    @cached_property
    def s3(self) -> S3Client:
        """The client for the application's bucket."""
        client: S3Client = aws_client("s3")
        return client

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        """The client for the logs of jobs and endpoints."""
        client: CloudWatchLogsClient = aws_client("logs")
        return client

    @cached_property
    def runtime(self) -> SageMakerRuntimeClient:
        """The client that invokes endpoints."""
        client: SageMakerRuntimeClient = aws_client("sagemaker-runtime")
        return client

    @cached_property
    def bedrock(self) -> BedrockClient:
        """The client that looks up what Bedrock serves."""
        client: BedrockClient = aws_client("bedrock")
        return client

    @cached_property
    def bedrock_runtime(self) -> BedrockRuntimeClient:
        """The client that asks what Bedrock serves."""
        client: BedrockRuntimeClient = aws_client("bedrock-runtime")
        return client

    def command(self, *words: str) -> str:
        """Return a command for this deployment that can be pasted into the same shell."""
        return shlex.join(("novaloop", *words, *self.chosen_by))

    def newest_upload(self, experiment: str, *, of_use: bool = False) -> datetime | None:
        """When the newest file in the experiment's inbox arrived; None if there is none.

        Of those `of_use` only, which an experiment can have.
        """
        folder = f"{INBOX}{experiment}/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder)
        arrivals = [
            item["LastModified"]
            for page in pages
            for item in page.get("Contents", [])
            if not (of_use and InboxFile(experiment, item["Key"].removeprefix(folder)).is_stray)
        ]
        return max(arrivals, default=None)

    def inbox(self) -> tuple[list[str], list[str]]:
        """Return the first folders of the inbox, by name, and what is wrong with what lies in none.

        By one call: S3 lists a thousand of both together.
        """
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=INBOX, Delimiter="/")
        prefixes = [each["Prefix"] for each in listed.get("CommonPrefixes", [])]
        folders = [prefix.removeprefix(INBOX).removesuffix("/") for prefix in prefixes]
        keys = [each["Key"] for each in listed.get("Contents", [])]
        # A folder without a name is listed as one, whatever lies in it.
        keys += [f"{INBOX}/..."] if "" in folders else []
        problems = [read.problem for key in keys if isinstance(read := read_key(key), Unusable)]
        return [folder for folder in folders if folder], problems

    def load(self, experiment: str) -> tuple[Snapshot, Record]:
        """Return an experiment's items and its record. Raises Refused if it has none."""
        snapshot = self.table.load(experiment)
        if snapshot.record is None:
            raise Refused(self.no_record(experiment))
        return snapshot, snapshot.record

    def no_record(self, experiment: str) -> str:
        """Say why there is no record of that name."""
        if self.newest_upload(experiment):
            watch = self.command("watch", experiment)
            return f"{experiment} was uploaded and waits to be looked at; try `{watch}`"
        those = f"`{self.command('list')}` shows those that exist"
        return f"no experiment is called {experiment}; {those}"


def aws_client(service: str) -> Any:
    """Make a client that answers or fails while a person waits. Raises Refused."""
    try:
        return boto3.client(service, config=PATIENCE)
    except BotoCoreError:
        raise
    except ValueError as error:  # what botocore makes of AWS_ENDPOINT_URL and AWS_MAX_ATTEMPTS
        raise Refused(f"the AWS settings of this shell or profile can't be used: {error}") from None


def find_stack(name: str) -> Stack:
    """Look a stack up with whatever credentials the environment gives. Raises Refused, Failed."""
    found = describe_stack(name, {"BucketName", "TableName"})
    region, defaults = aws_region(), stack_defaults(found)
    return Stack(found["BucketName"], found["TableName"], region, defaults=defaults)


def stack_defaults(described: Mapping[str, str]) -> SpecDefaults | None:
    """Return what a stack's parameters say of settings that are left out, as its controller reads
    them; None if its release has no such parameters."""
    if "DefaultApproval" not in described:
        return None
    approval: Any = described["DefaultApproval"]
    gate: Any = described["DefaultGate"]
    return SpecDefaults.of_parameters(approval, float(described["DefaultBudgetUsd"]), gate)


@dataclass(frozen=True)
class Described:
    """What CloudFormation says of a stack: its status, parameters and outputs by their names."""

    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


def described(name: str) -> Described | None:
    """Return what CloudFormation says of a stack; None if there is none of this name."""
    try:
        (answer,) = aws_client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return Described(
        answer["StackStatus"],
        {each["ParameterKey"]: each["ParameterValue"] for each in answer.get("Parameters", [])},
        {each["OutputKey"]: each["OutputValue"] for each in answer.get("Outputs", [])},
    )


def describe_stack(name: str, needed: Set[str]) -> dict[str, str]:
    """Return a stack's parameters and outputs, among them those needed. Raises Refused, Failed."""
    stack = described(name)
    if stack is None:
        raise Refused(_no_such_stack(name))
    missing = sorted(needed - stack.outputs.keys())
    if missing:
        raise Failed(
            f"stack {name} ({stack.status}) has no output {' and '.join(missing)}; "
            "finish its deployment, or name Novaloop's stack with --stack"
        )
    return {**stack.parameters, **stack.outputs}


def caller() -> str:
    """Who is asking, such as `assumed-role/Admin/jane`."""
    return str(aws_client("sts").get_caller_identity()["Arn"].rpartition(":")[2])


def aws_region() -> str:
    """Return the region that AWS clients talk to now."""
    return str(aws_client("dynamodb").meta.region_name)


def _no_such_stack(name: str) -> str:
    return (
        f"no stack is called {name} in {aws_region()}; deploy one with `sam deploy`, "
        "name yours with --stack or NOVALOOP_STACK, or use --local"
    )


@contextmanager
def environment(changes: Mapping[str, str], *, without: str = "") -> Iterator[None]:
    """Change environment variables for a while, after removing those that start with `without`.

    The environment is the one place that every AWS client reads, PynamoDB's included.
    """
    before = dict(os.environ)
    dropped = [key for key in before if without and key.startswith(without)]
    if not changes and not dropped:
        yield
        return
    for key in dropped:
        del os.environ[key]
    os.environ.update(changes)
    boto3.DEFAULT_SESSION = None
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        boto3.DEFAULT_SESSION = None


@contextmanager
def local_account(cloud: LocalCloud) -> Iterator[str]:
    """Let every AWS client talk to a running local cloud, and give its stack's name."""
    with environment(cloud.environment(), without="AWS_"):
        yield cloud.state.stack_name


@contextmanager
def local_stack(cloud: LocalCloud) -> Iterator[Stack]:
    """Talk to a running local cloud."""
    with local_account(cloud) as name:
        yield Choice(name, is_local=True, by=("--local",)).find()


@contextmanager
def aws_account(
    profile: str | None, region: str | None, *, otherwise: str | None = None
) -> Iterator[str]:
    """Let every AWS client talk to an account and a region, and give that region.

    It is the first of `region`, which is the option's or the shell's, the profile's, and
    `otherwise`. Raises NoRegionError and InvalidRegionError, and ProfileNotFound.
    """
    changes = {"AWS_PROFILE": profile} if profile else {}
    # Keys in the environment would win over the profile that was asked for.
    with environment(changes, without="AWS_ACCESS_KEY" if profile else ""):
        chosen = region or Session().get_scoped_config().get("region") or otherwise
        if chosen is None:
            raise NoRegionError
        validate_region_name(chosen)
        with environment(dict.fromkeys(REGION_VARIABLES, chosen)):
            yield chosen


def attach() -> LocalCloud:
    """Return the local cloud that runs. Raises Refused if none does."""
    try:
        return LocalCloud.attach()
    except LocalCloudError as error:
        raise Refused(str(error)) from None


def in_account(command: Callable[P, R]) -> Callable[P, R]:
    """Give a command the options that choose an account and a region, for `aws_account`."""
    region = click.option(
        "--region",
        envvar=REGION_VARIABLES,
        show_envvar=True,
        help="AWS region; else the profile's.",
    )
    return click.option("--profile", help="AWS profile.")(region(command))


_OPTIONS = (
    click.option(
        "--stack",
        "stack_name",
        envvar="NOVALOOP_STACK",
        default=DEFAULT_STACK,
        show_default=True,
        show_envvar=True,
        help="The deployed stack.",
    ),
    in_account,
    click.option(
        "--local",
        is_flag=True,
        envvar="NOVALOOP_LOCAL",
        show_envvar=True,
        help="Use the running local cloud.",
    ),
)


@dataclass(frozen=True)
class Choice:
    """The deployment that a command line names, whether or not there is one.

    `by` are the options that led to it.
    """

    name: str
    is_local: bool
    by: tuple[str, ...]

    def find(self) -> Stack:
        """Look the deployment up. Raises Refused, Failed."""
        return replace(find_stack(self.name), is_local=self.is_local, chosen_by=self.by)


def with_stack(command: Callable[Concatenate[Stack, P], R]) -> Callable[..., R]:
    """Give a command the options that choose a deployment, and the deployment."""

    @functools.wraps(command)
    def found(choose: Callable[[], Choice], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return command(choose().find(), *args, **kwargs)

    return with_choice(found)


def with_choice(
    command: Callable[Concatenate[Callable[[], Choice], P], R],
) -> Callable[..., R]:
    """Give a command the options that choose a deployment, and what makes the choice at need.

    From then on every AWS client talks to its account and region.
    """

    @functools.wraps(command)
    @click.pass_context
    def wrapper(
        context: click.Context,
        /,
        *args: Any,
        stack_name: str,
        profile: str | None,
        region: str | None,
        local: bool,
        **kwargs: Any,
    ) -> R:
        given = _given(context, stack_name=stack_name, profile=profile, region=region)

        def choose() -> Choice:
            if local:
                _refuse_both(context, given)
                name = context.with_resource(local_account(attach()))
                return Choice(name, is_local=True, by=("--local",))
            context.with_resource(aws_account(profile, region))
            return Choice(stack_name, is_local=False, by=given)

        return command(choose, *args, **kwargs)

    decorated: Callable[..., R] = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def _refuse_both(context: click.Context, given: tuple[str, ...]) -> None:
    """Raise Refused if the command line chooses something on AWS beside the local cloud."""
    if given:
        by_hand = context.get_parameter_source("local") is ParameterSource.COMMANDLINE
        choice = "leave out --local or" if by_hand else "unset NOVALOOP_LOCAL, or leave out"
        raise Refused(f"the local cloud has no {given[0]}; {choice} {given[0]}")


def _given(context: click.Context, **options: str | None) -> tuple[str, ...]:
    """Return the options that were given on the command line; the shell keeps its variables."""
    words: list[str] = []
    for name, value in options.items():
        if value and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            words += [f"--{name.removesuffix('_name')}", value]
    return tuple(words)
