"""Why a dataset, or one of its rows, is refused."""


class DatasetRefused(Exception):  # noqa: N818 - a verdict on the input, not a fault of the program
    """The dataset as a whole can't be used; `str()` is one line without any cell text.

    `problem` is the message without the line, which counts from 1 in the decoded text; `column`
    is the user's column name.
    """

    def __init__(
        self, rule: str, message: str, *, line: int | None = None, column: str | None = None
    ) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.rule = rule
        self.problem = message
        self.line = line
        self.column = column


class RowRejected(Exception):  # noqa: N818
    """One row can't be used; the rest of the file can.

    `field` is a field's name, or a path that begins with one; a message about it begins with it.
    `text` is what was rejected: for excerpts where the user wants them, never for a message.
    """

    def __init__(
        self, rule: str, message: str, field: str | None = None, text: str | None = None
    ) -> None:
        super().__init__(message)
        self.rule = rule
        self.field = field
        self.text = text

    def told(self, column: str | None) -> str:
        """Return the message in one line, with the user's name for the field if it has one."""
        if self.field is None or column is None or not column.isprintable():
            return str(self)
        return str(self).replace(self.field, column, 1)
