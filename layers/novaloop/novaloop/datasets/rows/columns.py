"""Which column holds which field."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from novaloop.datasets.errors import DatasetRefused, Found, Message, Setting
from novaloop.datasets.options import RowFormat


@dataclass(frozen=True)
class FormatFields:
    """The fields of a row format: what asks, what answers, and what goes with them."""

    question: str
    answers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Fields that every row has."""
        return (self.question, *self.answers, *self.others)

    @property
    def all(self) -> tuple[str, ...]:
        """Fields that a row may have."""
        return (*self.required, *self.optional)


_LOCATION = ("s3_uri", "bucket_owner")
MEDIUM_FORMATS = ("image_format", "video_format")
MEDIUM_FIELDS = (*MEDIUM_FORMATS, *_LOCATION)
FIELDS: Mapping[RowFormat, FormatFields] = {
    RowFormat.SFT: FormatFields(
        "question",
        ("answer",),
        optional=("system", "reasoning_text", *MEDIUM_FIELDS),
    ),
    RowFormat.RFT: FormatFields("question", ("answer",), optional=("system", "id", "tools")),
    RowFormat.EVALUATION: FormatFields(
        "question", ("answer",), optional=("system", "metadata", "images")
    ),
    RowFormat.DPO: FormatFields(
        "prompt", ("preferred", "non_preferred"), optional=("system", "image_format", *_LOCATION)
    ),
    RowFormat.CPT: FormatFields("text"),
    RowFormat.LLM_JUDGE: FormatFields("prompt", ("response_A", "response_B")),
    RowFormat.RFT_MULTITURN: FormatFields(
        "prompt", others=("id",), optional=("answer", "task", "info")
    ),
    RowFormat.RFT_MULTITURN_SERVERLESS: FormatFields("prompt"),
    RowFormat.REFERENCE: FormatFields("question", ("answer",), optional=("system", "id", "images")),
}
# Names of the same fields in the formats themselves and in other common data sets.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "question": ("query",),
    "answer": ("reference_answer", "response"),
    "prompt": ("question", "query"),
    "preferred": ("chosen",),
    "non_preferred": ("rejected",),
    "response_A": ("response_a",),
    "response_B": ("response_b",),
}
# Columns are named once for all files of an experiment, so a field of one of these formats is no
# extra field of RFT. Multi-turn rows never stand beside RFT rows.
_SHARED = [fields for each, fields in FIELDS.items() if not each.startswith("rft-multiturn")]
KNOWN_NAMES = {name for fields in _SHARED for name in fields.all}
KNOWN_NAMES.update(alias for names in _ALIASES.values() for alias in names)
RESERVED = {"reward", "model_response", "aggregate_reward_score", "metrics_list"}
"""Top-level fields of RFT rows that are not a data set's: what a reward is computed by, the answer
that it is computed of, and its result."""
WEIGHTS = {
    *("weight", "weights", "sample_weight", "loss_weight"),
    *("train", "trainable", "training", "loss", "loss_mask", "mask", "masked"),
}
"""How a row, or a turn, is called by OpenAI and other trainers that is not to be trained on, or
less."""
_WEIGHED = {RowFormat.SFT, RowFormat.RFT, RowFormat.DPO}
_RFT_NAMES = {"messages", *RESERVED}
# Longer names, or more of them, are no header; comparing them would take minutes.
_MAX_COMPARED_CHARS, _MAX_COMPARED = 100, 1_000


@dataclass(frozen=True)
class FieldColumns:
    """Field names and, at the same index, the columns they are read from.

    The first field is the question, the next `answers` answer it. `extras` are the fields that
    RFT rows carry at their top level besides their own. `absent` are the columns of optional
    fields that the file does not have.
    """

    fields: tuple[str, ...]
    columns: tuple[str, ...]
    answers: int
    extras: tuple[str, ...]
    absent: frozenset[str]

    def column(self, field: str | None) -> str | None:
        """Return the user's name for a field, or their path for one that begins with a field.

        What begins with no field is a name of theirs already.
        """
        begin = re.split(r"[.\[]", field, maxsplit=1)[0] if field else ""
        if field is None or begin not in self.fields:
            return field
        return self.columns[self.fields.index(begin)] + field.removeprefix(begin)


def assign_columns(
    available: Sequence[str],
    mapping: Mapping[str, str | None],
    formats: Sequence[RowFormat],
    line: int | None = None,
    *,
    of_header: bool = True,
    labels: Collection[str] = (),
) -> FieldColumns:
    """Find the column of every field that `formats` use; raises DatasetRefused if any is missing.

    `line` is where the names stand, in a header or else in an object, for the message. By the
    `labels` a row is told that stands where the header should.
    """
    ordered = [FIELDS[each] for each in RowFormat if each in formats]
    required = dict.fromkeys(name for fields in ordered for name in fields.required)
    assigned = {name: _required(name, available, mapping) for name in required}
    optional = dict.fromkeys(name for fields in ordered for name in fields.optional)
    for name in optional:
        column = mapping.get(name, name if name in available else None)
        if column is not None:
            assigned.setdefault(name, column)
    _require_unweighted(available, assigned, mapping, formats, line)
    _complete_medium(assigned, mapping, line)
    extras = _extra_fields(mapping, line) if RowFormat.RFT in formats else {}
    assigned.update(extras)
    missing = {name: column for name, column in assigned.items() if column not in available}
    if missing:
        raise _missing_columns(missing, available, line, assigned if of_header else (), labels)
    return FieldColumns(
        tuple(assigned),
        tuple(assigned.values()),
        answers=len(ordered[0].answers),
        extras=tuple(extras),
        absent=frozenset(optional.keys() - assigned.keys() - mapping.keys() - set(_LOCATION)),
    )


def _required(name: str, available: Sequence[str], mapping: Mapping[str, str | None]) -> str:
    names = (name, *_ALIASES.get(name, ()))
    mapped = next((mapping[each] for each in names if mapping.get(each)), None)
    return mapped or next((each for each in names if each in available), name)


def _require_unweighted(
    available: Sequence[str],
    assigned: Mapping[str, str],
    mapping: Mapping[str, str | None],
    formats: Sequence[RowFormat],
    line: int | None,
) -> None:
    """Raise DatasetRefused for a column by which each row would be trained in its own way.

    Other columns that nobody asked for are left out; these would change what is learned.
    """
    taken = {*assigned.values(), *filter(None, mapping.values())}
    for column in available:
        is_known = column in taken or column in mapping
        if column == "reward" and RowFormat.RFT in formats and not is_known:
            what = "has `reward` for each row, which only rows with `messages` can bring"
            do = "write one for all rows in experiment.yaml, or leave the column out: set "
        elif column in WEIGHTS and _WEIGHED & set(formats) and not is_known:
            what = f"has `{column}` for each row, and Nova's jobs weigh all rows alike"
            do = "remove the rows that should not count, and leave the column out: set "
        else:
            continue
        setting = Setting("columns", {column: "null"})
        raise DatasetRefused("reserved-field", what, (do, setting), line=line)


_LONGEST_NAME, _MOST_WORDS = 60, 5
"""A cell with more characters, or more words, is a text and no name of a column."""
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)*")


def _row_not_header(cells: Sequence[str], labels: Collection[str]) -> str:
    """Say by which cell a line is known to be a row, without what stands there; empty if by none.

    A guess only on the safe side: whoever is told so has no column that was asked for, either.
    """
    for number, cell in enumerate(map(str.strip, cells), 1):
        if _NUMBER.fullmatch(cell):
            return f"cell {number} is a number"
        if cell in labels:
            return f"cell {number} is a label"
        if len(cell) > _LONGEST_NAME or len(cell.split()) > _MOST_WORDS or "\n" in cell:
            return f"cell {number} is a text of {len(cell):,} characters"
    return ""


def _missing_columns(
    missing: Mapping[str, str],
    available: Sequence[str],
    line: int | None,
    of_header: Collection[str],
    labels: Collection[str],
) -> DatasetRefused:
    """Return what tells of every column at once; of those `of_header`, if the names are one's."""
    has_none = len(missing) == len(of_header)
    if has_none and (row := _row_not_header(available, labels)):
        names, found = ", ".join(map(repr, missing.values())), Found(available)
        what = f"looks like a row and not like a header: {row}"
        do: Message = f"put a line with the columns' names above it, among them {names}"
        return DatasetRefused("missing-header", what, do, line=line, found=found)
    expected = " and ".join(
        f"no column {column!r} for `{field}`" for field, column in missing.items()
    )
    hint = ""
    comparable = [name for name in available[:_MAX_COMPARED] if len(name) <= _MAX_COMPARED_CHARS]
    folded = {name.strip().casefold() for name in comparable}
    if any(column.strip().casefold() in folded for column in missing.values()):
        hint = "a name differs by case or spaces only; "
    near = [
        name
        for column in missing.values()
        for name in get_close_matches(column, comparable, 1, 0.6)
    ]
    what = f"{expected} among the {len(available):,} of the line"
    columns = Setting("columns", dict.fromkeys(missing, "..."))
    or_header = ", or put a header above the line if it is a row" if has_none else ""
    do = (f"{hint}set ", columns, or_header)
    found = Found(available, near[0] if near else None)
    return DatasetRefused("missing-column", what, do, line=line, found=found)


def _complete_medium(
    assigned: dict[str, str], mapping: Mapping[str, str | None], line: int | None
) -> None:
    """See to it that a row's medium has one format, a URI and an owner, or that there is none."""
    formats = [name for name in MEDIUM_FORMATS if name in assigned]
    if len(formats) > 1:
        do = "set `image_format` or `video_format` to null"
        raise DatasetRefused("medium", "a file has images or videos", do, line=line)
    for name in _LOCATION:
        if formats and name not in assigned:
            assigned[name] = mapping.get(name) or name
        if not formats and name in assigned:
            if mapping.get(name):
                what = f"`{name}` needs `image_format` or `video_format`"
                raise DatasetRefused("medium", what, "map one of them too", line=line)
            del assigned[name]


def _extra_fields(mapping: Mapping[str, str | None], line: int | None) -> dict[str, str]:
    extras = {name: column for name, column in mapping.items() if column}
    if clash := _RFT_NAMES & extras.keys():
        used = f" can't set {clash.pop()!r}, which RFT rows use themselves"
        raise DatasetRefused("reserved-field", (Setting("columns"), used), "rename it", line=line)
    return {name: column for name, column in extras.items() if name not in KNOWN_NAMES}
