"""What an answer costs grows no faster than the answer, whatever a model writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from novaloop.rewards.labels import LabelReader
from novaloop.rewards.reward import score_batch

LABELS = [
    "__HQ",
    "_",
    "a b",
    "-1",
    "c_",
    "LQ_EDIT",
    "x",
    "正面",
    "บวก",
    "긍정",
    "toxic",
    "non-toxic",
]
"""Some that begin and end with what joins words, as a text column may hold them."""
REWARDS: Mapping[str, Mapping[str, Any]] = {
    "label": {"type": "label", "labels": LABELS},
    "strict": {"type": "label", "labels": LABELS, "reading": "strict"},
    "exact": {"type": "exact"},
    "numeric": {"type": "numeric"},
    "regex": {"type": "regex", "pattern": r"answer\W+(\w+)"},
    "json": {"type": "json", "schema": {"type": "array", "items": {"type": "integer"}}},
    "f1": {"type": "f1"},
}
ANSWERS: Mapping[str, Callable[[int], str]] = {
    "underscores": lambda n: "_" * n,
    "underscores apart": lambda n: "_ " * (n // 2),
    "hyphens": lambda n: "-" * n,
    "blanks inside": lambda n: f"a{' ' * n}c",
    "a label and what joins": lambda n: f"LQ{'_-' * (n // 2)}.",
    "halves of labels": lambda n: "a " * (n // 2),
    "labels": lambda n: "x lq_edit " * (n // 10),
    "lines of labels": lambda n: "x\nlq_edit\n" * (n // 10),
    "lines without": lambda n: "\n" * n + "x lq_edit",
    "negations": lambda n: "not x " * (n // 6),
    "classified": lambda n: "classified w " * (n // 13) + "as x lq_edit",
    "digits": lambda n: "9" * n,
    "commas": lambda n: "1" + "," * n,
    "points": lambda n: "1." * (n // 2),
    "exponents": lambda n: "1e" * (n // 2),
    "brackets": lambda n: "[" * n,
    "a list": lambda n: f"[{'1,' * (n // 2)}1]",
    "escapes": lambda n: '["' + "\\u0041" * (n // 6) + '"]',
    "fences": lambda n: "`" * n,
    "thoughts": lambda n: "<think>" * (n // 7),
    "ends of thoughts": lambda n: "</think>" * (n // 8),
    "tags": lambda n: "<answer>" * (n // 8),
    "answers in tags": lambda n: "<answer>x</answer>" * (n // 18),
    "forms": lambda n: "Label: x\nLabel: lq_edit\n" * (n // 24),
    "reports": lambda n: 'x said "' * (n // 8),
    "reports without an end": lambda n: "x said \u201c" * (n // 10),
    "boxes": lambda n: r"\boxed{" * (n // 7),
    "braces": lambda n: "{" * n,
    "objects": lambda n: '{"label":' * (n // 9),
    "combining marks": lambda n: "a" + "\u0301\u0316" * (n // 2),
    "ligatures": lambda n: "\ufdfa" * (n // 18),
    "questions": lambda n: "x? " * (n // 3),
    "refusals": lambda n: "can't   " * (n // 8),
    "suppositions": lambda n: "it would be x with " * (n // 19),
    "comparisons": lambda n: "less than x " * (n // 12),
    "without spaces": lambda n: "正面不" * (n // 3),
    "particles": lambda n: "긍정이" * (n // 3),
    "one long word": lambda n: "긍정" + "이" * n,
    "Thai": lambda n: "บวก" * (n // 3),
    "opposites": lambda n: "not toxic " * (n // 10),
    "stars": lambda n: "3" + "*" * n + "4",
    "parentheses": lambda n: "(" * n,
    "fractions": lambda n: "1/2 " * (n // 4),
    "slashes": lambda n: "1/" * (n // 2),
    "GSM8K": lambda n: "#### 1\n" * (n // 7),
    "points alone": lambda n: "#### " + "." * n + "1a1",
    "answers": lambda n: "answer is 1 + " * (n // 14),
    "dates": lambda n: "2024-01-15 " * (n // 11),
    "markers": lambda n: "<|begin_of_solution|>" * (n // 21) + "x",
}
SHORT, TIMES = 2_000, 16
GENEROUS = 4
"""What a machine that does other things may add. Squared, it would be TIMES times as much."""


def seconds(answer: str, reward: Mapping[str, Any]) -> float:
    """What scoring takes of the processor, the least of some tries."""
    sample = {"id": "1", "messages": [{"role": "assistant", "content": answer}]}
    sample |= {"reference_answer": "1" if reward["type"] != "label" else "x", "reward": reward}
    tries = []
    for _ in range(3):
        begun = time.process_time()
        score_batch([sample])
        tries.append(time.process_time() - begun)
    return min(tries)


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize("of", ANSWERS)
def test_an_answer_costs_in_proportion_to_its_length(of: str, kind: str) -> None:
    reward, answer = REWARDS[kind], ANSWERS[of]
    short = max(seconds(answer(SHORT), reward), 1e-4)
    assert seconds(answer(SHORT * TIMES), reward) < short * TIMES * GENEROUS


class Counted(str):
    """A text that counts the characters which looking for something in it may pass."""

    __slots__ = ("passed",)
    passed: int

    def lower(self) -> Counted:
        return self

    def strip(self, _: str | None = None, /) -> Counted:
        return self

    def find(self, part: str, start: Any = 0, end: Any = None, /) -> int:
        found = super().find(part, start, end)
        self.passed += (found if found >= 0 else len(self)) - start
        return found

    def rfind(self, part: str, start: Any = 0, end: Any = None, /) -> int:
        found = super().rfind(part, start, end)
        self.passed += (len(self) if end is None else end) - max(found, start)
        return found


@pytest.mark.parametrize("line", ["x lq_edit ", "x lq_edit\n", "\nx lq_edit and more\n\n"])
def test_each_line_is_looked_for_once(line: str) -> None:
    text = Counted(line * 500)
    text.passed = 0
    LabelReader(["x", "LQ_EDIT"]).lenient(text)
    assert text.passed <= 4 * len(text)


@pytest.mark.parametrize("label", ["__HQ", "_HQ", "_-HQ"])
def test_what_a_label_begins_with_joins_no_words(label: str) -> None:
    reader = LabelReader([label, "other"])
    assert reader.lenient(f"the answer is {label}.") == label
    assert reader.lenient("HQ") is None
