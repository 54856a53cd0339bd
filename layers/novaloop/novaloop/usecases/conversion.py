"""Conversion: one uploaded file, at one version, to the JSONL, profile and card of each role."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from novaloop.datasets.convert import PlacedRows, Sink, Source, convert, placed_rows
from novaloop.datasets.errors import OF_THE_FILE, DatasetRefused, Wording
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.profile.card import card_html, dataset_card
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.rejects import RejectedRows, RejectLog
from novaloop.datasets.split import Split, convert_split, placed_rows_of
from novaloop.experiment.names import SPLIT_STEM, stem_of
from novaloop.experiment.record import DatasetItem, DatasetStatus
from novaloop.experiment.spec.experiment import ExperimentSpec, SplitSettings
from novaloop.experiment.spec.inputs import row_formats, split_roles
from novaloop.experiment.spec.reward import reward_settings
from novaloop.experiment.spec.stages import Role
from novaloop.usecases.ports import BigFiles, Clock, DatasetStore, Objects

JSON_LINES = "application/jsonl"


@dataclass(frozen=True)
class IngestWorld:
    """Everything that ingest works with.

    `wording` makes a dataset's reason of a refusal. Reasons are stored, logged and sent, so it
    shows no text of the file, but where a person checks a file of their own.
    """

    store: DatasetStore
    objects: Objects
    clock: Clock
    big_files: BigFiles | None = None
    wording: Wording = OF_THE_FILE


@dataclass(frozen=True)
class Conversion:
    """One file of one experiment, and the items of the roles that it is for.

    `excluded` are hashes of questions to leave out.
    """

    experiment_id: str
    spec: ExperimentSpec
    items: tuple[DatasetItem, ...]
    excluded: frozenset[int] = frozenset()

    @property
    def source(self) -> DatasetItem:
        """Any of the items: they all tell where the file is."""
        return self.items[0]


@dataclass(frozen=True)
class Result:
    """The summary of each role, empty if the file was refused; and what was wrong with it.

    Of a file that was divided: the rows that each role asks for, and those that none has.
    """

    summaries: Mapping[str, DatasetSummary]
    refusal: DatasetRefused | None
    rejects: Mapping[str, RejectedRows] = field(default_factory=dict)
    rows_asked: Mapping[str, int] = field(default_factory=dict)
    rows_left_out: int = 0

    @classmethod
    def of(cls, role: str, summary: DatasetSummary) -> Result:
        """Return the result of a file of one role."""
        return cls({role: summary}, summary.refusal, summary.rejects)


class _Discarded(Exception):  # noqa: N818
    """Ends the uploads of a refused dataset, so that none of it is left."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


def _discard_if_refused(result: Result) -> None:
    if result.refusal is not None:
        raise _Discarded(result)


def convert_file(job: Conversion, world: IngestWorld) -> tuple[DatasetItem, ...]:
    """Convert the file and return the finished items; a refused one leaves no rows behind."""
    rejects: list[bytes] = []
    try:
        with ExitStack() as uploads:
            result = _run(job, options_of(job, world), uploads, rejects, world)
            _discard_if_refused(result)
    except _Discarded as discarded:
        result = discarded.result
    return finish(job, result, rejects, world)


def finish(
    job: Conversion, result: Result, rejects: list[bytes], world: IngestWorld
) -> tuple[DatasetItem, ...]:
    """Write what goes with the converted rows, or with the refusal; return the finished items."""
    rejects_key = _put_rejects(job, rejects, world.objects)
    return tuple(_finished(job, item, result, rejects_key, world) for item in job.items)


def options_of(job: Conversion, world: IngestWorld) -> DatasetOptions:
    """Return how the file is to be read, and what is wrong with it told."""
    source_format = SourceFormat.of(job.source.source_key) or SourceFormat.CSV
    options = dataset_options(job.spec, source_format)
    return replace(options, exclude_questions=job.excluded, wording=world.wording)


def dataset_options(spec: ExperimentSpec, source_format: SourceFormat) -> DatasetOptions:
    """Return what the spec says about reading a file."""
    return DatasetOptions(
        source_format=source_format,
        columns=spec.columns,
        system_prompt=spec.system_prompt,
        labels=spec.labels,
        encoding=spec.encoding,
        delimiter=spec.delimiter,
        reward=reward_settings(spec.reward, spec.labels),
        tries_reward=spec.reward_function is None,
        model=spec.model,
        evaluates_prompts=RowFormat.RFT in row_formats(spec, Role.EVAL),
        max_rejects=spec.max_rejects,
    )


def _run(
    job: Conversion,
    options: DatasetOptions,
    uploads: ExitStack,
    rejects: list[bytes],
    world: IngestWorld,
) -> Result:
    outputs = {item.role: _sinks(job, item, uploads, world.objects) for item in job.items}
    source = job.source
    open_source = partial(world.objects.get, source.source_key, source.version_id)
    if stem_of(source.source_key) != SPLIT_STEM:
        summary = convert(open_source(), outputs[source.role], options, rejects.append)
        return Result.of(source.role, summary)
    if job.spec.split is None:
        what = "must be divided by `split:` in experiment.yaml"
        do = "set it, or give sft, rft and eval as files of their own"
        return Result({}, DatasetRefused("split", what, do))
    split = _split(job.spec.split, outputs)
    divided = convert_split(open_source, split, outputs, options, rejects.append)
    return Result(
        divided.datasets,
        divided.refusal,
        divided.rejects,
        divided.rows_asked,
        divided.rows_left_out,
    )


def _split(settings: SplitSettings, roles: Iterable[str]) -> Split:
    return Split({role: settings.shares[role] for role in roles}, settings.seed)


def rows_of(
    spec: ExperimentSpec,
    role: Role,
    open_source: Callable[[], Source],
    options: DatasetOptions,
    log: RejectLog,
) -> Iterator[PlacedRows]:
    """Yield the rows that a role gets of its file, in its formats, with their places.

    Also of one that is divided. `options` may be more lenient than the spec. Raises DatasetRefused.
    """
    shared = split_roles(spec)
    if spec.split is None or role not in shared:
        yield from placed_rows(open_source(), row_formats(spec, role), options, log)
        return
    yield from placed_rows_of(
        role,
        open_source,
        _split(spec.split, shared),
        formats={str(each): row_formats(spec, each) for each in shared},
        options=options,
        log=log,
        divided_by=dataset_options(spec, options.source_format),
    )


def _sinks(
    job: Conversion, item: DatasetItem, uploads: ExitStack, objects: Objects
) -> dict[RowFormat, Sink]:
    folder = folder_of(job, item)
    return {
        each: uploads.enter_context(objects.writer(f"{folder}/{each.file_name}", JSON_LINES))
        for each in row_formats(job.spec, item.role)
    }


def folder_of(job: Conversion, item: DatasetItem) -> str:
    """Return a key prefix of its own for every version of the file, settings and exclusions."""
    version = f"{item.source_key}/{item.version_id}/{item.fingerprint}/{sorted(job.excluded)}"
    name = hashlib.sha256(version.encode()).hexdigest()[:16]
    return f"datasets/{job.experiment_id}/{item.role}/{name}"


def _put_rejects(job: Conversion, rejects: list[bytes], objects: Objects) -> str | None:
    if not rejects:
        return None
    key = f"{folder_of(job, job.source)}/rejects.jsonl"
    objects.put(key, b"".join(rejects), JSON_LINES)
    return key


def _finished(
    job: Conversion,
    item: DatasetItem,
    result: Result,
    rejects_key: str | None,
    world: IngestWorld,
) -> DatasetItem:
    done = replace(
        item,
        updated_at=world.clock.now(),
        rejected_rows=sum(each.rows for each in result.rejects.values()),
        rejects_key=rejects_key,
        status=DatasetStatus.REJECTED if result.refusal else DatasetStatus.ACCEPTED,
        reason="" if result.refusal is None else world.wording.told(result.refusal),
        summary=_of_rejects(result.rejects),
    )
    summary = result.summaries.get(item.role)
    if summary is None:
        return done
    folder = folder_of(job, item)
    put_card(folder, dataset_card(item.role, summary), world.objects)
    done = replace(done, card_key=f"{folder}/card.html")
    if result.refusal is not None:
        return done
    profile_key = f"{folder}/profile.npz"
    world.objects.put(profile_key, summary.profile.to_bytes(), "application/octet-stream")
    return replace(
        done,
        rows=summary.rows_out,
        sha256=summary.outputs[row_formats(job.spec, item.role)[0]].sha256,
        outputs={str(each): f"{folder}/{each.file_name}" for each in summary.outputs},
        profile_key=profile_key,
        summary={
            **done.summary,
            **_digest(summary, job.spec.labels),
            **_of_split(item.role, result),
        },
    )


def _of_rejects(rejects: Mapping[str, RejectedRows]) -> dict[str, Any]:
    """Return what an item tells of rejected rows; the list of them is another object."""
    by_rule = {rule: asdict(each) for rule, each in rejects.items()}
    return {"rejects": by_rule} if by_rule else {}


def _of_split(role: str, result: Result) -> dict[str, Any]:
    if role not in result.rows_asked:
        return {}
    asked, left_out = result.rows_asked[role], result.rows_left_out
    return {"split": {"rows_asked": asked, "rows_left_out": left_out}}


def put_card(folder: str, card: Mapping[str, Any], objects: Objects) -> None:
    """Write a dataset's card as a page and as JSON."""
    objects.put(f"{folder}/card.html", card_html(card).encode(), "text/html; charset=utf-8")
    objects.put(f"{folder}/card.json", json.dumps(card, indent=2).encode(), "application/json")


def _digest(summary: DatasetSummary, labels: Collection[str]) -> dict[str, Any]:
    """Return what a person wants to see of a dataset in its item.

    Answers that no spec declares as `labels` are text of the dataset, however short.
    """
    counts = summary.label_counts or {}
    return {
        "rows_in": summary.rows_in,
        "labels": {label: rows for label, rows in counts.items() if label in labels},
        "duplicate_rows": summary.duplicate_rows,
        "excluded_rows": summary.rows_excluded,
        "tokens": summary.tokens.total,
        "row_hash_sum": summary.row_hash_sum,
        "bytes": {str(name): output.size for name, output in summary.outputs.items()},
    }
