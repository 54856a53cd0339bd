"""The checked subset is read as `re` reads it: what it counts is what `re` will run.

Both readings of random patterns are compared part by part, where `re` accepts the pattern and the
subset doesn't refuse it. Alternatives begin with two letters of their own, because `re` takes out
what they have in common, and makes a class of those of one character each.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # what `re` runs
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novaloop.rewards import patterns
from novaloop.rewards.patterns import RefusedPattern, compile_pattern

SIZE = 500
ODD = [
    *("\u0660", "\uff11", "\u00b2", "\u0968", "\u2166"),  # digits to some of Unicode's rules
    *("\u00a0", "\u2028", "\u0085", "\x1c", "\n", "\t"),  # white space to some
    *("\u0130", "\u0131", "\u017f", "\u212a", "\u0345", "\u01c5", "\u00df"),  # with odd cases
    *("\u200d", "\u0301", "\ufe0f", "\U0001f600", "\ud800", "\x00"),
]
PLAIN = [*"aBkSi09_ -,^$.*+?{}[]()|\\:=!<>P#&~'\"", "&&", "--", "||"]
WRITTEN = [
    *(rf"\{letter}" for letter in "dDwWsSAZbBntrfva.*+?{}[]()|^$-0Nqz"),
    *(r"\x41", r"\u0660", r"\u0041", r"\U0001F600", r"\u212a", r"\x1f", "\\\u0660", "\\\n"),
    *("{2}", "{2,}", "{,2}", "{2,3}", "{0}", "{00}", "{,}", "{}", "{ 2}", "{2, 3}", "{2,3", "{a}"),
    *("{-1}", "{+1}", "{1_0}", "{1}?", "*?", "++", "{2}+", "(?:", "(?P<n>", "(?P<\u0660>", "(?i)"),
    *("[a-k]", "[^a]", "[]a]", "[^]a]", r"[\d-]", r"[\w-z]", "[--a]", "[^-a]", r"[\]a]", "[a\\-k]"),
    *("[a-\u0660]", "[\u0660-\u0669]", "[^\u0130]", r"[\x00-\x1f]", "[[]", "[a||b]", "[$-+]"),
]
COUNTS = st.builds(
    "{{{}{}{}}}".format,
    *[st.text([*"019", *ODD[:5]], max_size=2), st.sampled_from(["", ",", "\u060c", ", "])],
    st.text([*"019", *ODD[:5]], max_size=2),
)
TOKENS = st.sampled_from(ODD) | st.sampled_from(PLAIN) | st.sampled_from(WRITTEN) | COUNTS


def _grouped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    end = st.sampled_from([")", ")*", ")+", "){2}", "){\u0660}", "){1,\uff12}"])
    return st.builds("(?:{}{}".format, inner, end) | st.builds(
        "(?:ab{}|ba{}{}".format, inner, inner, end
    )


PARTS = st.recursive(TOKENS, _grouped, max_leaves=4)
PATTERNS = st.builds(
    "{}{}".format,
    st.sampled_from(["", "", "(?i)", "(?s)", "(?m)", "(?im)"]),
    st.lists(PARTS, max_size=8).map("".join),
)
SAMPLE = [*map(chr, range(128)), *ODD, "\u00e9", "\u03c9", "\u1e9e", "\u2160", "\u24d0", "\uff10"]
"""Characters of each kind, and those whose other case is ASCII or of another kind."""

Shape = list[Any]
"""Parts in a row: a pair of counts and what is repeated, alternatives, an assertion or the set of
what a character may be."""


def as_re_reads(parsed: Any, state: Any) -> Shape:
    """Return the shape of a pattern that `re` has parsed."""
    shape: Shape = []
    for kind, given_ in parsed:
        if kind in {_constants.MAX_REPEAT, _constants.MIN_REPEAT}:
            low, high, body = given_
            counts = (min(low, SIZE), min(int(high), SIZE))
            shape.append((*counts, as_re_reads(body, state)))
        elif kind is _constants.SUBPATTERN:
            shape += as_re_reads(given_[-1], state)
        elif kind is _constants.BRANCH:
            shape.append([as_re_reads(branch, state) for branch in given_[1]])
        elif kind is _constants.AT:
            shape.append("assertion")
        else:
            leaf = _compiler.compile(_parser.SubPattern(state, [(kind, given_)]), state.flags)
            shape.append({char for char in SAMPLE if leaf.fullmatch(char)})
    return shape


def as_read_here(part: Any) -> Shape:
    """Return the shape of a part as the subset reads it."""
    if part.kind == "sequence":
        return [each for inner in part.parts for each in as_read_here(inner)]
    if part.kind == "alternatives":
        return [[as_read_here(branch) for branch in part.parts]]
    if part.kind == "repetition":
        return [(part.low, part.high, as_read_here(part.parts[0]))]
    if part.kind == "assertion":
        return ["assertion"]
    return [{char for char in SAMPLE if part.first & _set_of(char)}]


def _set_of(char: str) -> int:
    code = ord(char)
    return 1 << code if code < 128 else patterns._kind_of(code)


def differences(theirs: Shape, ours: Shape) -> Iterator[str]:
    """Yield where two shapes differ; a set here may be larger than `re`'s, never smaller."""
    if len(theirs) != len(ours):
        yield f"{len(theirs)} parts in a row, not {len(ours)}"
    for their, our in zip(theirs, ours, strict=False):
        if type(their) is not type(our):
            yield f"a {type(their).__name__}, not a {type(our).__name__}"
        elif isinstance(their, tuple):
            if their[:2] != our[:2]:
                yield f"repeated {their[:2]} times, not {our[:2]}"
            yield from differences(their[2], our[2])
        elif isinstance(their, list):
            if len(their) != len(our):
                yield f"{len(their)} alternatives, not {len(our)}"
            for one, other in zip(their, our, strict=False):
                yield from differences(one, other)
        elif isinstance(their, set) and not their <= our:
            yield f"may be {sorted(their - our)} too"


def read_by_both(pattern: str) -> tuple[Shape, Shape] | None:
    """Return how `re` and the subset read a pattern; None if one of them refuses it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            parsed = _parser.parse(pattern)
        here = patterns._Parser(pattern, SIZE).alternatives(0)
    except (re.error, RefusedPattern, OverflowError):
        return None
    return as_re_reads(parsed, parsed.state), as_read_here(here)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(pattern=PATTERNS)
def test_a_pattern_is_read_as_re_reads_it(pattern: str) -> None:
    read = read_by_both(pattern)
    if read is not None:
        assert not list(differences(*read)), pattern


@pytest.mark.parametrize("digit", ["\u0660", "\uff10", "\u0968"])
@pytest.mark.parametrize("count", ["{%s}", "{%s,}", "{1,%s}", "{,%s}", "{1%s}"])
def test_a_count_is_of_ascii_digits(count: str, digit: str) -> None:
    """`re` reads any other text between the braces as itself."""
    read = read_by_both(f"(?:ab){count % digit}")
    assert read is not None
    assert not list(differences(*read))
    with pytest.raises(RefusedPattern, match=r"how often at most|read in one way"):
        compile_pattern(f"(?:(?:a|aa){{60}}b){count % digit}")


def test_most_random_patterns_say_something_of_both() -> None:
    """Both accept the written parts by themselves, so the comparison is no empty one."""
    both = [each for each in (*WRITTEN, *ODD, *PLAIN) if read_by_both(f"a{each}")]
    assert len(both) > 80
