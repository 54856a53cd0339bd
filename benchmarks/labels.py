"""The reading of labels against what a careful person reads: `labels.jsonl`, an answer a line.

    {"part": 1, "style": "negation", "labels": [...], "answer": "...", "label": "HQ" or null}

The answers are written after how models write, in many styles and scripts; where a person would
be in doubt there is no label. The rules of `novaloop.rewards` were made with part 1. Parts 2 to 5
were written one after the other when there were rules, each was read once as it stood (FIRST_READ),
and then used to mend the rules, the last one excepted: only what was read at first tells of answers
that nobody has seen.

`labels_hostile.jsonl` is a table apart: answers in which labels are refused, hedged, quoted, put
into tables, given twice or meant in another sense. Its part 1 was read once as it stood and then
used to mend the rules; part 2 was written and read after that, and nothing was changed since.

Prints precision (of the labels read, those that are right) and recall (of the answers with a label,
those read right), by style and by part; 1 if precision is below REQUIRED.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "layers" / "novaloop"), str(ROOT)]

from novaloop.rewards.labels import label_reader  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = Path(__file__).with_name("labels.jsonl")
HOSTILE = Path(__file__).with_name("labels_hostile.jsonl")
REQUIRED = 0.99
FIRST_READ = {
    "part 2": (270, 290, 282),
    "part 3": (190, 195, 200),
    "part 4": (55, 58, 57),
    "part 5": (27, 28, 27),
}
"""Right, read and readable when a part was read for the first time; later changes don't count."""
HOSTILE_FIRST_READ = {"part 1": (59, 75, 71), "part 2": (17, 21, 23)}


@dataclass
class Counts:
    """Of some answers: how many were read right, read at all, and have a label."""

    rows: int = 0
    right: int = 0
    read: int = 0
    readable: int = 0

    def add(self, label: str | None, read: str | None) -> None:
        self.rows += 1
        self.right += read is not None and read == label
        self.read += read is not None
        self.readable += label is not None

    @property
    def precision(self) -> float:
        return self.right / self.read if self.read else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.readable if self.readable else 1.0


def counts(table: Path = TABLE) -> Mapping[str, Counts]:
    """Read every answer of the table; by style, by part and in all."""
    found: dict[str, Counts] = defaultdict(Counts)
    for line in table.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        read = label_reader(tuple(row["labels"])).lenient(row["answer"])
        for name in (row["style"], f"part {row['part']}", "all"):
            found[name].add(row["label"], read)
    return found


def _print(found: Mapping[str, Counts], first_read: Mapping[str, tuple[int, int, int]]) -> None:
    last = [*dict.fromkeys(("part 1", *first_read, "all"))]
    for name in (*sorted(found.keys() - {*last}), *last):
        each = found[name]
        print(f"{name} | {each.rows} | {each.readable} | {each.precision:.3f} | {each.recall:.3f}")
    for name, (right, read, readable) in first_read.items():
        print(f"{name} at first | | {readable} | {right / read:.3f} | {right / readable:.3f}")


def main() -> int:
    """Print the figures; 1 if a promise isn't kept."""
    found = counts()
    print("style | answers | with a label | precision | recall")
    _print(found, FIRST_READ)
    print("\nhostile answers:")
    _print(counts(HOSTILE), HOSTILE_FIRST_READ)
    return 0 if found["all"].precision >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
