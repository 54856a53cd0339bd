"""Names that Novaloop gives and reads back.

A job is called `<prefix>-<experiment>--<uid>-<stage>-<attempt>`, with the first characters of the
experiment's uid: a name that is used again, after its record was deleted, meets nothing of the
former experiment. No experiment name holds `--`, so the experiment is read back from a job name
without a look-up, and the length limits below keep every name within SageMaker's 63 characters.

Release 0.1.0 gave experiments no uid; those that it began keep the names they have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from novaloop.problem import Problem

MAX_PREFIX = 8
MAX_EXPERIMENT = 27
MAX_EXPERIMENT_WITHOUT_UID = 32
"""As release 0.1.0 had it."""
UID_IN_NAMES = 4
"""How many characters of a uid a name holds: enough to tell apart a few experiments of one name.
Where they are the same by chance, the tags tell, and the later experiment fails at its launch."""
MAX_STAGE = 16
MAX_ENDPOINT = 32
MAX_RECORDED = 32
MAX_ATTEMPT = 999

_WORDS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def is_name(text: str, longest: int) -> bool:
    """Whether `text` is lower-case words joined by single hyphens, at most `longest` long."""
    return len(text) <= longest and _WORDS.fullmatch(text) is not None


def check_experiment_name(
    text: str, longest: int = MAX_EXPERIMENT, where: str = ""
) -> Iterator[Problem]:
    """Yield that `text` can't name an experiment, if it can't."""
    if not is_name(text, longest):
        what = (
            f"the experiment name must be at most {longest} characters: lower-case letters and "
            "digits, in words joined by single hyphens, such as my-classifier-2"
        )
        yield Problem(where, what, "rename the folder")


def job_name(prefix: str, experiment: str, uid: str | None, stage: str, attempt: int) -> str:
    """Name the job, model, endpoint configuration and endpoint of one attempt at one stage.

    `uid` is None for an experiment of release 0.1.0.
    """
    if not 1 <= attempt <= MAX_ATTEMPT:
        raise ValueError(f"attempt must be 1 to {MAX_ATTEMPT}, not {attempt}")
    mark = f"{uid[:UID_IN_NAMES]}-" if uid else ""
    return f"{prefix}-{experiment}--{mark}{stage}-{attempt}"


def model_package_group(prefix: str, experiment: str) -> str:
    """Name the model package group whose versions are the models that an experiment trained."""
    return f"{prefix}-{experiment}"


def evaluator_hub(prefix: str) -> str:
    """Name the hub that holds a stack's reward functions as evaluators."""
    return f"{prefix}-evaluators"


def endpoint_name(prefix: str, endpoint: str) -> str:
    """Name the endpoint that one experiment after the other may serve under.

    No such name holds `--`, so none is also the name of an attempt.
    """
    return f"{prefix}-{endpoint}"


def experiment_of_job(prefix: str, name: str) -> str | None:
    """Read the experiment back from a job name; None if the name isn't one of ours."""
    head, mark, _ = name.removeprefix(f"{prefix}-").partition("--")
    ours = name.startswith(f"{prefix}-") and mark and is_name(head, MAX_EXPERIMENT_WITHOUT_UID)
    return head if ours else None


def experiment_at(endpoint: str, config: str) -> str | None:
    """Read back whose configuration an endpoint serves; None if it isn't one of ours.

    Both have one prefix, perhaps not the present one.
    """
    return experiment_of_job(endpoint.partition("-")[0], config)


INBOX = "inbox/"
SPEC_FILE = "experiment.yaml"
MISNAMED_SPEC_FILE = "experiment.yml"
"""Stands for all files that are called almost like it, in any spelling."""

SPLIT_STEM = "data"
"""How the file is called, whatever its format, that `split:` divides into datasets."""


def file_of(key: str) -> str:
    """Return the name of the file that a key ends in."""
    return key.rpartition("/")[2]


def stem_of(key: str) -> str:
    """Return a file's name without its extensions."""
    return file_of(key).partition(".")[0]


def is_misnamed_spec(file: str) -> bool:
    """Whether a file is a spec by its looks, but would not be read under its name."""
    looks_so = re.fullmatch(r"experiment\.ya?ml", file, re.IGNORECASE) is not None
    return looks_so and file != SPEC_FILE


def check_file_name(file: str, where: str) -> Iterator[Problem]:
    """Yield that a file is a spec by its looks but is not read, if it is."""
    if is_misnamed_spec(file):
        yield Problem(where, "is not read", f"call it {SPEC_FILE}")


def report_prefix(experiment_id: str) -> str:
    """Return the key prefix of an experiment's report."""
    return f"reports/{experiment_id}/report"


def plan_key(experiment_id: str) -> str:
    """Return the key of the plan that a dry run writes."""
    return f"reports/{experiment_id}/plan.json"
