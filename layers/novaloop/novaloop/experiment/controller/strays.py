"""Which files of an experiment's folder its plan does not use, why, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from novaloop.datasets.options import SourceFormat
from novaloop.experiment.bounds import cut
from novaloop.experiment.names import (
    MAX_EXPERIMENT_WITHOUT_UID,
    SPEC_FILE,
    SPLIT_STEM,
    check_file_name,
    is_name,
    stem_of,
)
from novaloop.experiment.record import looks_like_data
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import roles, split_roles
from novaloop.experiment.spec.stages import Role

SHOWN = 3
"""How many files of a cause are named where room is short, as in a record's reason."""
NO_FILE = "nothing of an experiment is called like that"


def why_not_used(experiment_id: str, file: str, spec: ExperimentSpec) -> str:
    """Say why a file of an experiment's folder is not used, and what helps; empty if it is used."""
    stem, needed, divided = stem_of(file), roles(spec), split_roles(spec)
    is_dataset = stem.lower() in {*Role, SPLIT_STEM}
    read = [f"{SPLIT_STEM}.csv"] if divided else []
    read += [f"{role}.csv" for role in needed if role not in divided]
    names = ", ".join(read) or "no data"
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
            is_dataset and SourceFormat.of(file) is None,
            f"its format is not read: save it as {stem.lower()}.csv or {stem.lower()}.jsonl",
        ),
        (is_dataset and stem != stem.lower(), f"names are in lower case: call it {file.lower()}"),
        (
            stem == SPLIT_STEM and not divided,
            f"set `split:` in {SPEC_FILE}, which divides it, or give {names} instead",
        ),
        (stem in divided, f"`split:` makes it from {SPLIT_STEM}.csv"),
        (stem in needed or stem == SPLIT_STEM, ""),
        (is_dataset, "no stage of the plan uses it"),
        (looks_like_data(file), f"no data of the plan is called so, but {names}"),
    )
    return next((cause for holds, cause in causes if holds), NO_FILE)


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


def _are_there(files: Sequence[str], shown: int) -> str:
    names = [cut(name, 100) for name in files[:shown]]
    names += [f"{len(files) - shown:,} more"] if len(files) > shown else []
    return f"{', '.join(names)} {'is' if len(files) == 1 else 'are'} there"
