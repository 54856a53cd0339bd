"""The references of RFT rows, tried against the reward: a row that can't earn it trains nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from novaloop.datasets.errors import Found, Message, RowRejected, Setting
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.reading.json_text import to_json
from novaloop.datasets.rows.encoded import NO_PAIRS, RewardedPairs
from novaloop.rewards.scorers import SCORERS
from novaloop.rewards.trial import RewardTrial

MOST_PAIRS = 256
"""Of references that are tried for one another, if the reward tells none of them apart."""
OWN_TRIED = 3
"""References that a scorer of the user's own is tried with: how long one takes, nobody knows."""
MAX_REMEMBERED = 4_096
"""References that were found good, so that labels are tried once and not in every row."""


class ReferenceTrials:
    """Tries the references of the RFT rows of a file."""

    def __init__(self, options: DatasetOptions, formats: Collection[RowFormat]) -> None:
        self._of_sft = RowFormat.SFT in formats
        self._tries = options.tries_reward
        self._of_row = options.reward is None
        self._trial = RewardTrial(options.reward, of_labels=bool(options.labels))
        self._good: set[str] = set()
        self._own: dict[str, str | None] = {}
        self._first: Any = None
        self._pairs_left = MOST_PAIRS

    def require(self, references: Sequence[Any], field: str) -> RewardedPairs:
        """Raise RowRejected unless the reward can be earned with each of the references.

        Also tells what it makes of those of other rows, as far as that was tried.
        """
        if not self._tries:
            return NO_PAIRS
        texts = {each if isinstance(each, str) else _key(each): each for each in references}
        for key, reference in texts.items():
            if key not in self._good and (why := self._why_not(self._trial, key, reference)):
                what = f"`{field}` can never earn the reward: {why}"
                do: Message = ("correct it, or choose another ", Setting("reward"))
                if self._of_sft:
                    stage = ", or leave the rows of sft out of rft by its `include_sft_rows: false`"
                    do = (*do, stage)
                raise RowRejected("reward", what, do, field=field)
        if len(self._good) < MAX_REMEMBERED:
            self._good |= texts.keys()
        return self._pairs(references)

    def _pairs(self, references: Sequence[Any]) -> RewardedPairs:
        """Try the file's first reference as the answer for others, until two are told apart."""
        pairs = NO_PAIRS
        for reference in references if self._pairs_left else ():
            if self._first is None:
                self._first = reference
            if self._pairs_left and reference != self._first:
                earned = self._trial.earns_with(self._first, reference)
                self._pairs_left = self._pairs_left - 1 if earned else 0
                pairs += NO_PAIRS if earned is None else RewardedPairs(1, int(earned))
        return pairs

    def require_row(self, row: Mapping[str, Any]) -> RewardedPairs:
        """As require, of one formatted row, which may bring a reward of its own."""
        reference = row.get("reference_answer")
        if not (self._of_row and "reward" in row):
            return self.require([reference], "reference_answer")
        # Where the experiment's reward is not known, a reward such as the stack's function takes is
        # tried nevertheless; a function of the user's own may get any other.
        own = row["reward"]
        if self._tries or (isinstance(own, dict) and own.get("type") in list(SCORERS)):
            trial = RewardTrial(own)
            why = self._why_not(trial, _key(reference), reference)
            if why := why or trial.why_meaningless():
                # It may quote the row's own settings, such as a pattern: that is text of the file.
                what = "its own `reward` can't be earned by its reference"
                raise RowRejected("reward", what, "correct it", field="reward", found=Found([why]))
        return NO_PAIRS

    def _why_not(self, trial: RewardTrial, key: str, reference: object) -> str | None:
        if not isinstance(reference, str):
            reference = json.loads(key)  # as the reward function reads a number of any size
        why = trial.why_never(reference)
        if why is None and trial.asks_own:
            if len(self._own) < OWN_TRIED and key not in self._own:
                self._own[key] = trial.why_own_fails(reference)
            why = self._own.get(key)
        return why


def _key(reference: object) -> str:
    return to_json(reference).decode()
