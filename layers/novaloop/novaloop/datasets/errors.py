"""Why a dataset, or one of its rows, is refused.

Messages go into records, logs and notifications, so they hold nothing that stands in a file, names
of columns and keys included: only lines, numbers, rules, and the names that the spec expects.
"""

from collections.abc import Sequence

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


def _cut_short(name: str) -> str:
    # The representation leaves no control characters, which a terminal would obey.
    return repr(name) if len(name) <= MAX_NAME_CHARS else f"{name[:MAX_NAME_CHARS]!r}…"


class DatasetRefused(Exception):  # noqa: N818 - a verdict on the input, not a fault of the program
    """The dataset as a whole can't be used; `str()` is one line without any text of the file.

    `problem` is the message without the line, which counts from 1 in the decoded text; `found` is
    what the file has in the place of what was expected.
    """

    def __init__(
        self, rule: str, message: str, *, line: int | None = None, found: Found | None = None
    ) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.rule = rule
        self.problem = message
        self.line = line
        self.found = found

    def in_terminal(self) -> str:
        """Return the message with what was found: never for a record, a log or a notification."""
        return str(self) if self.found is None else f"{self}; {self.found.in_terminal()}"


class RowRejected(Exception):  # noqa: N818
    """One row can't be used; the rest of the file can.

    `field` is a field's name, or a path that begins with one; a message about it begins with it.
    `text` is what was rejected: for excerpts where the user wants them, never for a message, which
    holds no text of the file. `found` is what the row has in the place of what was expected.
    """

    def __init__(
        self,
        rule: str,
        message: str,
        field: str | None = None,
        text: str | None = None,
        found: Found | None = None,
    ) -> None:
        super().__init__(message)
        self.rule = rule
        self.field = field
        self.text = text
        self.found = found

    def told(self, column: str | None) -> str:
        """Return the message in one line, with the user's name for the field if it has one."""
        if self.field is None or column is None or not column.isprintable():
            return str(self)
        return str(self).replace(self.field, column, 1)
