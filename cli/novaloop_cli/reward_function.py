"""Whether a reward function of one's own keeps the contract, tried with a few rows.

The contract is what Nova's jobs send and read (Amazon Nova User Guide, "Creating reward
functions"; AWS's samples send a list): a list of samples in, a list of scores out, one for each
sample, with its `id` and `aggregate_reward_score`. What Lambda answers where a function fails:
Lambda's developer guide, "Troubleshoot invocation issues in Lambda", and the threads named below.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from novaloop.rewards.outcome import UnusableSampleError
from novaloop.rewards.reward import is_prompt, reference_answer
from novaloop.rewards.scorers import reference_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_lambda import LambdaClient

ROWS = 3
"""As many as SageMaker's own SDK tries before it submits a training."""
WAIT_SECONDS = 60
"""Longer for three rows is longer than a training can wait for a hundred."""
SLOW_SECONDS = 1.0
"""For each answer. A recipe's step has 128 of them (64 prompts, 2 answers each) and calls 12 times
at once, so that its machines wait for ten seconds from here on."""
_ANSWERS_A_STEP, _CALLS_AT_ONCE = 128, 12
_SHOWN_CHARACTERS = 200
_METRIC_TYPES = ("Metric", "Reward")


@dataclass(frozen=True)
class Tried:
    """One kind of answer to all rows: the scores, how long they took, and what is wrong with them.

    `scores` is empty where something is wrong.
    """

    answer: str
    scores: tuple[float, ...]
    seconds: float
    problems: tuple[str, ...]


def lambda_client(arn: str) -> LambdaClient:
    """Return a client of the function's region that calls once and does not wait for ever."""
    once = Config(read_timeout=WAIT_SECONDS, retries={"total_max_attempts": 1})
    client: LambdaClient = boto3.client("lambda", region_name=arn.split(":")[3], config=once)
    return client


def try_function(client: LambdaClient, arn: str, rows: Sequence[Mapping[str, Any]]) -> list[Tried]:
    """Call the function with the first rows: their references as answers, then empty answers.

    Rows that end with a generated turn are sent as they are, twice. The first call may have to
    start the function; the second tells how long it takes. Raises ClientError for what says
    nothing of the function, such as expired credentials.
    """
    tried: list[Tried] = []
    for answer in ("reference", "empty"):
        done = _call(client, arn, answer, [_sample(row, answer, n) for n, row in enumerate(rows)])
        tried.append(done)
        if done.problems:
            break
    return tried


def warnings(tried: Sequence[Tried], lines: Sequence[int]) -> Iterator[str]:
    """Yield what is within the contract, and yet will not do for a training."""
    if any(each.problems for each in tried):
        return
    right, empty = tried
    each = empty.seconds / len(lines)
    if each > SLOW_SECONDS:
        waits = each * _ANSWERS_A_STEP / _CALLS_AT_ONCE
        yield (
            f"slow: {each:.1f} s for an answer; with {_ANSWERS_A_STEP} answers a step and "
            f"{_CALLS_AT_ONCE} calls at once the machines would wait {waits:.0f} s in each step"
        )
    scores = zip(lines, right.scores, empty.scores, strict=True)
    if flat := [line for line, best, none in scores if best <= none]:
        these = ", ".join(map(str, flat))
        yield f"line {these}: the reference as the answer scores no more than an empty answer"


def _sample(row: Mapping[str, Any], answer: str, number: int) -> dict[str, Any]:
    """Return a row as a job sends it: with an id, and with a generated turn at its end."""
    sample = {"id": str(number), **row}
    if is_prompt(row):
        text = "" if answer == "empty" else _as_answer(reference_answer(row))
        turn = {"role": "assistant", "content": text}
        sample["messages"] = [*row["messages"], turn]
    return sample


def _as_answer(reference: object) -> str:
    try:
        return reference_text(reference)
    except UnusableSampleError:
        return "" if reference is None else json.dumps(reference, ensure_ascii=False)


def _call(client: LambdaClient, arn: str, answer: str, samples: list[dict[str, Any]]) -> Tried:
    began = time.monotonic()
    scores: tuple[float, ...] = ()
    try:
        reply = client.invoke(FunctionName=arn, Payload=json.dumps(samples).encode())
        payload = reply["Payload"].read()
    except ReadTimeoutError:
        problems = [f"timeout: no answer within {WAIT_SECONDS} seconds"]
    except ClientError as error:
        problems = [_refused(error, arn)]
    else:
        if "FunctionError" in reply:
            problems = [_failed(payload)]
        else:
            scores, problems = read_reply(payload, samples)
    return Tried(answer, scores, time.monotonic() - began, tuple(problems))


def _refused(error: ClientError, arn: str) -> str:
    """Say why Lambda did not call the function; raises `error` if that is not the function's."""
    told = error.response.get("Error", {}).get("Message", "")[:_SHOWN_CHARACTERS]
    match error.response.get("Error", {}).get("Code", ""):
        case "ResourceNotFoundException":
            return f"there is no such function in {arn.split(':')[3]}; deploy it first"
        case "AccessDeniedException" | "AccessDenied" | "403":
            return (
                f"denied: {told}; you need lambda:InvokeFunction on it, and in another account "
                "its resource policy has to allow the caller, you now and the jobs' role later"
            )
        case "TooManyRequestsException":
            return (
                f"throttled: {told}; a training calls it {_CALLS_AT_ONCE} times at once, so give "
                "it that much reserved concurrency, or the account more of it"
            )
        case "RequestEntityTooLargeException" | "RequestTooLargeException":
            return f"too much: {told}; Lambda takes 6 MB at once, so make the rows smaller"
    raise error


def _failed(payload: bytes) -> str:
    """Say how a function ended that Lambda called.

    A timeout has no type of its own in every runtime, only its words
    (alexcasalboni/aws-lambda-power-tuning#151); an answer above the limit is told by its size
    (anomalyco/console#63).
    """
    try:
        error = json.loads(payload)
        kind, told = str(error.get("errorType") or ""), str(error.get("errorMessage") or "")
    except (ValueError, AttributeError):
        kind, told = "", payload.decode("utf-8", "replace")
    told = " ".join(told.split())[:_SHOWN_CHARACTERS]
    if kind == "Sandbox.Timedout" or "Task timed out after" in told:
        return f"timeout: {told}; raise the function's Timeout, 900 seconds at most, or speed it up"
    if "ResponseSizeTooLarge" in kind or "payload size" in told:
        return f"answer above 6 MB: {told}; answer ids, scores and metrics only"
    return f"raised {kind or 'an error'}: {told}; its log says where"


def read_reply(
    payload: bytes, samples: Sequence[Mapping[str, Any]]
) -> tuple[tuple[float, ...], list[str]]:
    """Return the scores in the order of the samples, or what is wrong with the answer."""
    try:
        answer = json.loads(payload, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return (), [f"wrong shape: {error}"]
    problems = [f"wrong shape: {why}" for why in _not_a_list(answer)]
    if not problems and len(answer) != len(samples):
        problems = [f"wrong count: {len(answer):,} scores for {len(samples)} samples"]
    if not problems:
        problems = [f"wrong ids: {why}" for why in _not_the_ids(answer, samples)]
        for number, entry in enumerate(answer, 1):
            problems += [f"wrong shape: score {number}: {why}" for why in _not_a_score(entry)]
    if problems:
        return (), problems
    return tuple(float(entry["aggregate_reward_score"]) for entry in answer), []


def _no_constant(name: str) -> object:
    raise ValueError(f"it holds {name}, which is no JSON; each score is a finite number")


def _not_a_list(answer: object) -> Iterator[str]:
    match answer:
        case list():
            return
        case str():
            yield "a text; return the list itself, not json.dumps of it"
        case None:
            yield "nothing; the handler has to return the list of scores"
        case {"statusCode": _} | {"body": _}:
            yield "an answer to API Gateway; return the list alone, without statusCode and body"
        case {"errorMessage": _}:
            yield "an object with errorMessage; score each sample, or raise"
        case {"aggregate_reward_score": _}:
            yield "one object; a list of samples needs a list of scores"
        case _:
            yield f"{_kind(answer)}; it must be a list with one score for each sample"


def _not_the_ids(answer: Sequence[object], samples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    asked = [sample["id"] for sample in samples]
    found = [entry.get("id") if isinstance(entry, dict) else None for entry in answer]
    if found == asked:
        return
    # JSON tells 1 from "1", and True from 1 where Python does not.
    exact, given = (list(map(json.dumps, ids)) for ids in (asked, found))
    if sorted(given) == sorted(exact):
        yield "the samples' ids in another order; answer in the order of the samples"
    elif len(set(given)) < len(given):
        yield "two scores have the same id; give each the id of its sample"
    elif list(map(str, found)) == list(map(str, asked)):
        yield "the ids are of another type; return them as they came"
    else:
        yield "they are not the samples' ids; return each sample's `id` as it came"


def _not_a_score(entry: object) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"{_kind(entry)}; it must be an object with id and aggregate_reward_score"
        return
    if "aggregate_reward_score" not in entry:
        yield "it has no aggregate_reward_score"
    elif not _is_number(entry["aggregate_reward_score"]):
        kind = _kind(entry["aggregate_reward_score"])
        yield f"aggregate_reward_score is {kind}; it must be a finite number"
    metrics = entry.get("metrics_list")
    if metrics is None:
        return
    if not isinstance(metrics, list) or not all(isinstance(each, dict) for each in metrics):
        yield "metrics_list must be a list of objects, or be left out"
        return
    for metric in metrics:
        if not isinstance(metric.get("name"), str) or not _is_number(metric.get("value")):
            yield "each metric needs a name, a text, and a value, a finite number"
        if metric.get("type") not in _METRIC_TYPES:
            yield f"the type of a metric is {' or '.join(_METRIC_TYPES)}"


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case None:
            return "null"
        case str():
            return "a text"
        case int() | float():
            return "a number" if _is_number(value) else "beyond what a number may be"
        case list():
            return "a list"
    return "an object"
