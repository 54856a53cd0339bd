"""LocalStack without Docker and without downloads, in its own environment: .tools/accept.

As it comes, LocalStack runs functions in containers and fetches DynamoDB Local at the first use.
Here functions run under AWS's runtime interface emulator with AWS's runtime client, as in a
container, and DynamoDB Local is the one that npm has. Two mistakes of its CloudFormation
are mended, each by a function that says so; nothing else is changed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from localstack.runtime.main import main  # type: ignore[import-not-found]
from localstack.services.cloudformation.engine.v2.change_set_model_preproc import (  # type: ignore[import-not-found]
    PreprocResource,
)
from localstack.services.cloudformation.engine.v2.change_set_model_transform import (  # type: ignore[import-not-found]
    ChangeSetModelTransform,
)
from localstack.services.dynamodb import server as dynamodb  # type: ignore[import-not-found]
from localstack.services.lambda_.invocation import runtime_executor  # type: ignore[import-not-found]
from localstack.services.lambda_.invocation.lambda_models import (  # type: ignore[import-not-found]
    FunctionVersion,
    InvocationResult,
)

SETTINGS_VARIABLE = "NOVALOOP_ACCEPT"
_STARTING_SECONDS = 300
_ERROR = {"errorMessage", "errorType"}


@dataclass(frozen=True)
class Settings:
    """Where the parts are that LocalStack does not bring."""

    runtime_interface_emulator: str
    runtime_client: str
    """The folder that holds the Python package awslambdaric."""
    dynamodb: str
    """The folder that holds DynamoDBLocal.jar."""
    logs: str
    environment: dict[str, str]
    """What functions see besides what Lambda gives them: the endpoints of our stand-ins."""


class Environment(runtime_executor.RuntimeExecutor):  # type: ignore[misc]
    """One execution environment: a process under the runtime interface emulator."""

    settings: Settings

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the function's process; it is cold until the first invocation."""
        config = self.function_version.config
        self._port = _free_port()
        log = Path(self.settings.logs, f"{self.function_version.id.function_name}-{self.id}.log")
        self._log = log.open("ab+")
        path = [*self._layers(), str(config.code.get_unzipped_code_location())]
        self._process = subprocess.Popen(
            [
                self.settings.runtime_interface_emulator,
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{self._port}",
                "--runtime-api-address",
                f"127.0.0.1:{_free_port()}",
                # Without site-packages: a function has its layer, its code and the runtime client.
                *(sys.executable, "-S", "-m", "awslambdaric", config.handler),
            ],
            cwd=config.code.get_unzipped_code_location(),
            env={
                **{name: os.environ[name] for name in ("PATH", "TMPDIR")},
                **{name: str(value) for name, value in env_vars.items()},
                **self.settings.environment,
                "PYTHONPATH": os.pathsep.join([*path, self.settings.runtime_client]),
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _wait_until_it_listens(self._port, self._process)

    def _layers(self) -> list[str]:
        layers = self.function_version.config.layers
        return [str(layer.code.get_unzipped_code_location() / "python") for layer in layers]

    def stop(self) -> None:
        """End the process and what it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def invoke(self, payload: dict[str, str]) -> Any:
        """Invoke once; LocalStack never asks for two at a time."""
        start = self._log.seek(0, os.SEEK_END)
        answer = requests.post(
            f"http://127.0.0.1:{self._port}/2015-03-31/functions/function/invocations",
            data=payload["payload"].encode(),
            timeout=1000,
        ).content
        self._log.seek(start)
        return InvocationResult(
            payload["invoke-id"], *_outcome(answer), self._log.read().decode(errors="replace")
        )

    def get_logs(self) -> str:
        """Everything that the environment has written."""
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")

    def get_address(self) -> str:
        """Where LocalStack reaches the environment."""
        return "127.0.0.1"

    get_endpoint_from_executor = get_runtime_endpoint = get_address

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Unpack code and layers."""
        for each in (function_version.config, *function_version.config.layers):
            each.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Nothing was prepared that LocalStack does not remove itself."""


def _outcome(answer: bytes) -> tuple[bytes, bool]:
    """A payload and whether it is an error: RIE says 200 to both, and a timeout in plain text."""
    try:
        told = json.loads(answer)
    except ValueError:
        message = {"errorType": "Sandbox.Timedout", "errorMessage": answer.decode(errors="replace")}
        return json.dumps(message).encode(), True
    return answer, isinstance(told, dict) and told.keys() >= _ERROR


class InstalledDynamoDB:
    """What LocalStack takes for its own package of DynamoDB Local."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def get_installer(self) -> InstalledDynamoDB:
        """It is its own installer, which has nothing to do."""
        return self

    def install(self) -> None:
        """It is installed."""

    def get_installed_dir(self) -> str:
        """The folder of the jar."""
        return self._directory

    def get_java_env_vars(self) -> dict[str, str]:
        """The Java in the PATH."""
        return {}

    def get_ddb_agent_jar_path(self) -> str:
        """LocalStack's patch for tables with more than 20 indexes: not there, and left out."""
        return ""


def use_installed_dynamodb(directory: str) -> None:
    """Let LocalStack start DynamoDB Local from a folder."""
    dynamodb.dynamodblocal_package = InstalledDynamoDB(directory)
    whole = dynamodb.DynamodbServer._create_shell_command

    def without_agent(server: Any) -> list[str]:
        return [word for word in whole(server) if not word.startswith("-javaagent")]

    dynamodb.DynamodbServer._create_shell_command = without_agent


def transform_before_references_are_resolved() -> None:
    """Let a template refer to what SAM's transform makes, as AWS does.

    Source: AWS SAM's developer guide, "Generated CloudFormation resources". LocalStack looks for
    transforms inside of resources first, and resolves references as it goes; we have none of those.
    """
    ChangeSetModelTransform._execute_local_transforms = lambda self: None


def retain_except_on_create() -> None:
    """Let what has this policy outlive its stack: LocalStack reads it, and deletes.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html
    """
    make = PreprocResource.__init__

    def retaining(resource: Any, *given: Any, **named: Any) -> None:
        make(resource, *given, **named)
        if resource.deletion_policy == "RetainExceptOnCreate":
            resource.deletion_policy = "Retain"

    PreprocResource.__init__ = retaining


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTING_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise runtime_executor.LambdaRuntimeException("The runtime interface emulator did not start.")


if __name__ == "__main__":
    settings = Settings(**json.loads(os.environ.pop(SETTINGS_VARIABLE)))
    use_installed_dynamodb(settings.dynamodb)
    transform_before_references_are_resolved()
    retain_except_on_create()
    Environment.settings = settings
    # Before LocalStack's Lambda is imported, which happens at its first use.
    runtime_executor.get_runtime_executor = lambda: Environment
    main()
