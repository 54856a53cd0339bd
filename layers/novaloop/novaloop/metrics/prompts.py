"""The question in a prompt: evaluation jobs write a whole conversation, as Python shows it."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from novaloop.typed import adapter

_SYSTEM = "system"


@dataclass(frozen=True)
class _Turn:
    """One turn of a chat; its content is a text, or the parts of Converse or of OpenAI."""

    role: str
    content: str | list[dict[str, Any]]

    @property
    def text(self) -> str:
        """What is no text is named, as `[image]` or `[image_url]`."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(
            str(part["text"]) if "text" in part else f"[{part.get('type') or next(iter(part), '')}]"
            for part in self.content
        )


def read_prompt(prompt: str) -> tuple[str, str]:
    """Return the system prompt, "" without one, and the question of an answer's prompt.

    gen_qa's `inference_output.jsonl` holds `str(messages)`, with system prompt, quotes and escapes;
    a list of messages is read from JSON, too. Of several turns, each begins with its role. What is
    no conversation is returned as it is, as the question.
    """
    turns = _turns(prompt)
    asked = [turn for turn in turns if turn.role != _SYSTEM]
    if not any(turn.text for turn in asked):
        return "", prompt
    system = "\n".join(turn.text for turn in turns if turn.role == _SYSTEM)
    if len(asked) == 1:
        return system, asked[0].text
    return system, "\n\n".join(f"{turn.role}: {turn.text}" for turn in asked)


def write_prompt(system: str, question: str) -> str:
    """Return a question as gen_qa's `inference_output.jsonl` writes it."""
    turns = [{"role": _SYSTEM, "content": system}] if system else []
    return str([*turns, {"role": "user", "content": question}])


def _turns(prompt: str) -> list[_Turn]:
    if not prompt.startswith("["):
        return []
    for read in (json.loads, ast.literal_eval):
        try:
            return adapter(list[_Turn]).validate_python(read(prompt))
        # A question may be any text, and literal_eval says no to one in each of these ways.
        except (ValidationError, ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return []
