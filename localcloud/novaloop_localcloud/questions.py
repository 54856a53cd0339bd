"""A data set to try the application with: programming questions in three quality classes.

Every question is put together from original phrases. The phrases of a class lean towards it but
occur in the others too, and some labels are wrong, so that no classifier gets everything right.
Line ends, code blocks, quotes and non-ASCII text say nothing about the class.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")
SYSTEM_PROMPT = """\
Below is a question that somebody asked about programming. Sort it by quality:
* HQ: clear and complete, nobody had to mend it.
* LQ_EDIT: weak as it was asked, mended by others and left open.
* LQ_CLOSE: weak and closed, because it can't be answered as asked.
Answer with the name of the category alone: HQ, LQ_EDIT, or LQ_CLOSE."""

_LABEL_NOISE = 0.12
_OWN_PHRASE = 0.55

_LANGUAGES = (
    "Python",
    "Rust",
    "Kotlin",
    "C#",
    "Go",
    "TypeScript",
    "Ruby",
    "Swift",
    "C++",
    "Elixir",
)
_THINGS = (
    "a parser for log files",
    "a chat window",
    "the shopping basket",
    "a job queue",
    "an image gallery",
    "a tax calculator",
    "the login form",
    "a météo widget",
    "a graph of train lines",
    "the “recent files” menu",
)
_SYMBOLS = ("rows", "total", "client", "cursor", "buffer", "naïve_index", "Größe", "state")
_CALLS = ("merge", "flush", "decode", "render", "retry", "split", "commit", "collect")
_TITLES = (
    "{language}: {call}() and {thing}",
    "{call} in {language} for {thing}",
    "Trouble with {symbol} in {thing}",
    "About {call}() → {symbol}",
    "{thing}, written in {language}",
)
_NEUTRAL = (
    "It is part of {thing}.",
    "The project is written in {language}.",
    "There is a variable called {symbol} in there.",
    "The function {call}() gets called twice a minute.",
    'My colleague calls it "the {call} thing".',
    "Somebody named Zoë wrote the first version — in {language}.",
)
_LEANING = {
    "HQ": (
        "I expected {symbol} to be empty after {call}(), yet it still holds three entries.",
        "The smallest program that shows this is below.",
        "I have read the reference for {call}() and the changelog, neither mentions {symbol}.",
        "With version 3.2 it printed the right {symbol}, since 3.4 it prints nothing.",
        "Stepping through in the debugger shows that {call}() returns before {symbol} is set.",
        "Which guarantee does {language} give about the order of {call}() calls here?",
        "So far I ruled out the cache and the time zone: the result stays the same without them.",
        "Is this documented behaviour, or am I misusing {call}()?",
    ),
    "LQ_EDIT": (
        "i try {call} but its not working pls see code",
        "it give me error on {symbol} i dont no why",
        "here is all my code for {thing}",
        "thanks in advance!!! any help apreciated",
        "i am new in {language} so sory for my english",
        "when i run it then {symbol} is wrong and i cant fix",
        "tryed with {call} also with other one same problem",
        "how i can do this corectly in {language} ??",
    ),
    "LQ_CLOSE": (
        "Which library is the best one for {thing}?",
        "Can somebody send me the complete source for {thing}?",
        "Please recommend a good course or book on {language}.",
        "What is everybody's opinion about {language} these days?",
        "I have not started yet, where would one begin?",
        "My teacher wants {thing} by Friday, I need the solution.",
        "Is {language} better than the others in general?",
        "It just does not work on my computer, what could be the reason?",
    ),
}
_CODE = (
    '```\nfor {symbol} in {call}(items):\n    print({symbol}, end="\\t")\n```',
    "    {symbol} = {call}(\n        path, mode=\"r\"\n    )\n    assert {symbol}, 'nothing there'",
    "```\nif ({symbol} == null) {{\n\t{call}(\"a,b\", 'c');\n}}\n```",
    '> error 17: {call}() failed near "{symbol}"',
)


@dataclass(frozen=True)
class Question:
    """A question's text and the class it was given."""

    body: str
    label: str


def questions(count: int, seed: int) -> list[Question]:
    """`count` different questions, the classes about balanced; the same for the same seed."""
    random = Random(seed)  # noqa: S311
    made: dict[str, str] = {}
    while len(made) < count:
        kind = random.choice(LABELS)
        body = _body(kind, random)
        noisy = random.random() < _LABEL_NOISE
        made.setdefault(body, random.choice(LABELS) if noisy else kind)
    return [Question(body, label) for body, label in made.items()]


def write(
    directory: Path,
    sft: int = 700,
    rft: int = 200,
    eval: int = 150,  # noqa: A002
    seed: int = 7,
) -> None:
    """Write sft.csv, rft.csv and eval.csv, columns Id, Body and Y; they share no question."""
    rows = list(enumerate(questions(sft + rft + eval, seed), start=1))
    directory.mkdir(parents=True, exist_ok=True)
    _write_csv(directory / "sft.csv", rows[:sft])
    _write_csv(directory / "rft.csv", rows[sft : sft + rft])
    _write_csv(directory / "eval.csv", rows[sft + rft :])


def _write_csv(path: Path, rows: Sequence[tuple[int, Question]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Id", "Body", "Y"])
        writer.writerows([number, question.body, question.label] for number, question in rows)


def _body(kind: str, random: Random) -> str:
    words = {
        "language": random.choice(_LANGUAGES),
        "thing": random.choice(_THINGS),
        "symbol": random.choice(_SYMBOLS),
        "call": random.choice(_CALLS),
    }
    sentences = [_sentence(kind, random) for _ in range(random.randint(4, 7))]
    if random.random() < 0.6:
        sentences.insert(random.randint(1, len(sentences)), random.choice(_CODE))
    lines = [random.choice(_TITLES), "", *sentences]
    line_end = random.choice(("\n", "\r\n"))
    return "\n".join(line.format(**words) for line in lines).replace("\n", line_end)


def _sentence(kind: str, random: Random) -> str:
    draw = random.random()
    if draw < _OWN_PHRASE:
        return random.choice(_LEANING[kind])
    if draw < (1 + _OWN_PHRASE) / 2:
        return random.choice(_LEANING[random.choice(LABELS)])
    return random.choice(_NEUTRAL)
