"""Prompts out of rows in the formats of jobs, and a model's answers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from novaloop_localcloud.learner import Model, Prompt, draw, hash_prompts, sampling_distribution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from novaloop_localcloud.container import Recipe


def predictions(
    recipe: Recipe, model: Model, prompts: Sequence[Prompt], random: np.random.Generator
) -> list[str]:
    """Answer each prompt as the recipe's `inference` section says."""
    distribution = sampling_distribution(
        model.logits(hash_prompts(prompts)),
        temperature=recipe.number("inference.temperature"),
        top_k=int(recipe.number("inference.top_k")),
        top_p=recipe.number("inference.top_p"),
    )
    limit = int(recipe.number("inference.max_new_tokens"))
    drawn = draw(distribution, 1, random)[:, 0]
    return [cut(model.answers[answer], limit) for answer in drawn]


def cut(answer: str, max_new_tokens: int) -> str:
    """The answer's first tokens; a word counts as one token."""
    words = answer.split(" ")
    return answer if len(words) <= max_new_tokens else " ".join(words[:max_new_tokens])


def converse_prompt(row: Mapping[str, Any]) -> Prompt:
    """The prompt of a Converse row: all turns but the last."""
    system = " ".join(part["text"] for part in row.get("system", []))
    turns = [text_of(turn["content"]) for turn in row["messages"][:-1]]
    return Prompt(system, "\n".join(turns))


def chat_prompt(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """The prompt of a reinforcement row: all turns."""
    system = [text_of(turn["content"]) for turn in messages if turn["role"] == "system"]
    others = [text_of(turn["content"]) for turn in messages if turn["role"] != "system"]
    return Prompt("\n".join(system), "\n".join(others))


def text_of(content: Any) -> str:
    """The text of a turn's content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if "text" in part)


def preferences(row: Mapping[str, Any]) -> tuple[str, str]:
    """The preferred and the non-preferred answer of a preference row."""
    found = {
        each["preferenceLabel"]: text_of(each["content"])
        for each in row["messages"][-1]["candidates"]
    }
    return found["preferred"], found["non-preferred"]
