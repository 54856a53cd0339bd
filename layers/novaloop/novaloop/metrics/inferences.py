"""The lines of an evaluation job's `inference_output.jsonl`: prompt, inference, gold, metadata."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from novaloop.metrics.calibration import log_probabilities
from novaloop.rewards.answers import strip_solution_markers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class InferenceError(ValueError):
    """A line that can't be scored: says which and why, never what it holds."""


@dataclass(frozen=True, slots=True)
class Inference:
    """One evaluated row; `key` identifies it in every stage of an experiment.

    question: a hash of the prompt, equal for rows that ask the same. log_probabilities: of the
    answer's tokens, where the line holds them.
    """

    line: int
    key: int
    prompt: str
    prediction: str
    gold: str
    question: int
    other_predictions: int = 0
    log_probabilities: Sequence[float] = ()


def read_inferences(lines: Iterable[bytes]) -> Iterator[Inference]:
    """Parse lines in order, blank ones skipped; raises InferenceError.

    Keys are 64-bit hashes of prompt, gold and occurrence, so they survive reordering.
    """
    occurrences: Counter[bytes] = Counter()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _inference(line, number, occurrences)


def _inference(line: bytes, number: int, occurrences: Counter[bytes]) -> Inference:
    fields = _object(line, number)
    prompt = _prompt(fields, number)
    prediction, others = _text(fields, "inference", number)
    gold, other_golds = _text(fields, "gold", number)
    if other_golds:
        raise InferenceError(f"line {number}: has several gold answers; one is supported")
    digest = _digest(prompt, gold)
    occurrences[digest] += 1
    key = int.from_bytes(_digest(digest.hex(), str(occurrences[digest])))
    answer = strip_solution_markers(prediction)
    question = int.from_bytes(_digest(prompt))
    tokens = log_probabilities(fields)
    return Inference(number, key, prompt, answer, gold, question, others, tokens)


def _object(line: bytes, number: int) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise InferenceError(f"line {number}: is no valid JSON in UTF-8") from None
    if not isinstance(fields, dict):
        raise InferenceError(f"line {number}: is no JSON object")
    return fields


def _prompt(fields: dict[str, object], number: int) -> str:
    prompt = fields.get("prompt", fields.get("query"))
    if prompt is None:
        raise InferenceError(f"line {number}: has no field prompt")
    return prompt if isinstance(prompt, str) else json.dumps(prompt, sort_keys=True)


def _text(fields: dict[str, object], name: str, number: int) -> tuple[str, int]:
    """The text of a field that holds a text or a list of them, and how many more it holds."""
    value = fields.get(name)
    values = value if isinstance(value, list) else [value]
    texts = [text for text in values if isinstance(text, str)]
    if not texts or len(texts) < len(values):
        raise InferenceError(f"line {number}: field {name} is missing or holds no text")
    return texts[0], len(texts) - 1


def _digest(*texts: str) -> bytes:
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=8).digest()
