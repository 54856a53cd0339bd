"""What the metrics function is called with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter

from novaloop.experiment.versions import Shape
from novaloop.usecases.events import Event, Name, of_version, read_event


class ReportRequest(Event):
    """Write an experiment's report anew."""

    experiment_id: Name


class ScoreRequest(ReportRequest):
    """Score an attempt at an evaluation, counted from 1; then write the report anew."""

    stage: Name
    attempt: int = Field(ge=1)


def _kind(event: object) -> str | None:
    if not isinstance(event, Mapping):
        return None
    return "report" if event.keys().isdisjoint({"stage", "attempt"}) else "score"


MetricsEvent = Annotated[
    Annotated[ReportRequest, Tag("report")] | Annotated[ScoreRequest, Tag("score")],
    Discriminator(
        _kind,
        custom_error_type="no_event_of_metrics",
        custom_error_message="should be an object",
    ),
    of_version(Shape.REQUEST),
]
_EVENTS: TypeAdapter[MetricsEvent] = TypeAdapter(MetricsEvent, config=ConfigDict(defer_build=True))


def read_metrics_event(event: object) -> MetricsEvent:
    """Read what the metrics function is called with. Raises Damaged and NewerVersion."""
    return read_event(_EVENTS, event)
