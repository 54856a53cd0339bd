"""The reward types: how good an answer is, from -1 (wrong) to 1 (right).

Each scorer takes the answer (solution markers stripped), the sample's `reference_answer` and the
sample's `reward` settings, and returns (score, whether the answer had the form asked for). It
raises UnusableSampleError when settings or reference can't be used. What was thought before an
answer does not count (`answers.py`), but for `regex` and `custom`, which may ask for it.

    {"type": "label", "labels": [...], "reading": "lenient" | "strict"}
    {"type": "exact"}                                 normal form and kind of space don't count
    {"type": "numeric", "tolerance": 0.01}            absolute; which number counts: `numeric.py`
    {"type": "regex", "pattern": "..."}               group 1 of the first match, if any, must equal
                                                      the reference; see `patterns.py` for how far
    {"type": "json", "schema": {...}}                 a subset of JSON Schema, see `schema.py`
    {"type": "f1"}                                    2 * F1 - 1 over distinct lower-case words
    {"type": "weighted", "parts": [{"weight": 3, "reward": {...}}, ...]}
    {"type": "custom", "name": "...", "settings": {...}}  see `custom.py`

Any of them may carry `"length_penalty": {"free": 200, "per_character": 0.01, "at_most": 0.5}`:
the score falls with every character of the answer past `free`.
"""

from __future__ import annotations

import json
import math
import re

from novaloop.rewards.answers import answered, normalized
from novaloop.rewards.custom import CUSTOM_SCORERS
from novaloop.rewards.labels import LabelReader, label_reader
from novaloop.rewards.outcome import RIGHT, WRONG, UnusableSampleError
from novaloop.rewards.patterns import RefusedPattern, compile_pattern, search
from novaloop.rewards.schema import violations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from novaloop.rewards.outcome import Outcome, Scorer

MAX_PARTS = 20
_SPACES = dict.fromkeys([0xA0, 0x2007, 0x2009, 0x202F, 0x3000], " ")
_FENCE = "```"
_LANGUAGE = re.compile(r"\w*")
_REFERENCE_KEYS = ("text", "answer", "label", "response", "value")


def reference_text(reference: object) -> str:
    """The text of a reference answer: a string, a number, a truth, or an object that holds one."""
    if isinstance(reference, str):
        return reference.strip()
    if isinstance(reference, dict):
        for key in (*_REFERENCE_KEYS, *(reference if len(reference) == 1 else ())):
            if isinstance(reference.get(key), str):
                return str(reference[key]).strip()
    if isinstance(reference, bool):
        return str(reference).lower()
    if isinstance(reference, int | float):
        return str(reference)
    raise UnusableSampleError("reference_answer is no text and holds none")


def score_label(answer: str, reference: object, settings: Mapping[str, Any]) -> Outcome:
    """Right when the answer names the reference's label."""
    reader = _reader(settings)
    expected = reader.strict(reference_text(reference))
    if expected is None:
        raise UnusableSampleError("reference_answer is none of reward.labels")
    named = _named_label(reader, answer, settings)
    return (RIGHT if named == expected else WRONG), named is not None


def _reader(settings: Mapping[str, Any]) -> LabelReader:
    try:
        return label_reader(tuple(settings["labels"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnusableSampleError("reward.labels must be a list of distinct labels") from error


def _named_label(reader: LabelReader, answer: str, settings: Mapping[str, Any]) -> str | None:
    return reader.strict(answer) if settings.get("reading") == "strict" else reader.lenient(answer)


def score_exact(answer: str, reference: object, _settings: Mapping[str, Any]) -> Outcome:
    """Right when the answer equals the reference, or one of a list of them.

    White space around it, its normal form in Unicode and kinds of spaces don't count.
    """
    several = isinstance(reference, list) and reference
    accepted = map(reference_text, several or [reference])
    given = _spelled(answered(answer))
    right = given in {_spelled(text) for text in accepted}
    return (RIGHT if right else WRONG), given != ""


def _spelled(text: str) -> str:
    return text if text.isascii() else normalized(text, "NFC").translate(_SPACES).strip()


def score_numeric(answer: str, reference: object, settings: Mapping[str, Any]) -> Outcome:
    """Right when the number of the answer is within `tolerance` of the reference's."""
    expected = _number_of(reference_text(reference))
    if expected is None:
        hint = "write it as 1234.5 or 1,234.5, and one alone"
        raise UnusableSampleError(f"reference_answer holds no number that is read; {hint}")
    found = _number_of(answered(answer))
    if found is None:
        return WRONG, False
    tolerance = _number(settings.get("tolerance", 0.0), "reward.tolerance")
    close = math.isclose(found, expected, rel_tol=1e-9, abs_tol=max(0.0, tolerance))
    return (RIGHT if close else WRONG), True


def _number_of(text: str) -> float | None:
    # Its patterns take as long to compile as the other scorers together.
    from novaloop.rewards.numeric import number_of  # noqa: PLC0415

    return number_of(text)


def score_regex(answer: str, reference: object, settings: Mapping[str, Any]) -> Outcome:
    """Right when the pattern is found and its group 1, if it has one, equals the reference."""
    found = _found(answer, settings)
    if found is None:
        return WRONG, False
    right = not _compiled(settings).groups or found == reference_text(reference)
    return (RIGHT if right else WRONG), True


def _found(answer: str, settings: Mapping[str, Any]) -> str | None:
    """Group 1 of the pattern, if it has one, else what it matches; None where it isn't found."""
    pattern = _compiled(settings)
    match = search(pattern, answer)
    return match and (match[1 if pattern.groups else 0] or "").strip()


def _compiled(settings: Mapping[str, Any]) -> re.Pattern[str]:
    pattern = settings.get("pattern")
    if not isinstance(pattern, str):
        raise UnusableSampleError("reward.pattern must be a regular expression")
    try:
        return compile_pattern(pattern)
    except RefusedPattern as problem:
        raise UnusableSampleError(f"reward.pattern: {problem}") from problem


def score_json(answer: str, _reference: object, settings: Mapping[str, Any]) -> Outcome:
    """Right when the answer, a fence around it aside, is JSON that fits the schema.

    NaN, Infinity and keys that stand twice are no JSON.
    """
    try:
        value = json.loads(
            _unfenced(answered(answer)), parse_constant=_refuse, object_pairs_hook=_object
        )
    except (ValueError, RecursionError):
        return WRONG, False
    try:
        fits = not violations(value, settings.get("schema", {}))
    except ValueError as error:
        raise UnusableSampleError(f"reward.schema: {error}") from error
    return (RIGHT if fits else WRONG), fits


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """What has a key twice says two things: RFC 8259 leaves open which of them counts."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice")
    return value


def _unfenced(answer: str) -> str:
    fenced = answer.startswith(_FENCE) and answer.endswith(_FENCE)
    if not fenced or len(answer) < 2 * len(_FENCE):
        return answer
    return _LANGUAGE.sub("", answer[len(_FENCE) : -len(_FENCE)], count=1).strip()


def score_f1(answer: str, reference: object, _settings: Mapping[str, Any]) -> Outcome:
    """2 * F1 - 1, with F1 over the sets of lower-case words."""
    expected = set(reference_text(reference).lower().split())
    found = set(answered(answer).lower().split())
    if not expected:
        raise UnusableSampleError("reference_answer is empty")
    overlap = len(expected & found)
    return 4 * overlap / (len(expected) + len(found)) - 1, bool(found)


def score_weighted(answer: str, reference: object, settings: Mapping[str, Any]) -> Outcome:
    """The weighted mean of the parts; of the right form when every part is."""
    parts = settings.get("parts")
    if not isinstance(parts, list) or not 0 < len(parts) <= MAX_PARTS:
        raise UnusableSampleError(f"reward.parts must be a list of 1 to {MAX_PARTS} rewards")
    total = weights = 0.0
    well_formed = True
    for part in parts:
        weight, reward = _weighted_part(part)
        score, fits = score_answer(answer, reference, reward)
        total += weight * score
        weights += weight
        well_formed = well_formed and fits
    return total / weights, well_formed


def _weighted_part(part: object) -> tuple[float, Mapping[str, Any]]:
    reward = part.get("reward") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(reward, dict):
        raise UnusableSampleError("reward.parts[] must hold weight and reward")
    if reward.get("type") == "weighted":
        raise UnusableSampleError("a weighted reward can't hold another one")
    weight = _number(part.get("weight", 1.0), "reward.parts[].weight")
    if weight <= 0:
        raise UnusableSampleError("reward.parts[].weight must be above 0")
    return weight, reward


def score_custom(answer: str, reference: object, settings: Mapping[str, Any]) -> Outcome:
    """What the user's own scorer says, once it is a usable outcome."""
    name = settings.get("name")
    scorer = CUSTOM_SCORERS.get(name) if isinstance(name, str) else None
    if scorer is None:
        raise UnusableSampleError("reward.name is none of CUSTOM_SCORERS in rewards/custom.py")
    score, well_formed = scorer(answer, reference, settings.get("settings", {}))
    if not WRONG <= score <= RIGHT:
        raise UnusableSampleError(f"the scorer {name} returned {score}; a score is from -1 to 1")
    return float(score), bool(well_formed)


SCORERS: dict[str, Scorer] = {
    "label": score_label,
    "exact": score_exact,
    "numeric": score_numeric,
    "regex": score_regex,
    "json": score_json,
    "f1": score_f1,
    "weighted": score_weighted,
    "custom": score_custom,
}


def score_answer(answer: str, reference: object, settings: Mapping[str, Any]) -> Outcome:
    """Score an answer by `settings`; raises UnusableSampleError."""
    kind = settings.get("type", "exact")
    scorer = SCORERS.get(kind) if isinstance(kind, str) else None
    if scorer is None:
        raise UnusableSampleError(f"reward.type must be one of {', '.join(SCORERS)}")
    score, well_formed = scorer(answer, reference, settings)
    if "length_penalty" in settings:
        score -= _length_penalty(len(answer), settings["length_penalty"])
    return score, well_formed


def _length_penalty(characters: int, settings: object) -> float:
    if not isinstance(settings, dict):
        raise UnusableSampleError("reward.length_penalty must be an object")
    free, rate, at_most = (
        _number(settings.get(key, default), f"reward.length_penalty.{key}")
        for key, default in (("free", 0.0), ("per_character", 0.0), ("at_most", 1.0))
    )
    return min(max(0.0, at_most), max(0.0, (characters - free) * rate))


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9:
        raise UnusableSampleError(f"{where} must be a number")
    if not math.isfinite(value):
        raise UnusableSampleError(f"{where} must be finite")
    return float(value)


def read_answer(answer: str, settings: Mapping[str, Any]) -> str | None:
    """What a scorer takes of an answer: label, number, group, JSON; None if it finds nothing.

    Raises UnusableSampleError.
    """
    match settings.get("type"):
        case "label":
            return _named_label(_reader(settings), answer, settings)
        case "numeric":
            number = _number_of(answered(answer))
            return None if number is None else str(number)
        case "regex":
            return _found(answer, settings)
        case "json":
            return _unfenced(answered(answer))
    return answer
