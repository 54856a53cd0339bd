"""Which parts are copied and which are read, for objects of any sizes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from novaloop.cloud.parts import LARGEST, SMALLEST, Part, is_copied, plan_parts

MIB, GIB = 1 << 20, 1 << 30
SIZES = st.lists(st.integers(0, 2_000), max_size=12)


def size_of(part: Part) -> int:
    return sum(span.end - span.start for span in part)


@given(SIZES, st.integers(1, 50), st.integers(2, 20))
def test_parts_hold_every_byte_once_in_order_and_are_of_sizes_that_s3_takes(
    sizes: list[int], smallest: int, times: int
) -> None:
    objects = [(f"o{number}", size) for number, size in enumerate(sizes)]
    parts = list(plan_parts(objects, smallest, times * smallest))
    held = [
        (span.key, byte) for part in parts for span in part for byte in range(span.start, span.end)
    ]
    assert held == [(key, byte) for key, size in objects for byte in range(size)]
    assert all(size_of(part) >= smallest for part in parts[:-1])
    assert all(0 < size_of(part) <= times * smallest for part in parts)
    for part in parts:
        if is_copied(part, smallest):
            assert part[0].is_whole or part[0].size > smallest
        else:
            assert size_of(part) <= smallest


@given(SIZES)
def test_little_is_read(sizes: list[int]) -> None:
    """A part for each object that is too small, at most, and one for each end of the others."""
    objects = [(f"o{number}", size) for number, size in enumerate(sizes)]
    read = sum(size_of(part) for part in plan_parts(objects, 50, 500) if not is_copied(part, 50))
    assert read <= sum(size if size < 50 else 50 for size in sizes) + 50


def test_fifty_gibibytes_after_a_small_file() -> None:
    parts = list(plan_parts([("small", 3 * MIB), ("huge", 50 * GIB)], SMALLEST, LARGEST))
    assert [is_copied(part, SMALLEST) for part in parts] == [False] + [True] * 200
    assert size_of(parts[0]) == SMALLEST
