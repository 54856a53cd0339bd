"""What a stage that ended well is worth: a checkpoint, a score, or an answered smoke request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from novaloop.experiment.controller.observation import Outcome
from novaloop.experiment.record import Measured, Record, Snapshot, Stage
from novaloop.experiment.runtimes.serving import endpoint_ref
from novaloop.experiment.stack import output_prefix
from novaloop.metrics.archive import ArchiveError, checkpoint_of
from novaloop.metrics.registry import METRICS
from novaloop.recipes.bedrock_serving import native_request
from novaloop.recipes.catalog import metric_of
from novaloop.usecases.outputs import find_output
from novaloop.usecases.ports import Endpoints, Jobs, NotServing, ObjectMissing, Objects

SMOKE_QUESTION = "How do I sort a list of dictionaries by the value of one key in Python?"
SMOKE_MAX_TOKENS = 50
HEADLINE = "exact_match"


def outcome_of(
    record: Record,
    stage: Stage,
    snapshot: Snapshot,
    *,
    objects: Objects,
    jobs: Jobs,
    endpoints: Endpoints,
) -> Outcome:
    """Say what the stage came to, as far as anybody can say now."""
    if stage.kind.is_scored:
        return _score(record, stage, snapshot)
    if stage.kind.serves:
        return _smoke(record, stage, endpoints)
    if record.spec.runtime.leaves_manifest:
        return _checkpoint(record, stage, objects)
    return _model(stage, jobs)


def _score(record: Record, stage: Stage, snapshot: Snapshot) -> Outcome:
    item = snapshot.scores.get((stage.name, stage.attempt.number))
    if item is None:
        return Outcome(ok=None, reason="the metrics function has not delivered a score")
    if item.error is not None:
        return Outcome(ok=False, reason=item.error)
    asked = record.spec.metrics_of(stage.name)
    return Outcome(ok=True, metrics=headlines(item.score, asked))


def headlines(score: Mapping[str, Any], asked: Collection[str] = ()) -> dict[str, Measured]:
    """Return what tells whether an evaluation is any good, by the metrics' full names.

    Of answers that were compared with gold: exact match, what is `asked` for, and what a function
    of the job's own measured. Of a task: all, and first what its recipe asks for. The rest stands
    in the score's item and in the report.
    """
    full_names = {metric.name: metric.full_name or metric.name for metric in METRICS}
    names = set(full_names.values())
    found = {
        full_names.get(name, name): Measured(each["value"], each.get("stderr"), score.get("n"))
        for name, each in score["metrics"].items()
    }
    if "task" in score:
        first = metric_of(score["task"])
        return dict(sorted(found.items(), key=lambda each: each[0] != first))
    shown = {HEADLINE, *(full_names.get(name, name) for name in asked)}
    return {name: each for name, each in found.items() if name in shown or name not in names}


def _checkpoint(record: Record, stage: Stage, objects: Objects) -> Outcome:
    """Read the checkpoint from the manifest that the job left; never guess one."""
    prefix = output_prefix(record.experiment_id, stage)
    try:
        return Outcome(ok=True, checkpoint=checkpoint_of(find_output(objects, prefix)))
    except ObjectMissing as missing:
        return Outcome(ok=False, reason=f"the job completed, but {missing}")
    except ArchiveError as error:
        return Outcome(ok=False, reason=f"no checkpoint under {prefix}: {error}")


def _model(stage: Stage, jobs: Jobs) -> Outcome:
    """Read which model the job made; it may be told a moment after the job's end."""
    arn = jobs.describe(stage.attempt.job_name or "", None).model_arn
    if arn is None:
        return Outcome(ok=None, reason="the job completed, but names no model")
    return Outcome(ok=True, checkpoint=arn)


def _smoke(record: Record, stage: Stage, endpoints: Endpoints) -> Outcome:
    request = native_request if record.plan_of(stage).on_bedrock else chat_request
    body = request(SMOKE_QUESTION, record.spec.system_prompt, SMOKE_MAX_TOKENS)
    try:
        answer = endpoints.ask(endpoint_ref(record, stage), body)
    except NotServing as error:
        return Outcome(ok=None if error.for_now else False, reason=error.reason)
    if not answer.strip():
        return Outcome(ok=False, reason="the endpoint answered the smoke request with no text")
    return Outcome(ok=True, reason=f"answered the smoke request: {answer.strip()[:200]}")


def chat_request(question: str, system_prompt: str | None, max_tokens: int) -> dict[str, object]:
    """Return the body of a chat request to a Nova endpoint."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    messages = [*system, {"role": "user", "content": question}]
    return {"messages": messages, "max_tokens": max_tokens, "temperature": 0}
