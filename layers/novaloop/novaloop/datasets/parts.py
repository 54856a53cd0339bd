"""One CSV file converted in parts: what each range of records comes to, and what all come to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from novaloop.datasets.convert import (
    DatasetWriter,
    RecordsPlace,
    Sink,
    continued_rows,
    encoded_rows,
    require_rows,
)
from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.profile.histogram import Distribution, Histogram
from novaloop.datasets.profile.profile import DatasetProfile
from novaloop.datasets.profile.summary import (
    SAMPLE_ROWS,
    DatasetSummary,
    OutputSummary,
    add_hash_sums,
)
from novaloop.datasets.reading.decoding import line_ends
from novaloop.datasets.rejects import RejectedRows, RejectLog
from novaloop.typed import adapter

UNTERMINATED = "unterminated-quote"


class CutMistaken(Exception):  # noqa: N818 - a finding about the file, not a fault
    """A range ended inside of a quoted cell, so the file must be converted in one stream."""


@dataclass(frozen=True)
class PartRefusal:
    """A DatasetRefused, as it is stored; its line counts from the part's first one."""

    rule: str
    problem: str
    line: int | None

    def after(self, lines: int) -> DatasetRefused:
        """Return it for the file, where `lines` lines come before the part."""
        line = None if self.line is None else self.line + lines
        return DatasetRefused(self.rule, self.problem, line=line)


@dataclass(frozen=True)
class PartFacts:
    """A range's number of lines, and its share in the fields of DatasetSummary."""

    lines: int
    refusal: PartRefusal | None
    rows: int
    rows_excluded: int
    rejects: Mapping[str, RejectedRows]
    outputs: Mapping[RowFormat, OutputSummary]
    question_bytes: Distribution
    tokens: Distribution
    row_hash_sum: str
    samples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Part:
    """One range, converted."""

    facts: PartFacts
    profile: DatasetProfile

    def to_bytes(self) -> bytes:
        """Return the facts as one line of JSON, and the profile's bytes after it."""
        return adapter(PartFacts).dump_json(self.facts) + b"\n" + self.profile.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Part":
        """Read what to_bytes wrote; raises ValueError for anything else."""
        facts, _, profile = data.partition(b"\n")
        return cls(adapter(PartFacts).validate_json(facts), DatasetProfile.from_bytes(profile))


def convert_part(
    chunks: Iterable[bytes],
    place: RecordsPlace,
    outputs: Mapping[RowFormat, Sink],
    options: DatasetOptions,
    rejects: Sink,
) -> Part:
    """Convert the records that begin at `place`; those at byte 0 begin with the header.

    Lines, in the result as in `rejects`, count from the part's first one.
    """
    log = RejectLog(rejects, options.reject_excerpts, options.wording)
    writer, lines = DatasetWriter(outputs), _Lines()
    formats, source = tuple(outputs), lines.counted(chunks)
    refusal = None
    try:
        for rows in (
            continued_rows(source, place, formats, options, log)
            if place.byte
            else encoded_rows(source, formats, options, log)
        ):
            writer.write(rows)
    except DatasetRefused as refused:
        problem = replace(options.wording.problem(refused), where="")
        refusal = PartRefusal(refused.rule, str(problem), refused.line)
    summary = writer.close(log, None)
    facts = PartFacts(
        lines=lines.count,
        refusal=refusal,
        rows=summary.rows_out,
        rows_excluded=summary.rows_excluded,
        rejects=summary.rejects,
        outputs=summary.outputs,
        question_bytes=summary.question_bytes,
        tokens=summary.tokens,
        row_hash_sum=summary.row_hash_sum,
        samples=summary.samples,
    )
    return Part(facts, summary.profile)


class _Lines:
    """Counts the line ends of what passes through."""

    def __init__(self) -> None:
        self.count = 0
        self._after_return = False

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.count += sum(line_ends(chunk))
            self.count -= self._after_return and chunk.startswith(b"\n")
            self._after_return = chunk.endswith(b"\r")
            yield chunk


def merge_parts(
    parts: Iterable[tuple[Part, bytes]], options: DatasetOptions, rejects: Sink
) -> DatasetSummary:
    """Return what converting the whole file comes to, from all its parts in order.

    Each part comes with what it wrote to its `rejects`. The outputs are those of the parts, one
    after the other; their `sha256` is that of the parts' digests, with the number of parts, as S3
    writes checksums of multipart uploads. Raises CutMistaken.
    """
    whole = _Whole(RejectLog(rejects))
    mistake: DatasetRefused | None = None
    for part, listing in parts:
        if mistake is not None and mistake.rule == UNTERMINATED:
            raise CutMistaken
        if mistake is None:
            mistake = whole.absorb(part, listing)
    try:
        if mistake is not None:
            raise mistake
        require_rows(whole.log, whole.rows, options)
    except DatasetRefused as refused:
        return whole.summary(refused)
    return whole.summary(None)


@dataclass
class _Whole:
    log: RejectLog
    rows: int = 0
    lines: int = 0
    row_hash_sum: str = f"{0:016x}"
    question_bytes: Histogram = field(default_factory=Histogram)
    tokens: Histogram = field(default_factory=Histogram)
    outputs: dict[RowFormat, list[OutputSummary]] = field(default_factory=dict)
    samples: tuple[tuple[str, str], ...] = ()
    profile: DatasetProfile = field(default_factory=DatasetProfile.empty)

    def absorb(self, part: Part, listing: bytes) -> DatasetRefused | None:
        """Add a part; return why it was refused, if it was."""
        facts, lines_before = part.facts, self.lines
        rows_before = self.rows + self.log.rows + self.log.excluded_rows
        self.log.absorb(facts.rejects, listing, lines_before, rows_before)
        self.log.excluded_rows += facts.rows_excluded
        self.rows += facts.rows
        self.lines += facts.lines
        self.row_hash_sum = add_hash_sums(self.row_hash_sum, facts.row_hash_sum)
        self.question_bytes.absorb(facts.question_bytes)
        self.tokens.absorb(facts.tokens)
        for row_format, output in facts.outputs.items():
            self.outputs.setdefault(row_format, []).append(output)
        self.samples = (self.samples + facts.samples)[:SAMPLE_ROWS]
        self.profile = self.profile.joined(part.profile)
        return None if facts.refusal is None else facts.refusal.after(lines_before)

    def summary(self, refusal: DatasetRefused | None) -> DatasetSummary:
        return DatasetSummary(
            refusal=refusal,
            rows_in=self.rows + self.log.rows + self.log.excluded_rows,
            rows_out=self.rows,
            rows_excluded=self.log.excluded_rows,
            rejects=self.log.by_rule,
            outputs={name: _joined(outputs) for name, outputs in self.outputs.items()},
            duplicate_rows=self.profile.sketch.duplicate_rows(),
            question_bytes=self.question_bytes.distribution(),
            tokens=self.tokens.distribution(),
            row_hash_sum=self.row_hash_sum,
            profile=self.profile,
            samples=self.samples,
        )


def _joined(outputs: list[OutputSummary]) -> OutputSummary:
    if len(outputs) == 1:
        return outputs[0]
    digests = b"".join(bytes.fromhex(output.sha256) for output in outputs)
    digest = f"{sha256(digests).hexdigest()}-{len(outputs)}"
    return OutputSummary(
        sum(output.rows for output in outputs), sum(output.size for output in outputs), digest
    )
