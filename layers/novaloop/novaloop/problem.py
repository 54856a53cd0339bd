"""What is wrong with something that was given, said in one way everywhere.

A function that looks for what is wrong is called `check_…`: it gives Problems and raises nothing.
One that gives a value instead (`read_…`, `plan_…`, `parse`) raises Invalid with all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, without any text of a dataset.

    `where` is the path of a setting, such as `plan[0].sft.peft`, or the place in a file; empty
    where whoever asked knows it. `what` is wrong there, and `do` helps; `do` may be empty where
    `what` says what must be.
    """

    where: str
    what: str
    do: str = ""

    def __str__(self) -> str:
        text = f"{self.what}; {self.do}" if self.do else self.what
        return f"{self.where}: {text}" if self.where else text


class Invalid(ValueError):  # noqa: N818 - a verdict on the input, not a fault of the program
    """What was given can't be used. `problems` is all that is wrong with it, `str()` in lines."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems

    def under(self, path: str) -> list[Problem]:
        """Return the problems, each with its place below `path`."""
        return [
            replace(each, where=joined(path, each.where) if each.where else path)
            for each in self.problems
        ]


def joined(path: str, name: str) -> str:
    """Return the path of the field `name` under `path`, which may be empty."""
    return f"{path}.{name}" if path else name


def shown(value: object) -> str:
    """Return `value` as a short one-line literal for a message."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."
