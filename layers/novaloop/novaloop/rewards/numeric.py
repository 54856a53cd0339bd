r"""Which number does a text give? The one reading for `numeric`, of answers and of references.

The first of these that holds a number decides: the last `\boxed{...}`; the last line that begins
with `####` and holds a number and at most words behind it (GSM8K's form); what follows the last
"answer is" or "answer:" up to the end of the sentence; the whole text. Of several numbers there the
last one counts, but after "answer is" the first, if no calculation follows it; what stands in
parentheses is passed over where there is a number outside of them.

Thousands are told by commas, and by spaces that don't break, in groups of three throughout; a point
begins the decimals. What is written otherwise ("8,12", "1.234,5", "(3,4)") is no number, nor are
dates, times, versions, exponents, the numbers of items and what a letter or a hyphen joins to a
word ("COVID-19", "x2"). A fraction counts as its value, if there is nothing else to count.
"""

from __future__ import annotations

import re

from novaloop.rewards.answers import last_boxed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ALIKE = {
    **dict.fromkeys([0x2212, 0xFE63, 0xFF0D, 0x2010, 0x2011], "-"),
    **{0xFF10 + digit: str(digit) for digit in range(10)},
    0xFF0E: ".",
    0xFF0C: ",",
    0xFF0B: "+",
    0xFF05: "%",
    0x2044: "/",
    **dict.fromkeys([0x200B, 0x2060, 0xFEFF]),
}
# `9{,}500` and `9\,500` of LaTeX, and spaces that don't break, between groups of three digits.
_THIN = re.compile(r"(?<=\d)(?:\{,\}|\\[,;:!]|[\u00a0\u2009\u202f])(?=\d{3}(?!\d))")
_LATEX = re.compile(
    r"\\(?:text\w*|math\w*|mbox|left|right|displaystyle)\b|\\(?=[$%#&_])|[$`]|(?<![\d*])\*{1,3}|\*{1,3}(?![\d*])"
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|(?-i:May)|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_SIGN = (
    r"(?:(?<![\w)\]}.,%])(?:[-+][\u20ac\xa3\xa5]?|[\u20ac\xa3\xa5]-)"
    r"|(?<=[=(])[-+]\s|(?<=[=(]\s)[-+]\s|)"
)
_DIGITS = r"(?:\d+(?:[.,]\d+)*|\.\d+)"
# Alternatives in the order in which they are tried; what begins with none of them is no number.
_TOKEN = re.compile(
    rf"""
      (?P<date>(?<!\w)(?:\d{{1,4}}(?P<between>[-/.])\d{{1,2}}(?P=between)\d{{1,4}}(?![\w=])
        |\d{{1,2}}(?:st|nd|rd|th)?\.?\s(?:of\s)?{_MONTH}(?:,?\s\d{{4}})?(?!\w)
        |{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?(?!\w)(?:,?\s\d{{4}}(?!\w))?
        |\d{{1,9}}(?::\d{{1,9}}){{1,2}}(?!\w)))
    | (?P<frac>(?P<frac_sign>[-+]?)(?:(?<![\w.,])(?P<frac_whole>\d{{1,9}})\s?)?
        \\[dt]?frac\{{(?P<frac_over>-?\d{{1,9}})\}}\{{(?P<frac_under>\d{{1,9}})\}})
    | (?P<slash>(?P<slash_sign>{_SIGN})(?<![\w.,/^])(?:(?P<slash_whole>\d{{1,9}})\s)?
        (?P<slash_over>\d{{1,9}})\s?/\s?(?P<slash_under>\d{{1,9}})(?![\w.,]{{0,20}}[\w/]))
    | (?P<power>(?<![\w.,])(?P<mantissa>-?\d{{1,20}}(?:\.\d{{1,20}})?)\s?
        (?:\\times|\\cdot|\xd7|x)\s?10(?:\^\{{?|\*\*)(?P<exponent>-?\d{{1,3}})\}}?)
    | (?P<joined>(?<=[^\W\d])-?{_DIGITS}|(?<=[\d/^]){_DIGITS}|(?<=[/^])-{_DIGITS}
        |(?<=[\^_]\{{)-?{_DIGITS})
    | (?P<sign>{_SIGN})(?P<number>{_DIGITS})(?P<e>[eE][-+]?\d{{1,3}}(?!\w))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ONE_CONVENTION = re.compile(r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)?(?:\.\d+)?")
_NOT_BEHIND = re.compile(r"\s?(?:\^|\*\*)|[\xb2\xb3\xb9\u2070-\u2079]|[.,]?\d")
_STARTS_LINE = re.compile(r"(?:^|\n)[ \t]*\Z")
_ITEM = re.compile(r"[.)][ \t]+\S")
_GSM8K = re.compile(r"^[ \t]*####[ \t]*(?=[^\n]*\d)([^\n]{1,200})$", re.MULTILINE)
_NUMBER_AND_UNIT = re.compile(r"\W*[\d.,]+(?:[eE][-+]?\d+)?(?:\W{0,3}[^\W\d]{1,30}){0,4}\W*")
_STATED = re.compile(
    r"\banswer(?:\s+(?:to|of|for)\s[^.:=\n]{1,60}?)?\s*(?:(?:is|was|are|would\s+be|equals)\b|[:=])",
    re.IGNORECASE,
)
_END_OF_SENTENCE = re.compile(r"[.;!?](?:\s|\Z)|\n\s*\S[^\n]*\n|\n\s*\n")
_PARENTHESES = re.compile(r"\([^()\n]{0,200}\)")
_CALCULATES = re.compile(
    r"\s*(?:[-+*/=\xd7\xf7\u2248^]|\\(?:times|cdot|div|approx)|and\b|or\b|to\b|plus|minus)"
)


def number_of(text: str) -> float | None:
    """The number that a text gives by the rules above, or None."""
    text = text.translate(_ALIKE) if not text.isascii() else text
    boxed = last_boxed(text)
    if boxed is not None:
        return _last(boxed)
    for line in map(_plain, reversed(_GSM8K.findall(text) if "####" in text else [])):
        numbers = list(_numbers(line))
        if len(numbers) == 1 and _NUMBER_AND_UNIT.fullmatch(line):
            return numbers[0][0]
    stated = list(_STATED.finditer(text))
    if stated:
        text_behind = text[stated[-1].end() :]
        end = _END_OF_SENTENCE.search(text_behind)
        sentence = _plain(text_behind[: end.start()] if end else text_behind)
        if any(map(str.isdigit, sentence)):
            first = next(_numbers(sentence), None)
            direct = first is not None and not _CALCULATES.match(sentence, first[1])
            return first[0] if first is not None and direct else _last(sentence)
    return _last(text)


def _last(text: str) -> float | None:
    text = _plain(text)
    for part in (_PARENTHESES.sub(" ", text), text):
        numbers = list(_numbers(part))
        if numbers:
            return numbers[-1][0]
    fractions = [_fraction(token, "slash") for token in _TOKEN.finditer(text) if token["slash"]]
    return fractions[-1] if fractions else None


def _plain(text: str) -> str:
    return _LATEX.sub("", _THIN.sub(",", text)) if not text.isalnum() else text


def _numbers(text: str) -> Iterator[tuple[float, int]]:
    """Each number, and where it ends."""
    for token in _TOKEN.finditer(text):
        value = _value(token, text)
        if value is not None:
            yield value, token.end()


def _value(token: re.Match[str], text: str) -> float | None:
    if token["frac"]:
        return _fraction(token, "frac")
    if token["power"]:
        return float(f"{token['mantissa']}e{token['exponent']}")
    if not token["number"] or not _ONE_CONVENTION.fullmatch(token["number"]):
        return None
    if _NOT_BEHIND.match(text, token.end()):
        return None
    if _STARTS_LINE.search(text, max(0, token.start() - 8), token.start()) and _ITEM.match(
        text, token.end()
    ):
        return None
    digits = token["number"].replace(",", "")
    return float(("-" if "-" in token["sign"] else "") + digits + (token["e"] or ""))


def _fraction(token: re.Match[str], kind: str) -> float | None:
    over, under = float(token[f"{kind}_over"]), float(token[f"{kind}_under"])
    if not under:
        return None
    value = float(token[f"{kind}_whole"] or 0) + over / under
    return -value if "-" in token[f"{kind}_sign"] else value
