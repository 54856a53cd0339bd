"""How objects are joined inside of S3: which parts of a multipart upload hold which bytes.

S3 copies a part out of another object by itself (UploadPartCopy). A part has 5 MiB to 5 GiB, and
only the last may be smaller ("Amazon S3 multipart upload limits" in its User Guide); a range can be
copied only out of an object of more than 5 MiB (API_UploadPartCopy, aws/aws-cli#3577). So what is
smaller is read and written anew, together with as much of what follows as makes a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

SMALLEST, LARGEST = 5 << 20, 256 << 20
"""Of a part, in bytes. S3 answers when a part is copied, so a part of 5 GiB could outlast the
client's patience; many smaller ones are copied at the same time."""


@dataclass(frozen=True)
class Span:
    """The bytes from `start` to before `end` of an object of `size` bytes."""

    key: str
    start: int
    end: int
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the object."""
        return self.end - self.start == self.size


Part = tuple[Span, ...]
"""The bytes of one part, in order. A span that is a part by itself is copied; all else is read."""


def is_copied(part: Part, smallest: int) -> bool:
    """Whether S3 can copy the part by itself."""
    return len(part) == 1 and part[0].end - part[0].start >= smallest


def plan_parts(objects: Sequence[tuple[str, int]], smallest: int, largest: int) -> Iterator[Part]:
    """Return the parts that make up the objects, given by key and size, one after the other.

    `largest` is at least twice `smallest`. Nothing comes of objects without bytes.
    """
    read: list[Span] = []
    missing = 0  # how many bytes what is read still needs to be a part
    for key, size in objects:
        start = min(size, missing)
        if start:
            read.append(Span(key, 0, start, size))
            missing -= start
        if read and not missing:
            yield tuple(read)
            read = []
        rest = size - start
        if rest >= smallest:
            number = -(-rest // largest)
            cuts = [start + rest * cut // number for cut in range(number + 1)]
            yield from ((Span(key, *cut, size),) for cut in pairwise(cuts))
        elif rest:
            read.append(Span(key, start, size, size))
            missing = smallest - rest
    if read:
        yield tuple(read)
