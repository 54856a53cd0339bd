"""Notifications of experiments whose folders have any name, to a topic as strict as SNS."""

from __future__ import annotations

from typing import Any

import pytest

from novaloop.cloud.messages import Topic


class Sns:
    """Publish, strictly: see API_Publish on subjects."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    def publish(self, Subject: str, Message: str, **_: Any) -> None:  # noqa: N803
        assert Subject.isascii()
        assert Subject.isprintable()
        assert 0 < len(Subject) < 100
        assert Subject[0] != " "
        assert Message
        self.subjects.append(Subject)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("questions", "questions"),
        ("Größe 1", "Gr??e 1"),
        ("a\nb\x00", "a?b?"),
        ("日本", "??"),
        ("x" * 1_000, "x" * 89),
    ],
)
def test_an_experiment_of_any_name_is_told_of(name: str, shown: str) -> None:
    sns: Any = Sns()
    subject = f"Novaloop: {name} is REJECTED"
    Topic(sns, "arn").publish(subject, f"{subject}\n", {"experiment": name})
    assert sns.subjects == [f"Novaloop: {shown} is REJECTED"[:99]]
