"""Whether a reward can be earned with a row's reference: told before a training pays for it."""

from __future__ import annotations

import json
from itertools import islice

from novaloop.rewards.examples import UNRELATED, json_examples, pattern_frames
from novaloop.rewards.outcome import RIGHT, WRONG, UnusableSampleError
from novaloop.rewards.patterns import compile_pattern, group_1, reach_of, search
from novaloop.rewards.reward import EXACT, generated_answer
from novaloop.rewards.scorers import reference_text, score_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Settings = Mapping[str, Any]

_FULL = RIGHT - 1e-9
_SHARED = WRONG + 1e-9
"""More than this is earned by a word that is shared: a form may ask for other words beside it."""
_OWN = "custom"
_COMPARING = {"exact", "f1"}
"""The types for which it depends on the reference what an empty answer earns."""
_FORMS = {"json", "regex"}
_WHITE = ("", " ", "\n", "\t")
"""What a group may ask for around the text that it holds, where it doesn't count."""
_REFERENCE, _IN_QUOTES = "\ue000", "\ue001"
"""Where a reference belongs in an answer; characters that no text has."""
_MOST_WAYS = 100
"""In how many ways an answer is put together that is to earn all parts of a weighted reward."""


class RewardTrial:
    """Tries one reward with references given as answers, and with an empty answer.

    `settings` are what a row carries as `reward`; None stands for equality, as in scoring.
    `of_labels`: the references are labels, whatever form of answer a reward asks for. Of what a
    reference holds no message tells anything.
    """

    def __init__(self, settings: object, *, of_labels: bool = False) -> None:
        self._wrong = None if isinstance(settings, dict | None) else "reward must be an object"
        self._whole: Settings = settings if isinstance(settings, dict) else EXACT
        self._parts = [_without_penalty(each) for each in _parts(self._whole)]
        self._asks_apart = of_labels or len(self._parts) > 1
        self._tried_empty: set[str] = set()
        self._ways: list[str] | None = None
        self._tried_whole = False
        self._penalised = "length_penalty" in self._whole and self._whole.get("type") not in {
            "weighted",
            "regex",
            _OWN,
        }

    def why_meaningless(self) -> str | None:
        """Why a form that is asked for is met by no answer, or by any; None if all is well."""
        return next(filter(None, map(why_meaningless, self._parts)), None)

    @property
    def asks_own(self) -> bool:
        """Whether a scorer of `custom.py` takes part: what is right for it, only it knows."""
        return any(each.get("type") == _OWN for each in self._parts)

    def why_never(self, reference: object) -> str | None:
        """Why no answer earns the full reward, or an empty one does; None if all is well.

        A user's own scorers are left out.
        """
        if self._wrong:
            return self._wrong
        try:
            if not (self._tried_whole or self.asks_own):  # what is no setting, scoring tells
                score_answer("", reference, self._whole)
                self._tried_whole = True
            for part in self._parts:
                if part.get("type") != _OWN and (why := self._why_not_by(part, reference)):
                    return why
            return self._why_penalised(reference) or self._why_not_together(reference)
        except UnusableSampleError as problem:
            return str(problem)

    def why_own_fails(self, reference: object) -> str | None:
        """Why a user's own scorer can't score a reference given as the answer; None if it can.

        Tells the kind of an error and not its message, in which text of the row may stand.
        """
        for part in self._parts:
            if part.get("type") == _OWN:
                try:
                    score_answer(_answer(reference, _OWN), reference, part)
                except Exception as problem:  # whatever a user's own scorer raises
                    return f"the scorer {part.get('name')} raises {type(problem).__name__}"
        return None

    def _why_not_by(self, part: Settings, reference: object) -> str | None:
        kind = str(part.get("type", "exact"))
        if kind not in self._tried_empty:
            if score_answer("", reference, part)[0] > _FULL:
                return f"an empty answer earns the full reward {kind}"
            if kind not in _COMPARING and len(self._parts) == 1:
                self._tried_empty.add(kind)
        if kind == "regex" and group_1(part["pattern"]):
            return _why_not_captured(reference_text(reference), part["pattern"])
        if kind in _FORMS and (reference is None or self._asks_apart):
            return None  # It asks for a form alone, which the reference need not have.
        if score_answer(_answer(reference, kind), reference, part)[0] < _FULL:
            return f"the reference, given as the answer, earns less than the full reward {kind}"
        return None

    def _why_penalised(self, reference: object) -> str | None:
        if not self._penalised:
            return None
        answers = "", _answer(reference, self._whole.get("type"))
        empty, right = (score_answer(each, reference, self._whole)[0] for each in answers)
        if right <= empty:
            return "by length_penalty, the reference earns no more than an empty answer"
        return None

    def _why_not_together(self, reference: object) -> str | None:
        """Why no answer is right for all parts: one is looked for that holds the reference."""
        if len(self._parts) < 2 or self.asks_own or reference is None:
            return None
        text = _answer(reference, _OWN)
        if self._ways is None:
            self._ways = _ways(self._parts)
        if not self._ways:
            return None
        for at, way in enumerate(self._ways):
            answer = way.replace(_IN_QUOTES, json.dumps(text)[1:-1]).replace(_REFERENCE, text)
            if self._earns_all(answer, reference, _SHARED):
                self._ways.insert(0, self._ways.pop(at))  # the next row's is probably the same
                return None
        return "the parts contradict one another: no answer was found that is right for all of them"

    def earns_with(self, answer: object, reference: object) -> bool | None:
        """Whether one row's reference, given as the answer, is right for another row.

        None where the reward asks for a form alone, or by what rules only the user knows.
        """
        if self.asks_own or all(_asks_form(part) for part in self._parts):
            return None
        return self._earns_all(_answer(answer, self._parts[0].get("type", "exact")), reference)

    def _earns_all(self, answer: str, reference: object, words: float = _FULL) -> bool:
        """Whether each part gives the full reward; of words, more than `words` is enough."""
        return all(
            score_answer(answer, reference, part)[0]
            > (words if part.get("type") == "f1" else _FULL)
            for part in self._parts
        )


def _asks_form(part: Settings) -> bool:
    return part.get("type") == "json" or (
        part.get("type") == "regex" and not group_1(part["pattern"])
    )


def why_meaningless(settings: Settings) -> str | None:
    """Why a form that is asked for is met by no answer, or by any; None for what is no form."""
    kind, settings = settings.get("type"), _without_penalty(settings)
    if kind == "regex":
        group = group_1(settings["pattern"])
        frames = pattern_frames(settings["pattern"])
        if frames is not None and not frames:
            return "the pattern is found in no answer" + (" with a text in group 1" * bool(group))
        any_earns = not group
    elif kind == "json":
        any_earns = True
        if not json_examples(settings.get("schema", {})):
            return "no JSON fits the schema"
    else:
        return None
    if any_earns and all(score_answer(each, "", settings)[0] > _FULL for each in UNRELATED):
        return f"any answer earns the full reward {kind}"
    return None


def _why_not_captured(text: str, pattern: str) -> str | None:
    group, reach = group_1(pattern), reach_of(pattern)
    if len(text) > reach:
        return f"it is longer than the {reach:,} characters that the pattern looks at"
    spaced = [a + text + b for a in _WHITE for b in _WHITE]
    held = [each for each in spaced if group and group.fullmatch(each)]
    if not held:
        return "group 1 of the pattern can't be the reference"
    frames, compiled = pattern_frames(pattern), compile_pattern(pattern)
    if not frames:
        return None  # Nothing is known of the pattern, or `why_meaningless` says it.
    for before, behind in frames:
        for each in held:
            match = search(compiled, before + each + behind)
            if match and (match[1] or "").strip() == text:
                return None
    return "group 1 of the pattern's first match is never the whole reference"


def _ways(parts: list[Settings]) -> list[str]:
    """Return answers that have all of the forms asked for, with places for a reference.

    None where a form can't be met, which `why_meaningless` tells.
    """
    if any(map(why_meaningless, parts)):
        return []
    ways = [_REFERENCE]
    for order in (parts, parts[::-1]):
        nested = [_REFERENCE]
        for part in order:
            around = list(_around(part))
            both = (
                way
                for inner in nested
                for outer in around
                for way in (outer.replace(_REFERENCE, inner), inner.replace(_REFERENCE, outer))
            )
            nested += islice(both, _MOST_WAYS)
        ways += nested
    return list(dict.fromkeys(ways))


def _around(part: Settings) -> Iterator[str]:
    if part.get("type") == "regex":
        for before, behind in pattern_frames(part["pattern"]) or ():
            yield f"{before}{_REFERENCE}{behind}"
            yield f"<think>{before}{_REFERENCE}{behind}</think>{_REFERENCE}"
            yield f"<think>{before}{behind}</think>{_REFERENCE}"
    elif part.get("type") == "json":
        for example in json_examples(part.get("schema", {})):
            for value in _with_place(example):
                text = json.dumps(value, ensure_ascii=False)
                yield text
                yield text.replace(f'"{_IN_QUOTES}"', _REFERENCE)


def _with_place(value: object) -> Iterator[object]:
    """Yield a value of JSON with a place for a reference where a part of it was, or added."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from ({**value, name: each} for each in _with_place(part))
        yield {**value, "answer": _IN_QUOTES}
    elif isinstance(value, list):
        for part in value[:1]:
            yield from ([each, *value[1:]] for each in _with_place(part))
        yield [*value, _IN_QUOTES]
    else:
        yield _IN_QUOTES


def _parts(settings: Settings) -> list[Settings]:
    """Return a reward, or those that a weighted one holds; what is none is told by scoring it."""
    parts = settings.get("parts") if settings.get("type") == "weighted" else None
    parts = parts if isinstance(parts, list) else []
    inner = [each.get("reward") for each in parts if isinstance(each, dict)]
    usable: list[Settings] = [each for each in inner if isinstance(each, dict)]
    return usable if usable and len(usable) == len(parts) else [settings]


def _without_penalty(settings: Settings) -> Settings:
    return {name: value for name, value in settings.items() if name != "length_penalty"}


def _answer(reference: object, kind: object) -> str:
    """Return the answer that says what a reference says, as scoring would read it.

    Raises UnusableSampleError.
    """
    if kind == "exact" and isinstance(reference, list) and reference:
        reference = reference[0]  # each of them is accepted
    as_json = kind == "json" and not isinstance(reference, str)
    as_json = as_json or (kind == _OWN and not isinstance(reference, str | int | float))
    text = json.dumps(reference, ensure_ascii=False) if as_json else reference_text(reference)
    return generated_answer({"model_response": text})
