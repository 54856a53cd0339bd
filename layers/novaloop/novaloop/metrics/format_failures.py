"""Why an answer is not simply a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novaloop.metrics.results import FormatFailure

if TYPE_CHECKING:
    from novaloop.rewards.labels import LabelReader


def format_failure(answer: str, reader: LabelReader) -> FormatFailure | None:
    """The failure of an answer; None for a label."""
    if reader.strict(answer) is not None:
        return None
    bare = _bare(answer)
    if not bare:
        return FormatFailure.EMPTY
    labels = reader.labels
    if answer.strip().casefold() in {label.casefold() for label in labels}:
        return FormatFailure.CASE
    if bare in map(_bare, labels):
        return FormatFailure.PUNCTUATION
    if reader.lenient(answer) is not None:
        return FormatFailure.EXTRA_PROSE
    return FormatFailure.NO_LABEL if answer.split()[1:] else FormatFailure.OTHER_LABEL


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
