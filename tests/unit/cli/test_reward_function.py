"""A reward function of one's own, tried: what breaks the contract is named for what it is."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from novaloop.rewards.reward import score_batch
from novaloop_cli import reward, reward_function
from tests.unit.cli.conftest import novaloop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

ARN = "arn:aws:lambda:us-west-2:123456789012:function:my-SageMaker-reward"
ROW = {"messages": [{"role": "user", "content": "q"}], "reference_answer": "good"}
Samples = list[dict[str, Any]]


class Lambda:
    """A function as Lambda's client shows it: `body` makes the payload, or raises."""

    def __init__(self, body: Callable[[Samples], object], error: str | None = None) -> None:
        self._body = body
        self._error = {"FunctionError": error} if error else {}
        self.asked: list[Samples] = []

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == ARN
        self.asked.append(json.loads(Payload))
        body = self._body(self.asked[-1])
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        return {"StatusCode": 200, "Payload": io.BytesIO(payload), **self._error}


def score(sample: dict[str, Any]) -> dict[str, Any]:
    right = sample["messages"][-1]["content"] == sample["reference_answer"]
    metric = {"name": "right", "value": float(right), "type": "Metric"}
    return {"id": sample["id"], "aggregate_reward_score": float(right), "metrics_list": [metric]}


def scores(samples: Samples) -> list[dict[str, Any]]:
    return list(map(score, samples))


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("COLUMNS", "400")

    def run(function: Lambda, *options: str, rows: Any = (ROW,) * 5) -> Result:
        file = tmp_path / "rft.jsonl"
        file.write_text("".join(json.dumps(each) + "\n" for each in rows))
        monkeypatch.setattr(reward, "lambda_client", lambda _: function)
        return novaloop("reward", "try", str(file), "--function", ARN, *options)

    return run


def test_a_function_that_keeps_the_contract_is_shown_its_scores(
    tried: Callable[..., Result],
) -> None:
    function = Lambda(scores)
    result = tried(function)
    assert result.exit_code == 0, result.output
    assert "It keeps the contract." in result.stdout
    assert "Warning" not in result.stdout
    right, empty = function.asked
    assert [each["messages"][-1] for each in right] == [
        {"role": "assistant", "content": "good"}
    ] * reward_function.ROWS
    assert [each["messages"][-1]["content"] for each in empty] == [""] * reward_function.ROWS
    assert [each["id"] for each in right] == ["0", "1", "2"]
    told = json.loads(tried(Lambda(scores), "--json").stdout)
    assert [each["scores"] for each in told["tried"]] == [[1.0] * 3, [0.0] * 3]


def test_rows_keep_their_ids_fields_and_turns(tried: Callable[..., Result]) -> None:
    generated = {"role": "nova_assistant", "content": "said"}
    rollout = {**ROW, "id": "mine", "messages": [*ROW["messages"], generated], "unit": "km"}
    structured = {**ROW, "reference_answer": {"a": 1}}
    function = Lambda(scores)
    tried(function, rows=[rollout, structured])
    assert function.asked[0][0] == rollout == function.asked[1][0]
    assert json.loads(function.asked[0][1]["messages"][-1]["content"]) == {"a": 1}


def test_the_stacks_own_function_keeps_the_contract(tried: Callable[..., Result]) -> None:
    result = tried(Lambda(score_batch))  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output


def test_the_function_of_an_experiments_own_settings_is_tried_with_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiment.yaml").write_text(f"reward: {{function: '{ARN}'}}\n")
    rows = "".join(f"question {number},good\n" for number in range(9))
    (tmp_path / "rft.csv").write_text(f"question,answer\n{rows}")
    function = Lambda(scores)
    monkeypatch.setattr(reward, "lambda_client", lambda _: function)

    result = novaloop("reward", "try", str(tmp_path))

    assert result.exit_code == 0, result.output
    assert "It keeps the contract." in result.stdout
    right, empty = function.asked
    assert [len(right), len(empty)] == [3, 3]
    assert [each["messages"][-2]["content"] for each in right] == [
        f"question {number}" for number in range(3)
    ]


def changed(**fields: object) -> Callable[[Samples], object]:
    return lambda samples: [{**score(each), **fields} for each in samples]


def without(*names: str) -> Callable[[Samples], object]:
    return lambda samples: [
        {name: value for name, value in score(each).items() if name not in names}
        for each in samples
    ]


WRONG: dict[str, tuple[Callable[[Samples], object], str]] = {
    "a text of JSON": (lambda samples: json.dumps(scores(samples)), "wrong shape: a text; return"),
    "no JSON": (lambda _: b"<html>", "wrong shape: Expecting value"),
    "no bytes": (lambda _: b"", "wrong shape: Expecting value"),
    "no UTF-8": (lambda _: b'["\xff"]', "wrong shape: 'utf-8' codec"),
    "nothing": (lambda _: None, "wrong shape: nothing; the handler has to return"),
    "for API Gateway": (
        lambda samples: {"statusCode": 200, "body": json.dumps(scores(samples))},
        "wrong shape: an answer to API Gateway",
    ),
    "one object": (lambda samples: score(samples[0]), "wrong shape: one object; a list of samples"),
    "an error in words": (lambda _: {"errorMessage": "no"}, "wrong shape: an object with errorMe"),
    "another object": (lambda samples: {"scores": scores(samples)}, "wrong shape: an object; it"),
    "a number": (lambda _: 3, "wrong shape: a number; it must be a list"),
    "too few": (lambda samples: scores(samples[1:]), "wrong count: 2 scores for 3 samples"),
    "too many": (lambda samples: scores(samples) * 2, "wrong count: 6 scores for 3 samples"),
    "none": (lambda _: [], "wrong count: 0 scores for 3 samples"),
    "another order": (lambda samples: scores(samples[::-1]), "wrong ids: the samples' ids in anot"),
    "one id for all": (changed(id="0"), "wrong ids: two scores have the same id"),
    "numbers for ids": (
        lambda samples: [{**score(each), "id": int(each["id"])} for each in samples],
        "wrong ids: the ids are of another type",
    ),
    "other ids": (
        lambda samples: [{**score(each), "id": f"s{each['id']}"} for each in samples],
        "wrong ids: they are not the samples' ids",
    ),
    "no ids": (without("id"), "wrong ids: "),
    "no score": (without("aggregate_reward_score"), "score 1: it has no aggregate_reward_score"),
    "a text for a score": (changed(aggregate_reward_score="1"), "aggregate_reward_score is a text"),
    "a truth for a score": (changed(aggregate_reward_score=True), "score is true or false"),
    "null for a score": (changed(aggregate_reward_score=None), "aggregate_reward_score is null"),
    "NaN": (changed(aggregate_reward_score=float("nan")), "it holds NaN, which is no JSON"),
    "infinity": (changed(aggregate_reward_score=float("-inf")), "it holds -Infinity"),
    "beyond a float": (
        lambda samples: json.dumps(scores(samples)).replace("1.0", "1e999").encode(),
        "beyond what a number may be",
    ),
    "scores alone": (lambda samples: [1.0 for _ in samples], "score 1: a number; it must be an o"),
    "metrics by name": (changed(metrics_list={"a": 1}), "metrics_list must be a list of objects"),
    "a nameless metric": (changed(metrics_list=[{"value": 1, "type": "Metric"}]), "needs a name"),
    "a metric in words": (
        changed(metrics_list=[{"name": "a", "value": "1", "type": "Metric"}]),
        "a value, a finite number",
    ),
    "a metric of no type": (
        changed(metrics_list=[{"name": "a", "value": 1}]),
        "the type of a metric is Metric or Reward",
    ),
    "nesting": (lambda _: b"[" * 100_000, "wrong shape: "),
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_answer_of_another_shape_is_named(kind: str, tried: Callable[..., Result]) -> None:
    body, says = WRONG[kind]
    result = tried(Lambda(body))
    assert result.exit_code == 2, result.output
    assert f"{ARN} does not keep the contract of reward functions:" in result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_what_is_optional_may_be_left_out(tried: Callable[..., Result]) -> None:
    assert tried(Lambda(without("metrics_list"))).exit_code == 0
    assert tried(Lambda(changed(metrics_list=None))).exit_code == 0
    assert tried(Lambda(changed(aggregate_reward_score=1))).exit_code == 0


FAILED: dict[str, tuple[dict[str, Any], str]] = {
    "timeout": (
        {"errorMessage": "2026-01-01T00:00:00.000Z 1-2 Task timed out after 3.00 seconds"},
        "timeout: 2026-01-01T00:00:00.000Z 1-2 Task timed out after 3.00 seconds; raise the func",
    ),
    "timeout with a type": (
        {"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: 1 Error: Task timed out"},
        "timeout: RequestId: 1 Error",
    ),
    "too large": (
        {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556"
            " bytes).",
        },
        "answer above 6 MB: Response payload size",
    ),
    "too large for the runtime": (
        {
            "errorType": "RequestEntityTooLarge",
            "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
        },
        "answer above 6 MB: Exceeded",
    ),
    "raised": (
        {"errorType": "KeyError", "errorMessage": "'reference' " + "x" * 5_000, "stackTrace": []},
        "raised KeyError: 'reference' x",
    ),
    "no module": (
        {"errorType": "Runtime.ImportModuleError", "errorMessage": "No module named 'numpy'"},
        "raised Runtime.ImportModuleError: No module named 'numpy'",
    ),
    "no words": ({}, "raised an error: "),
}


@pytest.mark.parametrize("kind", FAILED)
def test_how_a_function_ended_is_named(kind: str, tried: Callable[..., Result]) -> None:
    payload, says = FAILED[kind]
    function = Lambda(lambda _: payload, "Unhandled")
    result = tried(function)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert len(result.stderr) < 600
    assert len(function.asked) == 1  # what failed once is not called again


def refuses(code: str, message: str) -> Callable[[Samples], object]:
    def refuse(_: Samples) -> object:
        raise ClientError({"Error": {"Code": code, "Message": message}}, "Invoke")

    return refuse


REFUSED = [
    (
        "ResourceNotFoundException",
        "Function not found: x",
        2,
        "there is no such function in us-west-2; deploy it first",
    ),
    (
        "AccessDeniedException",
        (
            "User: me is not authorized to perform: lambda:InvokeFunction on resource: x because "
            "no resource-based policy allows the lambda:InvokeFunction action"
        ),
        2,
        "its resource policy has to allow the caller, you now and the jobs' role later",
    ),
    ("TooManyRequestsException", "Rate Exceeded.", 2, "throttled: Rate Exceeded.; a training cal"),
    ("RequestEntityTooLargeException", "7000000 byte payload", 2, "too much: 7000000 byte payload"),
    ("ExpiredTokenException", "expired", 1, "your AWS credentials have expired"),
]


@pytest.mark.parametrize(("code", "message", "exits", "says"), REFUSED)
def test_why_lambda_did_not_call_it_is_named(
    code: str, message: str, exits: int, says: str, tried: Callable[..., Result]
) -> None:
    result = tried(Lambda(refuses(code, message)))
    assert result.exit_code == exits, result.output
    assert says in " ".join(result.stderr.split())


def test_a_function_that_does_not_answer_is_given_up(tried: Callable[..., Result]) -> None:
    def hangs(_: Samples) -> object:
        raise ReadTimeoutError(endpoint_url="https://lambda.us-west-2.amazonaws.com")

    result = tried(Lambda(hangs))
    assert result.exit_code == 2
    assert f"timeout: no answer within {reward_function.WAIT_SECONDS} seconds" in result.stderr


def test_a_slow_function_is_told_what_it_costs(
    tried: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call may have to start the function, so only the second one counts."""
    clock = iter([0.0, 30.0, 30.0, 31.5, 0.0, 0.5, 1.0, 7.0])
    monkeypatch.setattr(reward_function.time, "monotonic", lambda: next(clock))
    assert "Warning" not in tried(Lambda(scores)).stdout
    told = tried(Lambda(scores))
    assert told.exit_code == 0
    assert "Warning: slow: 2.0 s for an answer; with 128 answers a step and 12 calls" in told.stdout
    assert "the machines would wait 21 s in each step" in told.stdout


def test_one_score_for_all_answers_is_told(tried: Callable[..., Result]) -> None:
    told = tried(Lambda(changed(aggregate_reward_score=0.5)))
    assert told.exit_code == 0
    assert "Warning: line 1, 2, 3: the reference as the answer scores no more than" in told.stdout


def test_what_can_not_be_tried_is_refused(
    tried: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = Lambda(scores)
    assert "line 2 is not a JSON object" in tried(function, rows=[ROW, [1]]).stderr
    assert "has no rows" in tried(function, rows=[]).stderr
    assert not function.asked
    file = tmp_path / "rft.jsonl"
    file.write_text(json.dumps(ROW))
    for arn in (f"{ARN}:live", "my-SageMaker-reward"):
        refused = novaloop("reward", "try", str(file), "--function", arn)
        assert refused.exit_code == 2
        assert "must be a Lambda function's ARN without version or alias" in refused.stderr
    assert novaloop("reward", "try", str(file), "--profile", "mine").exit_code == 2
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = reward_function.lambda_client(ARN)
    assert client.meta.region_name == "us-west-2"
    assert client.meta.config.read_timeout == reward_function.WAIT_SECONDS
    assert client.meta.config.retries["total_max_attempts"] == 1
