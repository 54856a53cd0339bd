"""Why a dataset, or one of its rows, is refused.

A dataset is given up at the first thing that is wrong with all of it, a row at the first that is
wrong with it. So what reads them raises: `read_…` in place of a value, `require_…` alone.

Messages go into records, logs and notifications, so they hold nothing that stands in a file, names
of columns and keys included: only lines, numbers, rules, and the names that the spec expects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from novaloop.problem import Problem

MAX_NAMES_SHOWN = 10
MAX_NAME_CHARS = 40


class Found:
    """Names that stand in a file, for the terminal of whoever has the file.

    It is no text: no message can take it in by accident, and it survives no serialization.
    """

    def __init__(self, names: Sequence[str], likely: str | None = None) -> None:
        self._names = names
        self._likely = likely

    def in_terminal(self) -> str:
        """Return the first names, each cut short, with the one that was probably meant."""
        shown = [_cut_short(name) for name in self._names[:MAX_NAMES_SHOWN]]
        if more := len(self._names) - len(shown):
            shown.append(f"and {more:,} more")
        found = f"found: {', '.join(shown)}"
        if self._likely is None:
            return found
        return f"did you mean {_cut_short(self._likely)}? ({found})"


@dataclass(frozen=True)
class Setting:
    """A setting that a message names. Each shell has words of its own for it; these are the file's.

    `value` is what it is, or should be set to: a text, or settings of its own.
    """

    name: str
    value: str | Mapping[str, str] = ""

    def __str__(self) -> str:
        value = self.value
        if not isinstance(value, str):
            value = f"{{{', '.join(f'{name}: {each}' for name, each in value.items())}}}"
        return f"`{f'{self.name}: {value}'.rstrip()}` in experiment.yaml"


Message = str | tuple[str | Setting, ...]
"""A text, or its parts in order."""


@dataclass(frozen=True)
class Wording:
    """How a shell tells of a refusal: what it calls a setting, and whether it shows what was found.

    What was found is text of the file: never for a record, a log or a notification.
    """

    setting: Callable[[Setting], str] = str
    shows_found: bool = False

    def text(self, message: Message) -> str:
        """Return a message in one text."""
        parts = (message,) if isinstance(message, str) else message
        return "".join(part if isinstance(part, str) else self.setting(part) for part in parts)

    def problem(self, refused: DatasetRefused | RowRejected) -> Problem:
        """Return what is wrong, in the shell's words."""
        return Problem(refused.where, self.text(refused.what), self.text(refused.do))

    def told(self, refused: DatasetRefused) -> str:
        """Return why a dataset is refused, in one line."""
        told, found = str(self.problem(refused)), refused.found if self.shows_found else None
        return told if found is None else f"{told}; {found.in_terminal()}"


OF_THE_FILE = Wording()

_REASON = re.compile(
    r"(line (?P<line>\d+): )?(?P<what>.*?)"
    r"( \((?P<rows>(?P<rejected>\d+) of \d+ rows) rejected; correct them(?P<do>[^()]*)\))?"
    r"(?P<found>; (found: |did you mean ).*)?",
    re.DOTALL,
)
"""The parts of a reason, as `Wording.told` and `convert.require_rows` put it together."""


def told_once(reasons: Iterable[tuple[str, str]]) -> list[str]:
    """Return why files are refused, from the name and the reason of each.

    The same problem in several files is told once, with the files and lines that it is in: it is
    one mistake, and mostly one in the settings. What was found is told of each file that differs.
    """
    problems: dict[str, list[tuple[str, str, re.Match[str]]]] = {}
    for file, reason in dict.fromkeys(reasons):
        if (found := _REASON.fullmatch(reason)) is not None:
            at = f"{file} line {found['line']}" if found["line"] else file
            problems.setdefault(found["what"], []).append((file, at, found))
    return [_told_of(what, places) for what, places in problems.items()]


def _told_of(what: str, places: Sequence[tuple[str, str, re.Match[str]]]) -> str:
    at = ", ".join(
        f"{at} ({each['rows']} rejected)" if each["rows"] else at for _, at, each in places
    )
    # What allows for the most rejected rows, allows for the others.
    _, _, most = max(places, key=lambda place: int(place[2]["rejected"] or 0))
    found: dict[str, list[str]] = {}
    for file, _, each in places:
        if each["found"]:
            found.setdefault(each["found"].removeprefix("; "), []).append(file)
    told = (
        f"; {names}" if len(found) == 1 else f"; in {', '.join(files)}, {names}"
        for names, files in found.items()
    )
    return f"{at}: {what}{most['do'] or ''}{''.join(told)}"


def _cut_short(name: str) -> str:
    # The representation leaves no control characters, which a terminal would obey.
    return repr(name) if len(name) <= MAX_NAME_CHARS else f"{name[:MAX_NAME_CHARS]!r}…"


class DatasetRefused(Exception):  # noqa: N818 - a verdict on the input, not a fault of the program
    """The dataset as a whole can't be used; `str()` is one line without any text of the file.

    `what` and `do` are a Problem's. Lines count from 1 in the decoded text; `found` is what the
    file has in the place of what was expected.
    """

    def __init__(
        self,
        rule: str,
        what: Message,
        do: Message = "",
        *,
        line: int | None = None,
        found: Found | None = None,
    ) -> None:
        super().__init__(rule, what, do)
        self.rule = rule
        self.what, self.do = what, do
        self.line = line
        self.found = found

    @property
    def where(self) -> str:
        """The line that has the problem, if it is one."""
        return "" if self.line is None else f"line {self.line}"

    def __str__(self) -> str:
        return OF_THE_FILE.told(self)


class RowRejected(Exception):  # noqa: N818
    """One row can't be used; the rest of the file can.

    `where`, `what` and `do` are a Problem's. `field`, which `where` or `what` names, is a field's
    name or a path that begins with one. `text` is what was rejected: for excerpts where the user
    wants them, never for a message, which holds no text of the file. `found` is what the row has
    in the place of what was expected.
    """

    def __init__(
        self,
        rule: str,
        what: Message,
        do: Message = "",
        *,
        field: str | None = None,
        where: str = "",
        text: str | None = None,
        found: Found | None = None,
    ) -> None:
        super().__init__(rule, what, do)
        self.rule = rule
        self.what, self.do = what, do
        self.field = field
        self.where = where
        self.text = text
        self.found = found

    def __str__(self) -> str:
        return str(OF_THE_FILE.problem(self))

    def told(self, column: str | None, wording: Wording = OF_THE_FILE) -> str:
        """Return the message in one line, with the user's name for the field if it has one."""
        text = str(wording.problem(self))
        if self.field is None or column is None or not column.isprintable():
            return text
        # `answer` and others are words of sentences too, so a quoted name comes before any other.
        quoted = not text.startswith(self.field) and f"`{self.field}" in text
        mark = "`" if quoted else ""
        return text.replace(f"{mark}{self.field}", f"{mark}{column}", 1)
