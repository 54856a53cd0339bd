"""Hints in batches, with a queue that refuses what SQS refuses."""

from __future__ import annotations

import json
import time
from threading import Lock
from typing import Any

import pytest

from novaloop.cloud.messages import HintQueue


class Sqs:
    """SendMessageBatch, strictly: at most ten entries with distinct ids, none of them empty."""

    def __init__(self, refuse: dict[str, int] | None = None) -> None:
        self.taken: list[str] = []
        self.calls = 0
        self.refuse = refuse or {}
        self._lock = Lock()

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803
        assert QueueUrl == "queue"
        assert 0 < len(Entries) <= 10
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        failed = []
        with self._lock:
            self.calls += 1
            for entry in Entries:
                name = json.loads(entry["MessageBody"])["experiment_id"]
                if self.refuse.get(name, 0) > 0:
                    self.refuse[name] -= 1
                    failed.append({"Id": entry["Id"], "SenderFault": False, "Code": "Throttled"})
                else:
                    self.taken.append(name)
        return {"Successful": [], "Failed": failed} if failed else {"Successful": []}


def queue(sqs: Any) -> HintQueue:
    return HintQueue(sqs, "queue")


@pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 1_000])
def test_every_hint_is_sent_once_ten_in_a_call(number: int) -> None:
    sqs, names = Sqs(), [f"x{each}" for each in range(number)]
    assert queue(sqs).look_at_all(names) == []
    assert sorted(sqs.taken) == sorted(names)
    assert sqs.calls == -(-number // 10)


def test_what_is_refused_once_is_sent_again_and_nothing_else_is() -> None:
    sqs, names = Sqs({"x3": 1, "x14": 1}), [f"x{each}" for each in range(20)]
    assert queue(sqs).look_at_all(names) == []
    assert sorted(sqs.taken) == sorted(names)
    assert sqs.calls == 4


def test_what_is_refused_twice_is_returned() -> None:
    sqs, names = Sqs({"x3": 2, "x14": 9}), [f"x{each}" for each in range(20)]
    assert queue(sqs).look_at_all(names) == ["x3", "x14"]
    assert sorted(sqs.taken) == sorted({*names} - {"x3", "x14"})


def test_a_call_that_fails_is_told_after_the_others_were_made() -> None:
    class Failing(Sqs):
        def send_message_batch(self, **call: Any) -> Any:
            if '"x3"' in call["Entries"][3]["MessageBody"]:
                raise ConnectionError
            time.sleep(0.01)  # so that it has failed while most of the others wait
            return super().send_message_batch(**call)

    sqs = Failing()
    with pytest.raises(ConnectionError):
        queue(sqs).look_at_all([f"x{each}" for each in range(100)])
    assert len(sqs.taken) == 90
