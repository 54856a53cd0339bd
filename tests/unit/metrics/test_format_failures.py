import json

import pytest

from novaloop.metrics.format_failures import format_failure
from novaloop.metrics.results import FormatFailure
from novaloop.metrics.score import score_lines
from novaloop.rewards.labels import LabelReader

LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")
KINDS = [
    ("HQ", None),
    (" LQ_EDIT\n", None),
    ("", FormatFailure.EMPTY),
    (" \n", FormatFailure.EMPTY),
    ("...", FormatFailure.EMPTY),
    ("lq_edit", FormatFailure.CASE),
    ("HQ.", FormatFailure.PUNCTUATION),
    ("**LQ-EDIT**", FormatFailure.PUNCTUATION),
    ("hq!", FormatFailure.PUNCTUATION),
    ("I think it is HQ", FormatFailure.EXTRA_PROSE),
    ("HIGH", FormatFailure.OTHER_LABEL),
    ("HQ or LQ_EDIT", FormatFailure.NO_LABEL),
    ("I can't say", FormatFailure.NO_LABEL),
]


@pytest.mark.parametrize(("answer", "expected"), KINDS)
def test_kinds(answer: str, expected: FormatFailure | None) -> None:
    assert format_failure(answer, LabelReader(LABELS)) is expected


def test_they_add_up_to_the_answers_without_a_label() -> None:
    lines = [
        json.dumps({"prompt": str(row), "inference": answer, "gold": "HQ"}).encode()
        for row, (answer, _) in enumerate(KINDS)
    ]
    score, _ = score_lines(lines, labels=LABELS)
    assert score.classification is not None
    assert sum(score.format_failures.values()) == score.classification.strict.without_label.count
    assert score.format_failures[FormatFailure.EMPTY] == 3
    assert type(score).from_dict(score.to_dict()) == score
