"""The inbox: what the keys are under which people upload, `inbox/<experiment>/<file>`."""

from __future__ import annotations

from dataclasses import dataclass

from novaloop.datasets.options import SourceFormat
from novaloop.experiment.names import (
    INBOX,
    MAX_EXPERIMENT_WITHOUT_UID,
    MAX_RECORDED,
    SPEC_FILE,
    SPLIT_STEM,
    is_misnamed_spec,
    is_name,
    stem_of,
)
from novaloop.experiment.spec.stages import Role

NOT_READ = ""
"""The version of an item that tells why none was read."""


@dataclass(frozen=True)
class InboxFile:
    """A file in an experiment's folder. Neither name need be a good one."""

    experiment_id: str
    name: str

    @property
    def is_stray(self) -> bool:
        """Whether no experiment can have it; in a folder of an impossible name, all are such.

        How long that name may be, its record tells: the controller holds it to that.
        """
        if self.name == SPEC_FILE or is_misnamed_spec(self.name):
            return False  # it is told of, whatever the folder is called
        is_nested = "/" in self.name  # such as `old/sft.csv`, which must not replace `sft.csv`
        stem = stem_of(self.name)
        # By any other name a plan may ask for it, as for answers that were recorded.
        is_called = stem in {*Role, SPLIT_STEM} or is_name(stem, MAX_RECORDED)
        is_data = is_called and SourceFormat.of(self.name)
        named = is_name(self.experiment_id, MAX_EXPERIMENT_WITHOUT_UID)
        return is_nested or not is_data or not named


@dataclass(frozen=True)
class Unusable:
    """An object in the inbox that belongs to no experiment, so that nobody can be told of it."""

    problem: str


def read_key(key: str) -> InboxFile | Unusable | None:
    """Say what a key is; None for what is nothing of ours: other prefixes, and empty folders.

    S3's console makes a folder as an object of no bytes whose key ends in a slash. Everything else
    can be in a bucket too: a key is any UTF-8 of up to 1,024 bytes, slashes wherever one likes.
    """
    if not key.startswith(INBOX) or key.endswith("/"):
        return None
    experiment_id, slash, name = key.removeprefix(INBOX).partition("/")
    if not slash:
        return Unusable(f"{key} lies in no folder; upload it to {INBOX}<experiment>/")
    if not experiment_id:
        return Unusable(f"{key} has an empty folder name; upload it to {INBOX}<experiment>/")
    return InboxFile(experiment_id, name)
