"""What a user says about a dataset, and the row formats that Nova reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class RowFormat(StrEnum):
    """A JSONL row format of a Nova job."""

    SFT = "sft"
    RFT = "rft"
    EVALUATION = "evaluation"

    @property
    def file_name(self) -> str:
        """Name under which jobs find the rows; evaluation jobs insist on theirs."""
        return "gen_qa.jsonl" if self is RowFormat.EVALUATION else f"{self}.jsonl"


class SourceFormat(StrEnum):
    """How the uploaded file is written; gzip around it is recognised by its magic number."""

    CSV = "csv"
    JSONL = "jsonl"

    @classmethod
    def of(cls, file_name: str) -> "SourceFormat | None":
        """Return the format that the file name's extension stands for, if any."""
        stem = file_name.lower().removesuffix(".gz")
        return next((each for each in cls if stem.endswith(f".{each}")), None)


@dataclass(frozen=True)
class DatasetOptions:
    """Everything that decides how a file becomes rows.

    `columns` maps field names (`question`, `answer`, `system`, ...) to column names; a field that
    isn't mentioned is read from the column of its own name where there is one; None switches an
    optional field off. `reward` is copied into every RFT row. `max_rejects` is the number of
    rejected rows up to which the dataset is still accepted. `exclude_questions` are the hashes of
    questions to leave out, as the checks across datasets return them.
    """

    source_format: SourceFormat = SourceFormat.CSV
    columns: Mapping[str, str | None] = field(default_factory=dict)
    system_prompt: str | None = None
    labels: tuple[str, ...] = ()
    encoding: str | None = None
    delimiter: str | None = None
    reward: Mapping[str, object] | None = None
    model: str = "nova-lite-2"
    max_rejects: int = 0
    reject_excerpts: bool = False
    exclude_questions: frozenset[int] = frozenset()
