"""What a user says about a dataset, and the row formats that Nova reads."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from novaloop.datasets.errors import OF_THE_FILE, Wording

NO_DELIMITERS = '"\r\n\0'
"""What can't divide the cells of a line: it quotes them, or ends the line, or is in no text."""
_OF_PYTHON_ONLY = {
    "charmap",
    "idna",
    "punycode",
    "raw-unicode-escape",
    "undefined",
    "unicode-escape",
}
"""Codecs that no file is saved in (docs.python.org, codecs, "Python Specific Encodings").

Some of them fail in other ways than by a byte that they can't decode.
"""


def codec_name(encoding: str) -> str | None:
    """Return what the codec of a text encoding is called; None if it is not known, or not text."""
    try:
        b"x".decode(encoding, "ignore")  # refuses codecs that don't give text, such as base64
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):  # no name holds a NUL
        return None
    return None if name.replace("_", "-") in _OF_PYTHON_ONLY else name


class RowFormat(StrEnum):
    """A JSONL row format of a Nova job.

    Multi-turn RFT has one for HyperPod and one for its serverless runtime. No job reads REFERENCE:
    it is what recorded answers are laid beside.
    """

    SFT = "sft"
    RFT = "rft"
    EVALUATION = "evaluation"
    DPO = "dpo"
    CPT = "cpt"
    LLM_JUDGE = "llm-judge"
    RFT_MULTITURN = "rft-multiturn"
    RFT_MULTITURN_SERVERLESS = "rft-multiturn-serverless"
    REFERENCE = "reference"

    @property
    def file_name(self) -> str:
        """Name under which jobs find the rows; evaluation jobs insist on theirs."""
        return _EVALUATION_FILES.get(self, f"{self}.jsonl")

    @property
    def has_labels(self) -> bool:
        """Tell whether a row's one answer may be a label."""
        with_one_answer = {RowFormat.SFT, RowFormat.RFT, RowFormat.EVALUATION, RowFormat.REFERENCE}
        return self in with_one_answer


_EVALUATION_FILES = {
    RowFormat.EVALUATION: "gen_qa.jsonl",
    RowFormat.LLM_JUDGE: "llm_judge.jsonl",
}


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
    optional field off. `reward` is copied into every RFT row; with `tries_reward` the row's
    reference is tried against it, or against the one that the row brings. `max_rejects` is the
    number of rejected rows up to which the dataset is still accepted. `exclude_questions` are the
    hashes of questions to leave out, as the checks across datasets return them.
    `evaluates_prompts`: RFT rows are for an evaluation too, which every model has, unlike the
    training. `wording` is how what is wrong with a row, or with a part of a file, is told.
    """

    source_format: SourceFormat = SourceFormat.CSV
    columns: Mapping[str, str | None] = field(default_factory=dict)
    system_prompt: str | None = None
    labels: tuple[str, ...] = ()
    encoding: str | None = None
    delimiter: str | None = None
    reward: Mapping[str, object] | None = None
    tries_reward: bool = False
    model: str = "nova-lite-2"
    evaluates_prompts: bool = False
    max_rejects: int = 0
    reject_excerpts: bool = False
    exclude_questions: frozenset[int] = frozenset()
    wording: Wording = OF_THE_FILE
