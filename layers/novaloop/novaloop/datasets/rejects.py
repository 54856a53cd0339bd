"""The list of rejected rows: complete in numbers, bounded in size, free of cell text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from novaloop.datasets.errors import OF_THE_FILE, Found, RowRejected, Wording

MAX_LISTED_ROWS = 10_000
MAX_LINES_PER_RULE = 10
EXCERPT_CHARS = 40


@dataclass
class RejectedRows:
    """How many rows one rule rejected, and the lines of the first ones.

    In CSV, where a row may take several lines, also which rows these are; the header is none.
    """

    rows: int = 0
    first_lines: list[int] = field(default_factory=list)
    first_rows: list[int] = field(default_factory=list)


@dataclass
class RejectLog:
    """Counts rejects by rule and writes the first MAX_LISTED_ROWS as JSONL to `sink`.

    `first` is the line and the message of the first one, `first_found` what that row has instead.
    """

    sink: Callable[[bytes], object]
    excerpts: bool = False
    wording: Wording = OF_THE_FILE
    rows: int = 0
    excluded_rows: int = 0
    first: tuple[int, str] = (0, "")
    first_found: Found | None = None
    by_rule: dict[str, RejectedRows] = field(default_factory=dict)

    def add(
        self, line: int, reason: RowRejected, column: str | None = None, row: int | None = None
    ) -> None:
        """Record one row that begins on `line`; both count from 1."""
        message = reason.told(column, self.wording)
        if not self.rows:
            self.first, self.first_found = (line, message), reason.found
        self.rows += 1
        counted = self.by_rule.setdefault(reason.rule, RejectedRows())
        counted.rows += 1
        if len(counted.first_lines) < MAX_LINES_PER_RULE:
            counted.first_lines.append(line)
            counted.first_rows += [] if row is None else [row]
        if self.rows <= MAX_LISTED_ROWS:
            entry: dict[str, object] = {} if row is None else {"row": row}
            entry |= {"line": line, "column": column, "rule": reason.rule, "message": message}
            if self.excerpts and reason.text:
                entry["excerpt"] = ascii(reason.text[:EXCERPT_CHARS])[1:-1]
            self.sink(orjson.dumps(entry) + b"\n")

    def absorb(
        self, by_rule: Mapping[str, RejectedRows], listing: bytes, lines: int, rows: int
    ) -> None:
        """Take in another log, of the part that begins after `lines` lines and `rows` rows."""
        for number, entry in enumerate(map(orjson.loads, listing.splitlines())):
            entry["line"] += lines
            if "row" in entry:
                entry["row"] += rows
            if not self.rows and not number:
                self.first = entry["line"], entry["message"]
            if self.rows + number < MAX_LISTED_ROWS:
                self.sink(orjson.dumps(entry) + b"\n")
        for rule, rejected in by_rule.items():
            counted = self.by_rule.setdefault(rule, RejectedRows())
            counted.rows += rejected.rows
            free = MAX_LINES_PER_RULE - len(counted.first_lines)
            counted.first_lines += [line + lines for line in rejected.first_lines[:free]]
            counted.first_rows += [row + rows for row in rejected.first_rows[:free]]
            self.rows += rejected.rows
