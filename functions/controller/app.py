"""Reconciles one experiment for each hint: from the queue, or from the table's stream."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)

from novaloop.experiment.names import experiment_of_job
from novaloop.usecases.hints import (
    LATE,
    Hint,
    NoHint,
    read_batch,
    read_received,
    read_record,
)
from novaloop.usecases.reconcile import reconcile
from novaloop.wiring.controller import controller_world
from novaloop.wiring.telemetry import leaving_unread_alone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from novaloop.experiment.record import Record

logger = Logger()
world = cache(controller_world)


@leaving_unread_alone()
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Handle a batch of hints; those that fail are reported and come again."""
    batch = read_batch(event)
    processor = BatchProcessor(EventType.SQS if batch.is_of_queue else EventType.DynamoDBStreams)
    looker = _Looker(read_received(event, batch))
    return process_partial_response(event, looker, processor, context)


class _Looker:
    """Looks once at each experiment of a batch: all of its hints were there before the look.

    It has come as often as the one of its own hints that did so the most: a new hint at the same
    experiment may come before the one that has ended looks already. What came how often of others
    says nothing of it.
    """

    def __init__(self, received: Iterable[tuple[Hint, int]]) -> None:
        self._seen: dict[str, Record | None] = {}
        self._receives: dict[str, int] = {}
        for hint, receives in received:
            experiment_id = _experiment_of(hint)
            if experiment_id is not None:
                most = max(receives, self._receives.get(experiment_id, 1))
                self._receives[experiment_id] = most

    def __call__(self, record: SQSRecord | DynamoDBRecord) -> None:
        with leaving_unread_alone():
            hint = _hint_of(record)
            experiment_id = _experiment_of(hint)
            if experiment_id is None:
                return
            if experiment_id not in self._seen:
                self._seen[experiment_id] = self._look(experiment_id, hint.depth)
            after = self._seen[experiment_id]
            if after is not None and hint.is_ahead_of(after):
                world().hints.look_at(experiment_id, LATE, hint.depth + 1)

    def _look(self, experiment_id: str, depth: int) -> Record | None:
        """Return the record as it is after the look; None where it is not ours to read."""
        after = None
        with logger.append_context_keys(experiment_id=experiment_id), leaving_unread_alone():
            receives = self._receives.get(experiment_id, 1)
            after = reconcile(experiment_id, world(), depth, receives)
            logger.info("looked", extra=_state_of(after))
        return after


def _state_of(record: Record | None) -> dict[str, object]:
    """Return what the dashboard shows of an experiment."""
    if record is None:
        return {"status": "there is no such experiment"}
    stage = record.focus
    state = {"stage": stage.name, "state": stage.state} if stage else {}
    return {"status": record.status, "version": record.version, **state}


def _hint_of(record: SQSRecord | DynamoDBRecord) -> Hint:
    """Return what a record says; what says nothing, as a hint at nothing."""
    try:
        return read_record(record.raw_event)
    except NoHint as problem:
        # It would be as bad the next time, so it is not told as a failure.
        logger.warning("a message is no hint, and dropped: %s", problem)
        return Hint()


def _experiment_of(hint: Hint) -> str | None:
    """Return the experiment to look at, if it is one of ours."""
    if hint.experiment_id is not None:
        return hint.experiment_id
    named = (hint.job_name or "", hint.config_name or "")
    prefix = world().policy.prefix
    return next(filter(None, (experiment_of_job(prefix, name) for name in named)), None)
