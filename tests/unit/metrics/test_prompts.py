"""The question is read out of a prompt in every form in which a job may write one."""

from __future__ import annotations

import json

import pytest

from novaloop.metrics.prompts import read_prompt

QUESTION = "what's \"this\",\nand \\n? [{'role': 'user'}]"
SYSTEM = "Be brief.\nIt's an order."
TURNS = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
PARTS = [
    {"role": "system", "content": [{"text": SYSTEM}]},
    {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
]


@pytest.mark.parametrize("turns", [TURNS, PARTS])
@pytest.mark.parametrize("write", [str, json.dumps, lambda turns: json.dumps(turns, indent=2)])
def test_a_conversation_is_its_question_and_its_system_prompt(write: type, turns: list) -> None:
    assert read_prompt(write(turns)) == (SYSTEM, QUESTION)


def test_a_conversation_may_have_no_system_prompt() -> None:
    assert read_prompt(str(TURNS[1:])) == ("", QUESTION)


def test_of_several_turns_each_says_whose_it_is() -> None:
    turns = [*TURNS, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "why?"}]
    assert read_prompt(str(turns)) == (SYSTEM, f"user: {QUESTION}\n\nassistant: yes\n\nuser: why?")


def test_what_is_no_text_is_named_by_its_kind() -> None:
    content = [{"image": {"format": "png", "source": {"bytes": "A" * 999}}}, {"text": "which?"}]
    images = [{"type": "image_url", "image_url": {"url": "data:…"}}, *content[1:]]
    assert read_prompt(json.dumps([{"role": "user", "content": content}])) == (
        "",
        "[image]\nwhich?",
    )
    assert read_prompt(str([{"role": "user", "content": images}])) == ("", "[image_url]\nwhich?")


@pytest.mark.parametrize(
    "text",
    [
        "a plain question",
        "",
        "[",
        "[1, 2]",
        "[]",
        "[{}]",
        "[{'role': 'user'}]",
        "[{'role': 'user', 'content': 5}]",
        "[{'role': 'user', 'content': []}]",
        "[{'role': ['user'], 'content': 'x'}]",
        "[{'role': 'user', 'content': 'cut off",
        "[{'role': 'user', 'content': open('x')}]",
        "[" * 5000,
        "[" + "1" * 5000 + "]",
        "[-" * 50_000,
        "['\x00']",
        "[{'role': 'user', 'content': '\ud800'}, 1]",
    ],
)
def test_what_is_no_conversation_stays_as_it_is(text: str) -> None:
    assert read_prompt(text) == ("", text)


def test_a_conversation_of_the_system_alone_stays_as_it_is() -> None:
    assert read_prompt(str(TURNS[:1])) == ("", str(TURNS[:1]))
