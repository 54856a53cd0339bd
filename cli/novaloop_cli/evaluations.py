"""Files of evaluations, whoever made them: what jobs write, row scores, and plain tables."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from novaloop.datasets.errors import DatasetRefused, Found, Wording
from novaloop.datasets.reading.decoding import read_lines
from novaloop.metrics.archive import ArchiveError, EvaluationOutput, NoAnswers, archive_members
from novaloop.metrics.flips import excerpt, read_answers
from novaloop.metrics.given import FIELDS, FieldsMissing, Given, read_given
from novaloop.metrics.inferences import InferenceError, read_inferences, read_object
from novaloop.metrics.results import Score, TaskScore
from novaloop.metrics.rows import GivenScores, RowScores, RowsError, row_name
from novaloop.metrics.score import (
    score_answers,
    score_archive,
    score_given,
    score_lines,
    score_rows,
)
from novaloop.metrics.tasks import score_task
from novaloop.usecases.plain_rows import csv_rows, json_rows
from novaloop_cli.convert import in_options
from novaloop_cli.errors import Refused
from novaloop_cli.views import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping
    from pathlib import Path

    from novaloop.metrics.flips import Answer
    from novaloop.usecases.plain_rows import PlainRows

MAX_ID_CHARS = 40
MAX_NAMED = 5
"""How many rows that can't be found are named beside their number."""
_WORDING = Wording(in_options, shows_found=True)


@dataclass(frozen=True)
class Reading:
    """How files are read and scored. columns: of plain tables, by their names in FIELDS. by_id:
    whether ids are looked at where there are questions, too."""

    labels: tuple[str, ...] = ()
    max_new_tokens: int | None = None
    confidence: float = 0.95
    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    by_id: bool = True


@dataclass(frozen=True)
class Evaluation:
    """A file and what it comes to. rows: None where a job left its own numbers alone.

    given: what a plain table holds.
    """

    file: Path
    reading: Reading
    score: Score | TaskScore
    rows: RowScores | GivenScores | None = None
    given: Given | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """By which the rows are read."""
        return self.rows.labels if self.rows is not None else ()

    @property
    def has_ids(self) -> bool:
        """Whether rows are found by their ids."""
        return self.given is not None and self.given.ids is not None

    def read_again(self, reading: Reading) -> Evaluation:
        """Read a table in another way that has ids and questions."""
        has_both = self.has_ids and self.given is not None and self.given.questions is not None
        return read_evaluation(self.file, reading) if has_both else self

    def names(self) -> dict[str, str]:
        """Return what a person calls each row, by its name in comparisons: its id, or its place."""
        if self.rows is None:
            return {}
        ids = self.given.ids if self.given else None
        called = map(quoted, ids) if ids else map(str, range(1, len(self.rows) + 1))
        return dict(zip(map(row_name, self.rows.keys.tolist()), called, strict=True))

    def asked(self) -> dict[str, str]:
        """Return what is known of each row's question, by its name in comparisons."""
        if self.rows is None or self.given is None:
            return {}
        asked = self.given.questions or self.given.ids or ()
        names = map(row_name, self.rows.keys.tolist())
        return dict(zip(names, map(excerpt, asked), strict=True))

    def answers(self, wanted: Container[str]) -> dict[str, Answer] | None:
        """Read the texts of some rows; None where the file has no answers."""
        if self.given is not None:
            return read_answers(self.given.answers, wanted) if self.given.answers else None
        with self.file.open("rb") as content:
            if tarfile.is_tarfile(self.file):
                lines = EvaluationOutput(archive_members(content)).inference_lines()
                return read_answers(read_inferences(lines), wanted)
            kept = map(str.encode, read_lines(content, self.reading.encoding))
            first = next(kept)
            if RowScores.are_in(first):
                return None
            return read_answers(read_inferences(chain([first], kept)), wanted)


def quoted(id_: str) -> str:
    """Write an id for a terminal, which would obey control characters."""
    return repr(id_) if len(id_) <= MAX_ID_CHARS else f"{id_[:MAX_ID_CHARS]!r}…"


def table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options by which plain tables are read."""
    for option in (
        click.option("--encoding", help="A table's encoding, if it is not UTF-8."),
        click.option("--delimiter", help="The character between a table's cells."),
        click.option(
            "--column",
            "columns",
            multiple=True,
            metavar="FIELD=COLUMN",
            help=f"Which column holds a field of a table: {', '.join(FIELDS)}.",
        ),
    ):
        command = option(command)
    return command


def columns_of(given: tuple[str, ...]) -> dict[str, str]:
    """Return the columns by their fields. Raises Refused."""
    columns = {}
    for text in given:
        name, mark, column = text.partition("=")
        if not mark or not column or name not in FIELDS:
            fields = ", ".join(FIELDS)
            raise Refused(f"--column {text}: write FIELD=COLUMN; the fields are {fields}")
        columns[name] = column
    return columns


def read_evaluation(file: Path, reading: Reading) -> Evaluation:
    """Read a file of an evaluation and score it. Raises Refused."""
    try:
        return _read_archive(file, reading) if tarfile.is_tarfile(file) else _read(file, reading)
    except DatasetRefused as refused:
        raise Refused(f"{file}: {_WORDING.told(refused)}") from refused
    except (ArchiveError, InferenceError, RowsError, OSError) as error:
        raise Refused(f"{file}: {error}") from error
    except ValueError as error:
        raise Refused(f"--labels: {error}") from error


def require_pairs(first: Evaluation, other: Evaluation) -> None:
    """Raise Refused unless two files are about the same rows: it says which are not, and where."""
    kinds, finds = (_kind(first), _kind(other)), (_found_by(first), _found_by(other))
    if kinds[0] != kinds[1]:
        told = f"{first.file} holds {kinds[0]}, {other.file} {kinds[1]}"
        raise Refused(f"{told}: they have no metric in common")
    if finds[0] != finds[1]:
        told = f"{first.file} has {finds[0]} for its rows, {other.file} {finds[1]}"
        raise Refused(f"{told}; give both the same, so that rows can be found by it")
    if first.rows is None or other.rows is None:
        return
    if lacking := [*_lacking(first, other)]:
        do = "leave those rows out, or evaluate both on the same rows"
        begin = f"{first.file} and {other.file} can't be compared; {do}:"
        raise Refused("\n  ".join((begin, *lacking)))
    if first.labels != other.labels:
        told_labels = (", ".join(each.labels) or "none" for each in (first, other))
        raise Refused(
            "the files were scored by different labels ({}; {}); give --labels as the row scores "
            "have them".format(*told_labels)
        )


def _kind(evaluation: Evaluation) -> str:
    if evaluation.rows is None:
        return "the totals of a job"
    return "scores" if isinstance(evaluation.rows, GivenScores) else "answers"


def _found_by(evaluation: Evaluation) -> str:
    given = evaluation.given
    if given is None or given.ids is None:
        return "a question"
    return "an id and a question" if given.questions else "an id"


def _lacking(first: Evaluation, other: Evaluation) -> Iterator[str]:
    names = first.names(), other.names()
    # An id that is in both has another question or reference where the rows' keys differ.
    ids = tuple(set(each.values()) if first.given and first.given.ids else () for each in names)
    both = set(ids[0]) & set(ids[1])
    for here, there, has, lacks in ((0, 1, first, other), (1, 0, other, first)):
        missing = [
            name
            for row, name in names[here].items()
            if row not in names[there] and name not in both
        ]
        if missing:
            what = ("id", "ids") if both or ids[here] else ("row", "rows")
            told = f"{len(missing):,} {what[len(missing) > 1]}"
            yield f"{lacks.file} lacks {told} of {has.file}: {first_of(missing, MAX_NAMED)}"
    if differing := [
        name for row, name in names[0].items() if row not in names[1] and name in both
    ]:
        told = f"{len(differing):,} {'id has' if len(differing) == 1 else 'ids have'}"
        named = first_of(differing, MAX_NAMED)
        yield f"{told} another question or reference in {other.file}: {named}"


def _read_archive(file: Path, reading: Reading) -> Evaluation:
    try:
        with file.open("rb") as content:
            scored = score_archive(
                content,
                labels=reading.labels,
                max_new_tokens=reading.max_new_tokens,
                confidence=reading.confidence,
            )
        return Evaluation(file, reading, *scored)
    except NoAnswers:
        with file.open("rb") as content:
            members = archive_members(content)
            task = score_task(members, "reported", None, {}, reading.confidence)
        return Evaluation(file, reading, task)


def _read(file: Path, reading: Reading) -> Evaluation:
    with file.open("rb") as content:
        lines = read_lines(content, reading.encoding)
        begin = list(_begin(lines))
        first = begin[-1].strip() if begin else ""
        encoded = map(str.encode, chain(begin, lines))
        if RowScores.are_in(first.encode()):
            rows = RowScores.from_lines(encoded)
            return Evaluation(file, reading, score_rows(rows, reading.confidence), rows)
        if first == "{" or first.startswith("["):
            raise InferenceError(
                "is one JSON document and not one object a line; of a report, compare the row "
                "scores, which the stack's bucket has under scores/"
            )
        if first.startswith("{"):
            fields = read_object(first.encode(), len(begin))
            if not {"inference", "gold"} & fields.keys():
                return _of_table(file, reading, list(fields), json_rows(encoded))
        if first.startswith("{") or not first:
            scored = score_lines(
                encoded,
                labels=reading.labels,
                max_new_tokens=reading.max_new_tokens,
                confidence=reading.confidence,
            )
            return Evaluation(file, reading, *scored)
    with file.open("rb") as content:
        return _of_table(file, reading, *csv_rows(content, reading.encoding, reading.delimiter))


def _begin(lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines to the first that is not blank."""
    for line in lines:
        yield line
        if line.strip():
            return


def _of_table(file: Path, reading: Reading, header: list[str], rows: PlainRows) -> Evaluation:
    columns = {name: reading.columns.get(name, name) for name in FIELDS}
    found = Found(header).in_terminal()
    if missing := [name for name in reading.columns.values() if name not in header]:
        raise Refused(f"{file}: there is no column {', '.join(map(repr, missing))}; {found}")
    known = {name: column for name, column in columns.items() if column in header}
    if not reading.by_id and "question" in known:
        known.pop("id", None)
    try:
        given = read_given(
            [
                (line, {name: row.get(column) for name, column in known.items()})
                for line, row in rows
            ]
        )
    except FieldsMissing as error:
        do = "name the columns, as by --column id=ID --column score=SCORE"
        raise Refused(f"{file}: {error}; {do}; {found}") from error
    if given.scores is not None:
        score = score_given(given.scores, reading.confidence)
        return Evaluation(file, reading, score, given.scores, given)
    scored = score_answers(given.answers, reading.labels, reading.confidence)
    return Evaluation(file, reading, *scored, given)
