"""The inbox: what the keys are under which people upload, `inbox/<experiment>/<file>`."""

from __future__ import annotations

from dataclasses import dataclass

NOT_READ = ""
"""The version of an item that tells why none was read."""
INBOX = "inbox/"


@dataclass(frozen=True)
class InboxFile:
    """A file of an experiment. Neither name need be a good one: ingest says what is wrong."""

    experiment_id: str
    name: str


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


def stem_of(key: str) -> str:
    """Return a file's name without its extensions."""
    return key.rpartition("/")[2].partition(".")[0]
