"""Patterns of rewards: what is accepted takes bounded time, counted and by the clock."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from novaloop.rewards import patterns
from novaloop.rewards.patterns import RefusedPattern, compile_pattern, search
from novaloop.rewards.reward import score_batch
from tests.unit.rewards.counting_matcher import CountingMatcher

DOCS = Path(__file__).parents[3] / "docs" / "rewards.md"
SECONDS = 60
"""Of this process's own time for one search; the worst that is accepted takes one here."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupt a search, which `re` allows signals to do."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"takes more than {seconds} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.mark.parametrize(
    ("pattern", "part", "advice"),
    [
        ("(a+)+$", "`(a+)+` at character 1 ", "read in one way only"),
        ("x(a|a)*b", "`(a|a)*` at character 2 ", "read in one way only"),
        ("(a|ab)*c", "`(a|ab)*` ", "read in one way only"),
        (r"(?:\w+\s?)*$", r"`(?:\w+\s?)*` ", "read in one way only"),
        (r"^(\w+\d*)+$", r"`(\w+\d*)+` at character 2 ", "read in one way only"),
        ("(?i)([a-z]+K+)*x", "`([a-z]+K+)*` at character 5 ", "read in one way only"),
        ("(?i)(?:\u212a+k)*x", "`(?:\u212a+k)*` ", "read in one way only"),
        ("([^\u00e9]+[^a]+)+x", "at character 1 ", "read in one way only"),
        ("(?:a*)*b", "`(?:a*)*` ", "let every repetition take a character"),
        ("(?:^|b?)*c", "`(?:^|b?)*` ", "let every repetition take a character"),
        (r"\d+\d+$", r"`\d+` at character 1 ", "begin with another character"),
        (".*.*x", "`.*` at character 3 ", "how often at most"),
        ("(?:a?){4000}b", "`(?:a?){4000}` at character 1 ", "how often at most"),
        ("(?:a{0,100}){0,100}b", "`(?:a{0,100}){0,100}` ", "how often at most"),
        ("(a|a){30}b", "`(a|a){30}` at character 1 ", "read in one way only"),
        ("(?:a|ab)" * 20 + "c", "too many alternatives", "use fewer"),
        ("(?:(?:a+){3})+z", "`(?:(?:a+){3})+` at character 1 ", "read in one way only"),
        ("(([ab]+){4})+z", "`(([ab]+){4})+` at character 1 ", "read in one way only"),
        ("(?:(?:a+){3})*z", "`(?:(?:a+){3})*` at character 1 ", "read in one way only"),
        (r"((\w+){20,}:)*z", r"`(\w+){20,}` at character 2 ", "read in one way only"),
        (r"(?:(?:\w+){3})+ = (\d+)", r"`(?:(?:\w+){3})+` at ", "read in one way only"),
        (r"^((?:\w+){3}\s?)+: (yes|no)$", r"`((?:\w+){3}\s?)+` at ", "read in one way only"),
        (r"(.{5,}[\w.]+?\n{0,200}b{5,}){1,20}", r"`[\w.]+?` at character 7 ", "how often at most"),
        ("a" * 1_001, "has 1,001 characters", "use at most 1,000"),
        (r"(a)\1", r"`\1` at character 4 refers back", "without"),
        (r"(?P<x>a)(?P=x)", "`(?P` at character 9 refers back", "without"),
        ("x(?=a)b", "`(?=` at character 2 looks ahead", "without"),
        ("(?!a)b", "`(?!` at character 1 looks ahead", "without"),
        ("(?<=a)b", "looks behind", "without"),
        ("(?<!a)b", "looks behind", "without"),
        ("(a)?(?(1)b|c)", "is a condition", "without"),
        ("(?>a)b", "is an atomic group", "without"),
        ("xa++b", "`a++` at character 2 is possessive", "leave out the last +"),
        ("(?x) a", "sets flags here", "without"),
        ("(?i:a)b", "sets flags here", "without"),
        ("(?#no)b", "is a comment", "without"),
        (r"\N{DIGIT ONE}", r"`\N` at character 1 ", "without"),
        (r"a\07", r"`\0` at character 2 ", "without"),
        ("(" * 30 + "a" + ")" * 30, "deeper than 20 groups", "use fewer"),
        ("(", "is no regular expression of Python", "position 0"),
        ("a{" + "9" * 900 + "}", "is no regular expression of Python", ""),
        ("(" * 500 + ")" * 500, "", ""),
    ],
)
def test_what_takes_unbounded_time_is_refused_by_its_part(
    pattern: str, part: str, advice: str
) -> None:
    with limited(SECONDS), pytest.raises(RefusedPattern) as refused:
        compile_pattern(pattern)
    assert part in str(refused.value)
    assert advice in str(refused.value)


_LINES = r"""
^abc$
b+
<answer>(.*?)</answer>
\\boxed\{(.+)\}
^(yes|no)$
(\w+\s)*end
(?:\d{1,3}\.){3}\d{1,3}
\d{4}-\d{2}-\d{2}
.*answer: (\w+)
(\w+)@(\w+)\.com
^```(?:json)?\s
\$(\d+(?:,\d{3})*)
(?i)\bthe answer is\b[^A-D]*([A-D])
[+-]?\d+\.?\d*(?:[eE][+-]?\d+)?
^\s*(\w+)\s*$
[A-Z]\w*(?: [A-Z]\w*)*
(a|b)*c
^(?:[^,\n]*,){3}([^,\n]*)
(?:https?://)?[\w.]+
a{,3}b{2,}?c{x}
[]a-][^]b]
x = (.+)
"""
PRACTICAL = _LINES.strip().splitlines()


def documented() -> list[str]:
    (line,) = (
        line for line in DOCS.read_text().splitlines() if line.startswith("These are accepted")
    )
    return re.findall(r"`([^`]+)`", line)


@pytest.mark.parametrize("pattern", [*documented(), *PRACTICAL])
def test_practical_patterns_are_accepted(pattern: str) -> None:
    assert compile_pattern(pattern).pattern == pattern


def test_the_docs_name_patterns_that_are_refused_and_what_to_write() -> None:
    table = re.findall(r"^\| (`.+`) \| (`.+`) \| [^|]+ \|$", DOCS.read_text(), re.MULTILINE)
    pairs = [(re.findall(r"`(.+?)`", bad), re.findall(r"`(.+?)`", good)) for bad, good in table]
    pairs = [pair for pair in pairs if r"\d+\d+x" in pair[0] or "(a+)+" in pair[0]]
    assert len(pairs) == 2
    for bad, good in pairs:
        for pattern in bad:
            with pytest.raises(RefusedPattern):
                compile_pattern(f"{pattern}$")
        for pattern in good:
            compile_pattern(pattern)


_CHARACTERS = st.sampled_from(
    ["a", "b", "c", "[ab]", "[^a]", ".", r"\w", r"\d", "1", r"\s", " ", "B"]
)
_SUFFIXES = st.sampled_from(
    ["", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{,2}", "{2,}"]
)
_ATOMS = _CHARACTERS | st.sampled_from(["^", "$", r"\b", r"\B"])


def _extended(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeated = st.tuples(inner.map("(?:{})".format) | _CHARACTERS, _SUFFIXES).map("".join)
    sequence = st.lists(repeated | _ATOMS, min_size=1, max_size=4).map("".join)
    return sequence | st.lists(sequence, min_size=2, max_size=3).map("|".join)


PATTERNS = st.tuples(
    st.sampled_from(["", "", "(?i)", "(?s)"]), st.recursive(_CHARACTERS, _extended, max_leaves=9)
).map("".join)


def hold_to_its_count(pattern: str, texts: list[str]) -> None:
    """Match from the beginning of texts of one length: no more steps than counted for that."""
    size = len(texts[0])
    try:
        part = patterns._Parser(pattern, size).alternatives(0)
        after = patterns._After(0, 0, certain=True)
        _, counted = patterns._Count(pattern, size).cost(part, after)
    except (RefusedPattern, re.error):
        return
    if counted > patterns.MAX_STEPS:
        return
    compiled = re.compile(pattern)
    for text in texts:
        # Where a search succeeds, what can't fail reads up to the end of the text once.
        matcher = CountingMatcher(pattern, text, at_most=counted + size)
        assert matcher.matches() == (compiled.match(text) is not None), text


def runs(size: int) -> list[str]:
    """Texts of one length that repeat a few characters and may end otherwise."""
    repeated = ("".join(each) for length in (1, 2, 3) for each in product("ab1 ", repeat=length))
    return [(text * size)[: size - len(end)] + end for text in repeated for end in ("", "!", "b")]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(pattern=PATTERNS)
def test_no_text_takes_more_steps_than_counted(pattern: str) -> None:
    hold_to_its_count(pattern, ["".join(each) for each in product("ab1 ", repeat=3)])
    hold_to_its_count(pattern, runs(20))


TRICKY = r"""
(a+)+$
(a|a)*b
(?:a|ab)*c
(?:\w+\s?)*$
(?:\w+\s)*x
(?:\w+\s)*\w
(?:\w{1,3} )*\w{1,3}!
a*a*a*x
a*b?a*x
a*(?:b|1?)a*x
a*\ba*\b!
a*(?:^|a)b
(?:a*b)*a*x
(?:[^a]b)*[^b]x
(?i)A*a*x
(?i)[^A]*[^b]*x
(?:a?){30}x
(?:a|1|b| )*!
(?:a{1,3}b){1,5}x
(?:(?:ab)*1)*x
(?:a(?:b(?:1)*)*)*!
(?:a(?:b|1)?)*(?:a|b)!
a+?a+?a+?x
a{2,}a{2,}x
.*(?:a|b|1)x
(?:a+b?)+
(?:a+b?){2,}x
(?:a|b+)*(?:ab)?$
(?:(?:a+){3})+b
(?:(?:[ab]+){3})*1
(?:.{2,}\w+?b{2,}){1,3}
(?:a(?:.+\w+?b+))+
(?:a.*b|a)+
"""


@pytest.mark.parametrize("pattern", [*TRICKY.strip().splitlines(), *documented(), *PRACTICAL])
def test_tricky_patterns_take_no_more_steps_than_counted(pattern: str) -> None:
    hold_to_its_count(pattern, runs(30))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(PATTERNS, st.text("ab1 cB", min_size=1, max_size=4), st.sampled_from(["", "!", "\n", "c"]))
def test_what_is_accepted_is_searched_in_time(pattern: str, again: str, end: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except RefusedPattern:
        assume(False)
    text = (again * patterns.MAX_CHARACTERS)[: patterns.MAX_CHARACTERS - len(end)] + end
    with limited(SECONDS):
        search(compiled, text)


@pytest.mark.parametrize("pattern", [*documented(), *PRACTICAL])
@pytest.mark.parametrize(
    "again", ["a", "1", " ", "a ", "1,", "<answer>", "x = ", "answer: ", "A ", "####"]
)
def test_practical_patterns_are_searched_in_time(pattern: str, again: str) -> None:
    with limited(SECONDS):
        search(compile_pattern(pattern), again * patterns.MAX_CHARACTERS + "!")


LITERALS = ["<answer>", "boxed{", "the answer is ", "####", "x = 1", "answer:", "$1,111", "a1a1"]


@pytest.mark.parametrize("pattern", [*TRICKY.strip().splitlines(), *documented(), *PRACTICAL])
def test_a_search_takes_no_more_steps_from_all_places_than_counted(pattern: str) -> None:
    size = 30
    try:
        compile_pattern(pattern)
        counted = patterns._all_steps(pattern, size)
    except RefusedPattern:
        return
    multiplied = [(text * size)[:size] for text in LITERALS]
    for text in [*runs(size)[::7], *multiplied]:
        # Where a search succeeds, it is over, and what can't fail reads up to the end once.
        matcher = CountingMatcher(pattern, text, at_most=counted + size)
        found = any(matcher.matches(place) for place in range(size))
        assert found == (re.search(pattern, text) is not None)


@pytest.mark.parametrize("size", patterns.REACHES)
@pytest.mark.parametrize("pattern", [*documented(), *PRACTICAL, *TRICKY.strip().splitlines()])
def test_what_is_searched_is_so_short_that_few_steps_are_taken(pattern: str, size: int) -> None:
    """However the answer grows, the steps do not; what is searched would cost more if it grew."""
    try:
        reach = patterns.reach_of(compile_pattern(pattern).pattern)
    except RefusedPattern:
        return
    assert patterns._all_steps(pattern, reach) <= patterns.MOST_STEPS
    if size > reach:
        assert patterns._all_steps(pattern, size) > patterns.MOST_STEPS


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(pattern=PATTERNS)
def test_whatever_is_accepted_has_an_end_short_enough_to_be_searched(pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except RefusedPattern:
        assume(False)
    assert patterns._all_steps(pattern, patterns.reach_of(pattern)) <= patterns.MOST_STEPS


@pytest.mark.parametrize(
    ("pattern", "reach"),
    [
        (r"x = (\d+)", 5_000),
        (r"^\s*(yes|no)\b", 5_000),
        (r"\\boxed\{([^{}]+)\}", 4_000),
        (r"(?i)\bthe answer is\b[^A-D]*([A-D])", 1_000),
        (r"(?s)<answer>(.*?)</answer>", 2_500),
        (r".*answer: (\w+)", 800),
    ],
)
def test_a_beginning_that_can_not_stand_everywhere_lets_more_be_searched(
    pattern: str, reach: int
) -> None:
    assert patterns.reach_of(pattern) == reach


def test_what_lies_before_the_searched_end_is_not_read() -> None:
    pattern = compile_pattern(".*answer: (\\w+)")
    reach = patterns.reach_of(pattern.pattern)
    assert search(pattern, "answer: yes" + "\n" * (reach - 11)) is not None
    assert search(pattern, "answer: yes" + "\n" * reach) is None


def test_the_end_of_a_long_answer_is_searched_and_its_beginning_stays_its_beginning() -> None:
    text = "x = 1 " + "thinking " * 10_000 + "x = 2"
    found = search(compile_pattern(r"x = (\d)"), text)
    assert found is not None
    assert found[1] == "2"
    assert search(compile_pattern("^[a-z]"), text) is None
    assert search(compile_pattern("2$"), text) is not None


def test_the_reward_function_never_runs_a_pattern_that_was_not_checked() -> None:
    sample = {
        "id": "1",
        "messages": [{"role": "assistant", "content": "a" * 5_000 + "!"}],
        "reference_answer": "a",
        "reward": {"type": "regex", "pattern": "(a+)+$"},
    }
    with limited(SECONDS):
        (score,) = score_batch(sample)
    assert {"name": "unusable_sample", "value": 1.0, "type": "Metric"} in score["metrics_list"]


def test_an_answer_that_only_opens_a_fence_is_read_in_time() -> None:
    sample = {
        "id": "1",
        "messages": [{"role": "assistant", "content": "```" + " " * 50_000 + "x"}],
        "reference_answer": None,
        "reward": {"type": "json", "schema": {}},
    }
    with limited(SECONDS):
        score_batch(sample)
