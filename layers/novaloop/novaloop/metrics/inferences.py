"""The lines of an evaluation job's `inference_output.jsonl`: prompt, inference, gold, metadata."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from novaloop.metrics.calibration import log_probabilities
from novaloop.metrics.prompts import read_prompt, write_prompt
from novaloop.rewards.answers import strip_solution_markers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class InferenceError(ValueError):
    """A line that can't be scored: says which and why, never what it holds."""


@dataclass(frozen=True, slots=True)
class Inference:
    """One evaluated row; `key` identifies it in every stage of an experiment.

    question: a hash of the prompt, equal for rows that ask the same. log_probabilities: of the
    answer's tokens, where the line holds them. is_missing: whether there is no answer; it counts
    as an empty one.
    """

    line: int
    key: int
    prompt: str
    prediction: str
    gold: str
    question: int
    other_predictions: int = 0
    log_probabilities: Sequence[float] = ()
    is_missing: bool = False


def read_inferences(
    lines: Iterable[bytes], *, however_written: bool = False
) -> Iterator[Inference]:
    """Parse lines in order, blank ones skipped; raises InferenceError.

    Keys are 64-bit hashes of prompt, gold and occurrence, so they survive reordering.
    however_written: the same conversation is the same prompt, in whatever form a job writes it.
    """
    occurrences: Counter[bytes] = Counter()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _inference(line, number, occurrences, however_written=however_written)


def _inference(
    line: bytes, number: int, occurrences: Counter[bytes], *, however_written: bool
) -> Inference:
    fields = read_object(line, number)
    prompt = _prompt(fields, number)
    if however_written:
        prompt = write_prompt(*read_prompt(prompt))
    is_missing = "inference" in fields and fields["inference"] in (None, [None])
    prediction, others = ("", 0) if is_missing else _text(fields, "inference", number)
    gold, other_golds = _text(fields, "gold", number)
    if other_golds:
        raise InferenceError(f"line {number}: has several gold answers; one is supported")
    return Inference(
        line=number,
        key=key_of(prompt, gold, occurrences),
        prompt=prompt,
        prediction=strip_solution_markers(prediction),
        gold=gold,
        question=hash_of(prompt),
        other_predictions=others,
        log_probabilities=log_probabilities(fields),
        is_missing=is_missing,
    )


def key_of(prompt: str, gold: str, occurrences: Counter[bytes]) -> int:
    """Return what identifies a row by its content, and count it."""
    digest = _digest(prompt, gold)
    occurrences[digest] += 1
    return hash_of(digest.hex(), str(occurrences[digest]))


def read_object(line: bytes, number: int) -> dict[str, object]:
    """Read the JSON object of a line; raises InferenceError."""
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


def hash_of(*texts: str) -> int:
    """Return a 64-bit hash of texts."""
    return int.from_bytes(_digest(*texts))


def _digest(*texts: str) -> bytes:
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=8).digest()
