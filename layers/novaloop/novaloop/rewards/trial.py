"""Whether a reward can be earned with a row's reference: told before a training pays for it."""

from __future__ import annotations

import json

from novaloop.rewards.outcome import RIGHT, UnusableSampleError
from novaloop.rewards.patterns import group_1, reach_of
from novaloop.rewards.reward import EXACT, generated_answer
from novaloop.rewards.scorers import reference_text, score_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Settings = Mapping[str, Any]

_FULL = RIGHT - 1e-9
_OWN = "custom"
_COMPARING = {"exact", "f1"}
"""The types for which it depends on the reference what an empty answer earns."""
_WHITE = ("", " ", "\n", "\t")
"""What a group may ask for around the text that it holds, where it doesn't count."""


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
        self._tried_whole = False
        self._penalised = "length_penalty" in self._whole and self._whole.get("type") not in {
            "weighted",
            "regex",
            _OWN,
        }

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
            return self._why_penalised(reference) if self._penalised else None
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
        if kind in {"json", "regex"} and (reference is None or self._asks_apart):
            return None  # It asks for a form alone, which the reference need not have.
        if score_answer(_answer(reference, kind), reference, part)[0] < _FULL:
            return f"the reference, given as the answer, earns less than the full reward {kind}"
        return None

    def _why_penalised(self, reference: object) -> str | None:
        answers = "", _answer(reference, self._whole.get("type"))
        empty, right = (score_answer(each, reference, self._whole)[0] for each in answers)
        if right <= empty:
            return "by length_penalty, the reference earns no more than an empty answer"
        return None


def _why_not_captured(text: str, pattern: str) -> str | None:
    group, reach = group_1(pattern), reach_of(pattern)
    if len(text) > reach:
        return f"it is longer than the {reach:,} characters that the pattern looks at"
    if group and not any(group.fullmatch(a + text + b) for a in _WHITE for b in _WHITE):
        return "group 1 of the pattern can't be the reference"
    return None


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
