"""Which files of an experiment's folder its plan does not use, why, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from novaloop.datasets.options import SourceFormat
from novaloop.datasets.reading.file_types import how_to_save
from novaloop.experiment.bounds import cut
from novaloop.experiment.names import (
    MAX_EXPERIMENT_WITHOUT_UID,
    SPEC_FILE,
    SPLIT_STEM,
    check_file_name,
    is_misnamed_spec,
    is_name,
    stem_of,
)
from novaloop.experiment.record import Record, Snapshot, looks_like_data
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import file_for, roles, split_roles
from novaloop.experiment.spec.stages import Role

SHOWN = 3
"""How many files of a cause are named where room is short, as in a record's reason."""
NO_FILE = "nothing of an experiment is called like that"


def why_not_used(experiment_id: str, file: str, spec: ExperimentSpec) -> str:
    """Say why a file of an experiment's folder is not used, and what helps; empty if it is used."""
    stem, needed, divided = stem_of(file), roles(spec), split_roles(spec)
    is_dataset = is_meant_as_data(file) or stem in needed
    names = ", ".join(dict.fromkeys(file_for(spec, role) for role in needed)) or "no data"
    is_read = SourceFormat.of(file) is not None
    to_read = "" if is_read else f"; {how_to_save(file)}"
    division = split_for(spec)
    misspelt = next(check_file_name(file, ""), None)
    causes = (
        (misspelt is not None, str(misspelt)),
        (
            not is_name(experiment_id, MAX_EXPERIMENT_WITHOUT_UID),
            "no experiment can have the name of its folder",
        ),
        ("/" in file, f"it lies in a folder of its own: put it beside {SPEC_FILE}"),
        (file == SPEC_FILE, ""),
        (
            stem.lower() == SPLIT_STEM and not divided,
            f"write `{division}` in {SPEC_FILE}, which divides {SPLIT_STEM}.csv, or give {names} "
            f"instead{to_read}"
            if division
            else f"the plan needs {names}, which are not made of one file{to_read}",
        ),
        (
            is_dataset and not is_read,
            f"its format is not read: {how_to_save(file)}, called {stem.lower()}.csv",
        ),
        (is_dataset and stem != stem.lower(), f"names are in lower case: call it {file.lower()}"),
        (stem in divided, f"`split:` makes it from {SPLIT_STEM}.csv"),
        (stem in needed or stem == SPLIT_STEM, ""),
        (is_dataset, "no stage of the plan uses it"),
        (looks_like_data(file), f"no data of the plan is called so, but {names}{to_read}"),
    )
    return next((cause for holds, cause in causes if holds), NO_FILE)


_WEIGHTS = {Role.SFT: 6, Role.RFT: 2, Role.DPO: 2, Role.EVAL: 2, Role.VALIDATION: 1}


def split_for(spec: ExperimentSpec) -> str:
    """Return a `split:` that makes a plan's datasets of one file; empty if it has one, or none can.

    Fractions, since the numbers of rows are not known where the file is none of the plan's yet.
    """
    weights = {role: _WEIGHTS[Role(role)] for role in roles(spec) if role in _WEIGHTS}
    if spec.split is not None or len(weights) < 2 or Role.EVAL not in weights:
        return ""
    whole = sum(weights.values())
    # Rounded down, so that they never are more than the file has.
    shares = (f"{role}: {100 * each // whole / 100:g}" for role, each in weights.items())
    return f"split: {{{', '.join(shares)}}}"


def what_is_not_used(
    experiment_id: str,
    files: Iterable[str],
    spec: ExperimentSpec,
    more: int = 0,
    shown: int = SHOWN,
) -> Iterator[str]:
    """Yield for each cause which of the files are not used; `more` are there of which no name is
    known. Of each cause, `shown` are named."""
    by_cause: dict[str, list[str]] = {}
    for file in files:
        if cause := why_not_used(experiment_id, file, spec):
            by_cause.setdefault(cause, []).append(file)
    for cause, each in by_cause.items():
        yield f"{_are_there(each, shown)}, but not used: {cause}"
    if more:
        yield f"{more:,} more {'is' if more == 1 else 'are'} there, and not looked at"


def others_of_datasets(files: Sequence[str], used: Iterable[str]) -> Iterator[str]:
    """Yield for each used file which others hold the same dataset, as `sft.csv` beside
    `sft.jsonl`."""
    for file in dict.fromkeys(used):
        others = [each for each in files if each != file and stem_of(each) == stem_of(file)]
        if others:
            yield (
                f"{_are_there(others, SHOWN)}, but not used: {file} is the same dataset and came "
                "last; if that is the wrong one, submit the other under a new experiment name"
            )


class _Late(NamedTuple):
    """An upload that came too late."""

    uploaded_at: datetime
    file: str
    version_id: str
    used: str | None


def unused_uploads(record: Record, snapshot: Snapshot) -> Iterator[str]:
    """Yield which uploads are not used, once the experiment has started or is over."""
    if late := late_uploads(record, snapshot):
        yield _told_of(late, record)
    if record.started_at is not None:
        meant = [name for name in snapshot.strays.names if is_meant_as_data(name)]
        idle = [
            item.file
            for role, item in sorted(snapshot.datasets.items())
            if role not in roles(record.spec) and not is_misnamed_spec(role)
        ]
        files = dict.fromkeys((*meant, *idle))
        yield from what_is_not_used(record.experiment_id, files, record.spec)


def late_uploads(record: Record, snapshot: Snapshot) -> Sequence[_Late]:
    """Return the uploads without which the experiment has started, or that came after its end.

    What no stage of its plan uses is not late: under another name it would not be used either.
    """
    spec, items = snapshot.spec, snapshot.datasets.items()
    if record.started_at is None:
        ended_at = record.ended_at
        uploads = [(item.uploaded_at, item.file, item.version_id) for _, item in items]
        uploads += [(spec.uploaded_at, SPEC_FILE, spec.version_id)] if spec else []
        return [_Late(*each, None) for each in uploads if ended_at and each[0] > ended_at]
    versions = {role: dataset.version_id for role, dataset in record.datasets.items()}
    late = [
        _Late(item.uploaded_at, item.file, item.version_id, used)
        for role, item in items
        if (role in roles(record.spec) or is_misnamed_spec(role))
        and item.version_id != (used := versions.get(role))
    ]
    if spec is not None and record.spec_upload not in {None, spec.version_id}:
        late.append(_Late(spec.uploaded_at, SPEC_FILE, spec.version_id, record.spec_upload))
    return late


def _told_of(late: Sequence[_Late], record: Record) -> str:
    """Name each upload once, in the order in which they came: one may be of several datasets."""
    instead: dict[str, dict[str, None]] = {}
    for each in sorted(late, key=lambda each: each[:3]):
        file = f"{each.file} version {each.version_id}" if each.version_id else each.file
        used = f"version {each.used}" if each.used else "none"
        instead.setdefault(file, {})[used] = None
    files = ", ".join(instead)
    if record.started_at is None:
        return f"{files} came after the experiment was over; submit under a new experiment name"
    if len(instead) == 1:
        used = ", ".join(instead[files])
        return (
            f"{files} is not used: the experiment started with {used} in its place; submit it "
            "under a new experiment name"
        )
    return (
        f"{files} are not used: the experiment started without them; submit them under a new "
        "experiment name"
    )


def is_meant_as_data(file: str) -> bool:
    """Whether a file is called like a dataset, whether or not it can be read as one."""
    return stem_of(file).lower() in {*Role, SPLIT_STEM}


def _are_there(files: Sequence[str], shown: int) -> str:
    names = [cut(name, 100) for name in files[:shown]]
    names += [f"{len(files) - shown:,} more"] if len(files) > shown else []
    return f"{', '.join(names)} {'is' if len(files) == 1 else 'are'} there"
