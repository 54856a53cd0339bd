"""The functions' handlers with everything but SageMaker and the calls between functions by moto."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3

from novaloop.cloud.messages import IngestFunction, MetricsFunction
from novaloop.experiment.spec.stages import Runtime
from novaloop.usecases.ports import LogPage
from tests.simulation.twin_account import TwinAccount
from tests.simulation.twin_bedrock import TwinBedrock
from tests.simulation.twin_sagemaker import TwinSageMaker
from tests.simulation.twin_training import TwinJobs
from tests.simulation.twins import TwinNotifier, VirtualClock

ROOT = Path(__file__).parents[2]
CONTEXT: Any = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:function",
    aws_request_id="52fdfc07-2182-154f-163f-5f0f9a621d72",
)


def sample(name: str) -> Any:
    """Return a sample event."""
    return json.loads((ROOT / "events" / name).read_text())


def load(function: str) -> ModuleType:
    """Load a function's module as Lambda does: by its path, anew."""
    path = ROOT / "functions" / function / "app.py"
    spec = importlib.util.spec_from_file_location(f"{function}_app", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Invocations:
    """Lambda's client as far as the application uses it: remembers what was invoked."""

    payloads: list[tuple[str, Any]] = field(default_factory=list)

    def invoke(self, **call: Any) -> None:
        assert call["InvocationType"] == "Event"
        self.payloads.append((call["FunctionName"], json.loads(call["Payload"])))


class SilentLogs:
    """Training jobs that log nothing."""

    def read(self, job_name: str, after: str | None) -> LogPage:
        return LogPage((), after or "")


class Application:
    """Runs handlers as AWS would: from the queue, the stream and asynchronous calls."""

    def __init__(self, enter: Callable[[str], None], queue_url: str) -> None:
        self.clock = VirtualClock()
        self.clock.time = datetime.now(UTC)
        self.invoked = Invocations()
        self.notifier = TwinNotifier()
        self.controller, self.ingest, self.metrics = map(load, ("controller", "ingest", "metrics"))
        self._queue_url = queue_url
        self._later: list[tuple[datetime, Callable[[], None]]] = []
        for function, module in (("Ingest", self.ingest), ("Metrics", self.metrics)):
            enter(f"{function}Function")
            module.world()
        enter("ControllerFunction")
        self._replace_what_is_no_moto()

    def _replace_what_is_no_moto(self) -> None:
        real = self.controller.world()
        functions: Any = self.invoked
        objects: Any = real.objects
        self.jobs = TwinJobs(
            objects, self.clock, lambda _: "completes", self._at, self._job_changed
        )
        self.hosting = TwinSageMaker(
            self.clock, lambda _: "completes", self._at, self._job_changed, jobs=self.jobs
        )
        bedrock = TwinBedrock(self.clock, lambda _: "completes", self._at, self._job_changed)
        world = replace(
            real,
            jobs=dict.fromkeys(Runtime, self.jobs.adapter(lambda client, _: client)),
            endpoints=self.hosting.adapter(lambda client, _: client),
            tagged=TwinAccount(self.hosting, bedrock, self.jobs).tagged(lambda twin, _: twin),
            logs=SilentLogs(),
            scorer=MetricsFunction(functions, "metrics"),
            ingester=IngestFunction(functions, "ingest"),
            notifier=self.notifier,
            clock=self.clock,
        )
        self.controller.world = lambda: world  # type: ignore[attr-defined]

    def _at(self, delay: timedelta, action: Callable[[], None]) -> None:
        self._later.append((self.clock.now() + delay, action))

    def _job_changed(self, name: str) -> None:
        """Do what the rules do of a SageMaker event."""
        body = json.dumps({"job_name": name})
        boto3.client("sqs").send_message(QueueUrl=self._queue_url, MessageBody=body)

    def upload(self, key: str, body: bytes) -> None:
        """Put a file and deliver the event of it."""
        boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=body)
        event = sample("s3-object-created.json")
        event["detail"]["object"]["key"] = key
        self.ingest.handler(event, CONTEXT)
        self.item_changed()

    def item_changed(self) -> None:
        """Deliver the table's stream."""
        answer = self.controller.handler(sample("table-stream.json"), CONTEXT)
        assert answer == {"batchItemFailures": []}

    def run(self) -> None:
        """Deliver messages and calls and let time pass, until nothing is under way."""
        self.clock.time = datetime.now(UTC) + timedelta(minutes=1)
        self.item_changed()
        while self._deliver() or self._call() or self._wait():
            pass

    def _deliver(self) -> bool:
        sqs = boto3.client("sqs")
        found = sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=10)
        messages: list[Mapping[str, Any]] = list(found.get("Messages", []))
        if messages:
            answer = self.controller.handler(as_event(messages), CONTEXT)
            assert answer == {"batchItemFailures": []}
        for message in messages:
            sqs.delete_message(
                QueueUrl=self._queue_url, ReceiptHandle=str(message["ReceiptHandle"])
            )
        return bool(messages)

    def _call(self) -> bool:
        calls, self.invoked.payloads = self.invoked.payloads, []
        for function, payload in calls:
            getattr(self, function).handler(payload, CONTEXT)
            self.item_changed()
        return bool(calls)

    def _wait(self) -> bool:
        if not self._later:
            return False
        self._later.sort(key=lambda entry: entry[0])
        self.clock.time, action = self._later.pop(0)
        action()
        return True


def as_event(messages: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return messages as Lambda gets them from SQS."""
    shape = sample("hints.json")["Records"][0]
    return {
        "Records": [{**shape, "messageId": m["MessageId"], "body": m["Body"]} for m in messages]
    }
