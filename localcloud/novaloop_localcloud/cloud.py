"""The local cloud from outside: `up` starts it, `LocalCloud` talks to it, `down` ends it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from novaloop_localcloud import deployment, emulator
from novaloop_localcloud.credentials import ADMINISTRATOR
from novaloop_localcloud.emulator import REPOSITORY, STATE_DIRECTORY, LocalCloudError, State, Timing
from novaloop_localcloud.sagemaker.faults import Fault, Faults

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from botocore.config import Config

DEFAULT_STACK = "novaloop"
DEFAULT_REGION = "us-east-1"
Tell = Callable[[str], object]


def _silent(step: str) -> None:
    """Say nothing of a step."""


class LocalSession:
    """Makes boto3 clients and resources that talk to the emulator and trust its certificate."""

    def __init__(self, state: State) -> None:
        self._session = boto3.Session(
            aws_access_key_id=ADMINISTRATOR.access_key_id,
            aws_secret_access_key=ADMINISTRATOR.secret_access_key,
            region_name=state.region,
        )
        self._state = state

    def client(self, service: str, config: Config | None = None) -> Any:
        """A client, as `boto3.Session.client` makes it."""
        client: Any = self._session.client
        return client(
            service,
            config=config,
            endpoint_url=self._state.endpoint_url,
            verify=self._state.ca_bundle,
        )


@dataclass(frozen=True)
class LocalCloud:
    """A running local cloud. As a context manager it ends the cloud on the way out."""

    state: State
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def attach(cls, directory: Path = STATE_DIRECTORY) -> LocalCloud:
        """The cloud that runs in this directory; raise LocalCloudError when none does."""
        state = emulator.find(directory)
        if state is None:
            raise LocalCloudError("No local cloud is running. Start one: novaloop local up")
        return cls(state, directory)

    def session(self) -> LocalSession:
        """A client factory with administrator rights."""
        return LocalSession(self.state)

    def environment(self) -> dict[str, str]:
        """Variables that send any AWS SDK or command-line tool to this cloud."""
        return self.state.environment()

    def outputs(self) -> dict[str, str]:
        """The stack's outputs by key."""
        stacks = self.session().client("cloudformation")
        answer = stacks.describe_stacks(StackName=self.state.stack_name)
        outputs = answer["Stacks"][0].get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def deploy(
        self, template: Path, parameters: Mapping[str, str] | None = None, tell: Tell = _silent
    ) -> None:
        """Build and deploy a template as the stack."""
        log = self.directory / "deployment.log"
        deployment.deploy(template, self.state, parameters or {}, log, tell)

    def inject(self, fault: Fault, times: int = 1) -> None:
        """Let the SageMaker stand-in fail at the next `times` occasions."""
        Faults(self.directory / "faults").plan(fault, times)

    @contextmanager
    def under(self, *faults: Fault) -> Iterator[None]:
        """Let the stand-ins fail, or hold something as it is, until the end of the block."""
        planned = Faults(self.directory / "faults")
        with ExitStack() as lasting:
            for fault in faults:
                lasting.enter_context(planned.lasting(fault))
            yield

    def stop(self) -> None:
        """End the emulator and everything it started."""
        emulator.stop(self.directory, self.process)

    def __enter__(self) -> LocalCloud:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def up(
    directory: Path = STATE_DIRECTORY,
    *,
    template: Path | None = REPOSITORY / "template.yaml",
    parameters: Mapping[str, str] | None = None,
    stack_name: str = DEFAULT_STACK,
    region: str = DEFAULT_REGION,
    attached: bool = True,
    timing: Timing | None = None,
    concurrency: int = 1000,
    tell: Tell = _silent,
) -> LocalCloud:
    """Start the local cloud and deploy the application into it.

    With `attached` it ends with this process; without, it runs until `down`. `template=None`
    deploys nothing. `concurrency` is how many functions may run at once: 1000 in most accounts,
    10 in new ones. `tell` is told of each step when it begins. Raises NothingStartedError before
    the first step, or LocalCloudError with nothing left running.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """
    emulator.require_startable(directory.resolve())
    tell("Starting the AWS emulator")
    state, process = emulator.start(
        directory.resolve(),
        region=region,
        stack_name=stack_name,
        attached=attached,
        timing=timing or Timing(),
        concurrency=concurrency,
    )
    cloud = LocalCloud(state, directory.resolve(), process)
    try:
        if template is not None:
            cloud.deploy(template, parameters, tell)
    except BaseException:
        cloud.stop()
        raise
    return cloud


def down(directory: Path = STATE_DIRECTORY) -> bool:
    """End the local cloud in this directory; False when none was running."""
    return emulator.stop(directory)
