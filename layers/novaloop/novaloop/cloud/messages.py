"""The queue of hints, the functions that are invoked, the notifications topic, the clock."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from novaloop.experiment.versions import Shape, stamped

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

MAX_DELAY = timedelta(minutes=15)
_MAX_SUBJECT = 99

_BATCH = 10
"""What SQS takes in one SendMessageBatch (TooManyEntriesInBatchRequest above it)."""


class HintQueue:
    """Hints on an SQS queue; implements the ports `Hints` and `HintBatches`.

    `senders` is how many batches are sent at once: a call takes tens of milliseconds, most of it
    waiting.
    """

    def __init__(self, sqs: SQSClient, queue_url: str, senders: int = 4) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._senders = senders

    def look_at(self, experiment_id: str, delay: timedelta = timedelta(0), depth: int = 0) -> None:
        """Put a hint on the queue."""
        self._sqs.send_message(
            QueueUrl=self._queue_url,
            MessageBody=_hint(experiment_id, depth),
            # Rounded up: a hint that comes a moment early finds nothing to do.
            DelaySeconds=math.ceil(max(timedelta(0), min(delay, MAX_DELAY)).total_seconds()),
        )

    def look_at_all(self, experiment_ids: Sequence[str]) -> list[str]:
        """Put a hint for each on the queue, in batches; return those that were not taken.

        SQS answers for each message of a batch by itself, with a success of the whole call
        (docs.aws.amazon.com, SendMessageBatch). What it did not take is sent once more. A call
        that fails as a whole raises what SQS says, after the other batches were sent.
        """
        starts = range(0, len(experiment_ids), _BATCH)
        batches = [experiment_ids[start : start + _BATCH] for start in starts]
        with ThreadPoolExecutor(self._senders) as senders:
            # Not `map`, which calls off the batches that wait when one of them fails.
            sent = [senders.submit(self._send_twice, batch) for batch in batches]
        return list(chain.from_iterable(each.result() for each in sent))

    def _send_twice(self, experiment_ids: Sequence[str]) -> Sequence[str]:
        refused = self._send(experiment_ids)
        return self._send(refused) if refused else []

    def _send(self, experiment_ids: Sequence[str]) -> Sequence[str]:
        """Send one batch and return those that were not taken."""
        answer = self._sqs.send_message_batch(
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(number), "MessageBody": _hint(experiment_id, depth=0)}
                for number, experiment_id in enumerate(experiment_ids)
            ],
        )
        return [experiment_ids[int(failed["Id"])] for failed in answer.get("Failed", [])]


def _hint(experiment_id: str, depth: int) -> str:
    return json.dumps(stamped(Shape.HINT, {"experiment_id": experiment_id, "depth": depth}))


class MetricsFunction:
    """The metrics function, invoked asynchronously; implements the port `Scorer`."""

    def __init__(self, functions: LambdaClient, name: str) -> None:
        self._functions = functions
        self._name = name

    def request_score(self, experiment_id: str, stage: str, attempt: int) -> None:
        """Ask for the score of one attempt at an evaluation."""
        request = {"experiment_id": experiment_id, "stage": stage, "attempt": attempt}
        invoke_later(self._functions, self._name, request)

    def request_report(self, experiment_id: str) -> None:
        """Ask for the experiment's report to be written anew."""
        invoke_later(self._functions, self._name, {"experiment_id": experiment_id})


class IngestFunction:
    """The ingest function, invoked asynchronously; implements the port `Ingester`."""

    def __init__(self, functions: LambdaClient, name: str) -> None:
        self._functions = functions
        self._name = name

    def request_ingest(self, source_key: str) -> None:
        """Ask for an uploaded file to be looked at."""
        invoke_later(self._functions, self._name, {"key": source_key})

    def request_checks(self, experiment_id: str) -> None:
        """Ask for the datasets of an experiment to be checked against each other."""
        invoke_later(self._functions, self._name, {"experiment_id": experiment_id})


def invoke_later(functions: LambdaClient, name: str, payload: Mapping[str, object]) -> None:
    """Invoke a function asynchronously."""
    request = json.dumps(stamped(Shape.REQUEST, payload))
    functions.invoke(FunctionName=name, InvocationType="Event", Payload=request)


class Topic:
    """The notifications topic; implements the port `Notifier`."""

    def __init__(self, sns: SNSClient, arn: str) -> None:
        self._sns = sns
        self._arn = arn

    def publish(self, subject: str, message: str, attributes: Mapping[str, str]) -> None:
        """Publish a message that subscribers can filter by its attributes.

        SNS refuses a subject that is not ASCII of less than 100 characters without line breaks and
        control characters (API_Publish, kdgregory/log4j-aws-appenders#67). A subject names an
        experiment, and a folder can have any name: what is refused stands as `?` then.
        """
        shown = "".join(each if each.isascii() and each.isprintable() else "?" for each in subject)
        self._sns.publish(
            TopicArn=self._arn,
            Subject=shown[:_MAX_SUBJECT],
            Message=message,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )


class UtcClock:
    """The machine's clock; implements the port `Clock`."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)
