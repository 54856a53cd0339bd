"""Checks across datasets: once all are accepted, and before anything is spent on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice
from typing import BinaryIO

from novaloop.datasets.policies import Check, FindingPolicy
from novaloop.datasets.profile.card import finding_content
from novaloop.datasets.profile.checks import Finding, check_datasets
from novaloop.datasets.profile.profile import DatasetProfile
from novaloop.datasets.rejects import RejectLog
from novaloop.experiment.controller.intake import data_fingerprint, max_lengths, versions_of
from novaloop.experiment.record import ChecksItem, DatasetItem, DatasetStatus, Snapshot
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import question_column, recorded_files, roles
from novaloop.experiment.spec.stages import Role
from novaloop.problem import Problem
from novaloop.usecases.attempts import is_given_up, is_told, noticing, why_given_up, why_not_yet
from novaloop.usecases.big_files import is_big
from novaloop.usecases.conversion import (
    Conversion,
    IngestWorld,
    convert_file,
    options_of,
    rows_of,
)
from novaloop.usecases.inbox import NOT_READ
from novaloop.usecases.spec_upload import present_spec

FIRST_LINES = 3
MAX_READ_AGAIN = 64 << 20
"""Bytes of a file, packed or not, that are read again for the lines of a finding."""


def check_experiment(experiment_id: str, world: IngestWorld) -> None:
    """Check the datasets that the plan needs against each other, if all are accepted."""
    snapshot = world.store.load(experiment_id)
    spec, _ = present_spec(experiment_id, world)
    accepted = _accepted(snapshot, spec) if spec else None
    if spec is None or accepted is None:
        return
    versions = versions_of(accepted)
    if snapshot.checks is not None and snapshot.checks.versions == versions:
        return

    def back(code: str) -> None:
        world.store.take_back(experiment_id, "CHECKS", versions)
        present, since = snapshot.checks, max(item.updated_at for item in accepted)
        says_so = present is not None and not present.versions and present.checked_at >= since
        # Once is enough: its item brings a look about, which asks again.
        if not says_so and is_told(since, world):
            reason = f"the datasets {why_not_yet('checked against each other', code)}"
            told = ChecksItem(NOT_READ, world.clock.now(), reason)
            world.store.put_checks(experiment_id, told)

    if is_given_up(experiment_id, "CHECKS", versions, world):
        reason = f"the datasets {why_given_up('checked against each other')}"
        world.store.put_checks(experiment_id, ChecksItem(versions, world.clock.now(), reason))
        return
    with noticing(back):
        findings = check_datasets(
            _profiles(accepted, world),
            spec.checks,
            max_lengths(spec),
            spec.labels,
            question_column(spec),
        )
        findings += _of_split(accepted, spec)
        findings = list(_with_lines(experiment_id, spec, accepted, findings, world))
        refusal = _refusal(findings) or _drop_rows(experiment_id, spec, accepted, findings, world)
        if refusal is None and recorded_files(spec):
            problems = _check_recorded(experiment_id, spec, accepted, world)
            refusal = "; ".join(map(str, problems)) or None
        contents = tuple(finding_content(finding) for finding in findings)
        item = ChecksItem(versions, world.clock.now(), refusal, contents)
        world.store.put_checks(experiment_id, item)


def _accepted(snapshot: Snapshot, spec: ExperimentSpec) -> list[DatasetItem] | None:
    """Return the datasets that the plan needs, or None if not all of them are accepted."""
    found = [(role, snapshot.datasets.get(role)) for role in roles(spec)]
    accepted = [
        item
        for role, item in found
        if item is not None
        and item.status is DatasetStatus.ACCEPTED
        and item.fingerprint == data_fingerprint(spec, role)
    ]
    return accepted if len(accepted) == len(found) else None


def _check_recorded(
    experiment_id: str, spec: ExperimentSpec, accepted: Sequence[DatasetItem], world: IngestWorld
) -> Iterator[Problem]:
    """Yield why recorded answers are not those to the evaluation rows that are left, if so."""
    # Few plans have such answers, and reading them loads what metrics are.
    from novaloop.usecases.recorded import check_recorded  # noqa: PLC0415

    left = {item.role: item for item in accepted}
    for role, now in world.store.load(experiment_id).datasets.items():
        before = left.get(role)
        same = before is not None and versions_of([now]) == versions_of([before])
        if same and now.status is DatasetStatus.ACCEPTED:
            left[role] = now
    yield from check_recorded(left, spec, world.objects)


def _profiles(items: Sequence[DatasetItem], world: IngestWorld) -> dict[str, DatasetProfile]:
    """Read the profiles; a judge's rows train nothing, so they may be about the same questions.

    Recorded answers, which are to questions of other datasets, have none.
    """
    profiles: dict[str, DatasetProfile] = {}
    for item in items:
        if item.role == Role.LLM_JUDGE or item.profile_key is None:
            continue
        with world.objects.get(item.profile_key) as body:
            profiles[item.role] = DatasetProfile.from_bytes(body.read())
    return profiles


def _with_lines(
    experiment_id: str,
    spec: ExperimentSpec,
    items: Sequence[DatasetItem],
    findings: Sequence[Finding],
    world: IngestWorld,
) -> Iterator[Finding]:
    """Yield the findings, those about rows with the lines on which the first of them begin.

    Profiles have no lines, so a file is read once more, as far as is needed; not a large one.
    """
    for item in items:
        job = Conversion(experiment_id, spec, (item,))
        places = list(places_of(findings, job, world))
        findings = [
            replace(each, message=f"{each.message} ({item.file}, {place})") if place else each
            for each, place in zip(findings, places, strict=True)
        ]
    yield from findings


def places_of(findings: Sequence[Finding], job: Conversion, world: IngestWorld) -> Iterator[str]:
    """Yield for each finding the lines on which the first of its rows begin, in words.

    Empty for those about rows of other files, or of none, and where the file is a large one.
    """
    asked = {
        index: each
        for index, each in enumerate(findings)
        if each.roles[0] == job.source.role and (each.questions or each.longer_than is not None)
    }
    upload = world.objects.newest(job.source.source_key) if asked else None
    is_read = upload is not None and upload.size <= MAX_READ_AGAIN
    found = _first_lines(job, asked, world) if is_read else {}
    for index in range(len(findings)):
        lines = found.get(index, [])
        more = " and others" if len(lines) > FIRST_LINES else ""
        first = ", ".join(map(str, lines[:FIRST_LINES]))
        yield f"{'line' if len(lines) == 1 else 'lines'} {first}{more}" if lines else ""


def _first_lines(
    job: Conversion, findings: Mapping[int, Finding], world: IngestWorld
) -> Mapping[int, list[int]]:
    """Return the first lines, and one more if there are others, of each finding about one file."""
    options, source, log = options_of(job, world), job.source, RejectLog(lambda _: None)
    lines: dict[int, list[int]] = {index: [] for index in findings}
    with ExitStack() as opened:

        def open_source() -> BinaryIO:
            body = world.objects.get(source.source_key, source.version_id)
            return opened.enter_context(closing(body))

        for rows, place in rows_of(job.spec, Role(source.role), open_source, options, log):
            for index, finding in findings.items():
                found = lines[index]
                wanted = FIRST_LINES + 1 - len(found)
                found += [place(row).line for row in islice(finding.concerns(rows), wanted)]
            if all(len(found) > FIRST_LINES for found in lines.values()):
                break
    return lines


def _of_split(items: Sequence[DatasetItem], spec: ExperimentSpec) -> Iterator[Finding]:
    """Yield a finding if `split:` left rows out, or a dataset has other rows than it asks for."""
    divided = {item.role: item for item in items if "split" in item.summary}
    if not divided:
        return
    any_of = next(iter(divided.values()))
    left_out = any_of.summary["split"]["rows_left_out"]
    asked = {role: item.summary["split"]["rows_asked"] for role, item in divided.items()}
    told = [f"{left_out:,} of the rows of {any_of.file} are left out"] if left_out else []
    told += [
        f"{role} has {item.rows:,} rows, not {asked[role]:,}, since equal questions stay together"
        for role, item in divided.items()
        if item.rows != asked[role]
    ]
    if told:
        policy = spec.checks.get(Check.SPLIT_ROWS, FindingPolicy.WARN)
        yield Finding(Check.SPLIT_ROWS, policy, tuple(divided), left_out, "; ".join(told))


def _refusal(findings: Sequence[Finding]) -> str | None:
    refused = [each for each in findings if each.policy is FindingPolicy.REFUSE]
    if not refused:
        return None
    messages = "; ".join(each.message for each in refused)
    settings = ", ".join(sorted({f"{each.check}: warn" for each in refused}))
    return f"{messages}. Upload corrected files, or set `checks: {{{settings}}}`."


def _drop_rows(
    experiment_id: str,
    spec: ExperimentSpec,
    items: Sequence[DatasetItem],
    findings: Sequence[Finding],
    world: IngestWorld,
) -> str | None:
    """Convert each dataset again without the questions that a finding drops from it.

    Its profile stays that of all rows, so that a check that is repeated finds the same. Returns
    why that can't be done, before anything is: for a file too big for one call.
    """
    jobs: list[Conversion] = []
    for item in items:
        dropped = frozenset[int]().union(
            *(
                each.questions
                for each in findings
                if each.policy is FindingPolicy.DROP and each.roles[0] == item.role
            )
        )
        if dropped:
            jobs.append(Conversion(experiment_id, spec, (item,), dropped))
    for job in jobs:
        if _is_big(job, world):
            return (
                f"{job.source.file} is too big for rows to be left out of it. Remove them from the "
                "file, or write `warn` for `drop` in `checks:`."
            )
    for job in jobs:
        (done,) = convert_file(job, world)
        kept = replace(done, profile_key=job.source.profile_key)
        world.store.put_dataset(experiment_id, kept)
    return None


def _is_big(job: Conversion, world: IngestWorld) -> bool:
    upload = world.objects.newest(job.source.source_key)
    big = world.big_files
    return big is not None and upload is not None and is_big(job, upload.size, big)
