"""Which column holds which field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from .errors import DatasetRefused
from .options import RowFormat

QUESTION = "question"
ANSWER = "answer"
OPTIONAL_FIELDS: Mapping[RowFormat, tuple[str, ...]] = {
    RowFormat.SFT: ("system", "reasoning_text"),
    RowFormat.RFT: ("system", "id"),
    RowFormat.EVALUATION: ("system", "metadata", "images"),
}
# The names that the formats themselves use for the two required fields.
_ALIASES = {QUESTION: ("query",), ANSWER: ("reference_answer", "response")}
_RFT_NAMES = {"messages", "reference_answer", "reward", "tools"}
_MAX_NAMES_IN_MESSAGE = 20


@dataclass(frozen=True)
class FieldColumns:
    """Field names and, at the same index, the columns they are read from; question, answer first.

    `extras` are the fields that RFT rows carry at their top level besides their own.
    """

    fields: tuple[str, ...]
    columns: tuple[str, ...]
    extras: tuple[str, ...]

    def column(self, field: str | None) -> str | None:
        """Return the user's name for a field."""
        return self.columns[self.fields.index(field)] if field in self.fields else None


def assign_columns(
    available: Sequence[str],
    mapping: Mapping[str, str | None],
    formats: Sequence[RowFormat],
    line: int | None = None,
) -> FieldColumns:
    """Find the column of every field that `formats` use; raises DatasetRefused if one is missing.

    `line` is where the names stand, for the message.
    """
    optional = dict.fromkeys(name for each in formats for name in OPTIONAL_FIELDS[each])
    assigned = {name: _required(name, available, mapping, line) for name in (QUESTION, ANSWER)}
    for name in optional:
        column = mapping.get(name, name if name in available else None)
        if column is not None:
            assigned[name] = _existing(name, column, available, line)
    extras = _extra_fields(mapping, line) if RowFormat.RFT in formats else {}
    for name, column in extras.items():
        assigned[name] = _existing(name, column, available, line)
    return FieldColumns(tuple(assigned), tuple(assigned.values()), tuple(extras))


def _required(
    name: str, available: Sequence[str], mapping: Mapping[str, str | None], line: int | None
) -> str:
    names = (name, *_ALIASES[name])
    mapped = next((mapping[each] for each in names if mapping.get(each)), None)
    found = mapped or next((each for each in names if each in available), name)
    return _existing(name, found, available, line)


def _existing(field: str, column: str, available: Sequence[str], line: int | None) -> str:
    if column in available:
        return column
    near = get_close_matches(column, available, 1, 0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"set `columns: {{{field}: ...}}`."
    shown = ", ".join(repr(name) for name in available[:_MAX_NAMES_IN_MESSAGE])
    more = ", ..." if len(available) > _MAX_NAMES_IN_MESSAGE else ""
    message = f"no column {column!r} for `{field}`; {hint} Columns: {shown}{more}"
    raise DatasetRefused("missing-column", message, line=line, column=column)


def _extra_fields(mapping: Mapping[str, str | None], line: int | None) -> dict[str, str]:
    own = {QUESTION, ANSWER, *(alias for names in _ALIASES.values() for alias in names)}
    own.update(name for names in OPTIONAL_FIELDS.values() for name in names)
    extras = {name: column for name, column in mapping.items() if column and name not in own}
    if clash := _RFT_NAMES & extras.keys():
        message = f"`columns:` can't set {clash.pop()!r}, which RFT rows use themselves; rename it"
        raise DatasetRefused("reserved-field", message, line=line)
    return extras
