"""What training jobs write to CloudWatch Logs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from novaloop.training.lines import LogLine
from novaloop.usecases.errors import code_of
from novaloop.usecases.ports import LogPage

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import FilterLogEventsResponseTypeDef

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
MAX_STREAMS = 50
MAX_PAGES = 5
"""How many pages one look reads, of at most 1 MB each; the next look goes on from there."""
LATE_MS = 10_000
"""How much later than a newer line a line of another machine may arrive."""


def _events(page: FilterLogEventsResponseTypeDef) -> Iterator[tuple[int, str]]:
    """Yield times and messages: CloudWatch Logs' model requires none of either."""
    for event in page.get("events", ()):
        if "timestamp" in event:
            yield event["timestamp"], event.get("message", "")


@dataclass(frozen=True)
class _Cursor:
    """Where to read on: from a time, in milliseconds since 1970, or from a page's token.

    `newest` is the time of the newest line that was read.
    """

    begin: int = 0
    newest: int = 0
    token: str = ""

    @classmethod
    def parse(cls, text: str | None) -> _Cursor:
        if text is None:
            return cls()
        begin, newest, token = text.split("/", 2)
        return cls(int(begin), int(newest), token)

    def __str__(self) -> str:
        return f"{self.begin}/{self.newest}/{self.token}"

    def after(self, page: FilterLogEventsResponseTypeDef) -> _Cursor:
        newest = max([self.newest, *(at for at, _ in _events(page))])
        token = page.get("nextToken", "")
        begin = self.begin if token else max(self.begin, newest - LATE_MS)
        return _Cursor(begin, newest, token)


class TrainingJobLogs:
    """The log streams `<job>/algo-<n>-…` of all machines of a job; implements `JobLogs`."""

    def __init__(self, logs: CloudWatchLogsClient) -> None:
        self._logs = logs

    def read(self, job_name: str, after: str | None) -> LogPage:
        """Return the lines since the cursor `after`, the oldest first, and the next cursor."""
        cursor = _Cursor.parse(after)
        lines: list[LogLine] = []
        streams = self._streams(job_name)
        for _ in range(MAX_PAGES if streams else 0):
            page = self._page(streams, cursor)
            for milliseconds, message in _events(page):
                at = datetime.fromtimestamp(milliseconds / 1000, UTC)
                lines.append(LogLine(at, message))
            cursor = cursor.after(page)
            if not cursor.token:
                break
        return LogPage(tuple(sorted(lines, key=lambda line: line.at)), str(cursor))

    def _streams(self, job_name: str) -> list[str]:
        try:
            found = self._logs.describe_log_streams(
                logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job_name}/", limit=MAX_STREAMS
            )
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":  # no job has ever logged here
                return []
            raise
        streams = found.get("logStreams", ())
        return [stream["logStreamName"] for stream in streams if "logStreamName" in stream]

    def _page(self, streams: list[str], cursor: _Cursor) -> FilterLogEventsResponseTypeDef:
        try:
            return self._logs.filter_log_events(
                logGroupName=LOG_GROUP,
                logStreamNames=streams,
                startTime=cursor.begin,
                **({"nextToken": cursor.token} if cursor.token else {}),  # type: ignore[arg-type]
            )
        except ClientError as error:
            # A token lives for a day, and only as long as the job has no further streams.
            if cursor.token and code_of(error) == "InvalidParameterException":
                return self._page(streams, replace(cursor, token=""))
            raise
