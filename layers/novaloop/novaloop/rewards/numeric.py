r"""Which number does a text give? The one reading for `numeric`, of answers and of references.

The first of these decides: the last `\boxed{...}`; the last `<answer>`; the last line that begins
with `####` and holds a number and at most words behind it (GSM8K's form); what follows the last
"answer is" or "answer:" up to the end of the sentence; the whole text. What is marked as the answer
must be one number, or what is equal to one: of several ("3 or 5", "5, 6", "3 hours 30 minutes") and
of what is not worked out ("3 + 4", "2\pi") none counts. Elsewhere the last one does. What stands in
parentheses is passed over where there is a number outside of them.

Thousands are told by commas, apostrophes, and spaces, in groups of three throughout; a point begins
the decimals. What is written otherwise ("8,12", "1.234,5", "(3,4)") is no number, nor are dates,
times, versions, ranges, exponents, bounds ("at least 4", "not 5", "> 3"), the numbers of items,
what a float can't hold, what two hyphens stand before, and what a letter or a hyphen before it
joins to a word ("COVID-19", "x2"). Letters behind it are its unit ("5km"), unless they may multiply
it ("5k", "5m", "5 bn"), count it off ("5th") or go on with a digit ("1h30"): then it is none. A
fraction with a slash counts as its value, if there is nothing else to count.
"""

from __future__ import annotations

import math
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
    0xFF1A: ":",
    **dict.fromkeys([0x200B, 0x2060, 0xFEFF]),
}
# `9{,}500` and `9\,500` of LaTeX, and spaces that don't break, between groups of three digits.
_THIN = re.compile(
    r"(?<=\d)(?:\{,\}|\\[,;:!]|[\u00a0\u2009\u202f'\u2019_])(?=\d{3}(?!\d))"
    # With a usual space they may be two numbers, unless there are more groups or one is 000.
    r"|(?<=\d)\x20(?=000(?![\d.,]\d|\d))|(?<=\d)\x20(?=\d{3}\x20\d{3}(?!\d))"
    r"|(?<=\d\x20\d{3})\x20(?=\d{3}(?!\d))"
)
_VULGAR = re.compile("(\\d?)([\u00bc-\u00be\u2150-\u215e])")
_RAISED = re.compile("10([\u207b\u00b2\u00b3\u00b9\u2070-\u2079]+)")
_EN_DASH = re.compile(r"(?<![\w)\]}.,%])\u2013(?=[.\d])")
_LATEX = re.compile(
    r"\^\{?\\circ\}?|\\(?:text\w*|math\w*|mbox|left|right|displaystyle"
    r"|underline|q?quad|bf|rm|degree)\b|\\(?=[$%#&_])|[$`]|(?<![\d*])\*{1,3}|\*{1,3}(?![\d*])"
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
    (?=[\d.+\\\u20ac\xa3\xa5-]|\b[jfmasondb])(?:  # what any of them begins with
      (?P<date>(?<!\w)(?:\d{{1,4}}(?P<between>[-/.])\d{{1,2}}(?P=between)\d{{1,4}}(?![\w=])
        |\d{{1,2}}(?:st|nd|rd|th)?\.?\s(?:of\s)?{_MONTH}(?:,?\s\d{{4}})?(?!\w)
        |{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?(?!\w)(?:,?\s\d{{4}}(?!\w))?
        |\d{{1,9}}(?::\d{{1,9}}){{1,2}}(?!\w)))
    | (?P<frac>(?P<frac_sign>[-+]?)(?:(?<![\w.,])(?P<frac_whole>\d{{1,9}})\s?)?
        \\[dt]?frac\s?(?:\{{(?P<frac_over>-?\d{{1,9}})\}}\s?\{{(?P<frac_under>\d{{1,9}})\}}
        |(?P<over_digit>\d)(?P<under_digit>\d)(?!\d)))
    | (?P<range>(?<![\w.,/^=]){_DIGITS}(?:\s?(?:to\b|or\b|\s-\s|[\u2013\u2014])\s?{_DIGITS})+
        (?![.,]?\d|\s*[=/^])|\bbetween\s{_DIGITS}\sand\s{_DIGITS})
    | (?P<ratio>\\[dt]?frac\s?\{{(?:[^{{}}]|\{{[^{{}}]{{0,99}}\}}){{0,99}}\}}
        \s?\{{(?:[^{{}}]|\{{[^{{}}]{{0,99}}\}}){{0,99}}\}})
    | (?P<hex>\b0x[\da-f]+\b)
    | (?P<slash>(?P<slash_sign>{_SIGN})(?<![\w.,/^])(?:(?P<slash_whole>\d{{1,9}})\s)?
        (?P<slash_over>\d{{1,9}})\s?/\s?(?P<slash_under>\d{{1,9}})(?![\w.,]{{0,20}}[\w/]))
    | (?P<power>(?<![\w.,])(?P<mantissa>-?\d{{1,20}}(?:\.\d{{1,20}})?)\s?
        (?:\\times|\\cdot|\xd7|x|\xb7|\*)\s?10(?:\^\{{?|\*\*)(?P<exponent>-?\d{{1,3}})\}}?)
    | (?P<joined>(?<=[^\W\d])-?{_DIGITS}|(?<=[\d/^]){_DIGITS}|(?<=[/^])-{_DIGITS}
        |(?<=[\^_]\{{)-?{_DIGITS}|(?<=\{{,\}}|\d\.\(){_DIGITS}|(?<=\\overline\{{){_DIGITS}
        |(?<=\\sqrt\[){_DIGITS})
    | (?P<sign>{_SIGN})(?P<number>{_DIGITS})(?P<e>[eE][-+]?\d{{1,3}}(?!\w))?)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ONE_CONVENTION = re.compile(r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)?(?:\.\d+)?")
_NOT_BEHIND = re.compile(
    r"\s?(?:\^|\*\*|\\?sqrt|\\pi\b|[\u221a\u03c0])|[\xb2\xb3\xb9\u2070-\u2079]|[.,]?\d"
    # Variables, decimal commas of LaTeX, decimals without end, and 5k, which may be 5,000.
    r"|[xyzn](?!\w)|\{,\}|\.(?:\(\d|\\overline)"
    # 5k, 5m and 5 bn, which may be 5,000 and more; the 5th; 1h30.
    r"|m(?![\w/])|(?:[kKMbB]|[ \u00a0]?(?:[MB]|[bmBM][nN]| mil))(?!\w)|(?i:st|nd|rd|th)(?!\w)"
    r"|[^\W\d_]{1,4}\d"
)
_DASHES = re.compile(r"(?:\A|[^\w)\]}])-\Z")
_NOT_BEFORE = re.compile(
    r"(?:(?<![-=])>|[<\u2264\u2265\u2260\xb1\u221a]"
    r"|\\(?:geq?|leq?|neq?|pm|gt|lt|sqrt)\b(?:\[\d\])?\{?"
    r"|\b(?:not|at\s(?:least|most)|(?:more|less|fewer|greater|higher|lower|smaller)\sthan)\b"
    r"|n['\u2019]t\b)\s*[\u20ac\xa3\xa5]?\Z",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[^<>]*>\s*\Z|(?:^|\n)>\s*\Z")
_SAID_NEGATIVE = re.compile(
    r"(?:\A|[^\d\s)%])\s?\b(?:minus|negative|moins|menos)\s\Z", re.IGNORECASE
)
_MAGNITUDES = {
    1e2: "hundred",
    1e3: "thousand|tausend|mille|\u0442\u044b\u0441\u044f\u0447\\w{0,2}",
    1e6: "millions?|millionen|mill[o\xf3]n(?:es)?|milh(?:\xe3o|\xf5es)"
    "|\u043c\u0438\u043b\u043b\u0438\u043e\u043d\\w{0,2}",
    1e9: "billions?|milliards?|milliarden?"
    "|\u043c\u0438\u043b\u043b\u0438\u0430\u0440\u0434\\w{0,2}",
    1e12: "trillions?",
    12.0: "dozen",
    1e5: "lakhs?",
    1e7: "crores?",
    1e4: "\u4e07|\u842c",
    1e8: "\u4ebf|\u5104",
}
_MAGNITUDE = re.compile(
    r"[ \u00a0-]?(?:" + "|".join(f"({words})" for words in _MAGNITUDES.values()) + r")(?![a-z])",
    re.IGNORECASE,
)
_STARTS_LINE = re.compile(r"(?:^|\n)[ \t]*\Z")
_ITEM = re.compile(r"[.)][ \t]+\S")
_GSM8K = re.compile(r"^[ \t]*####[ \t]*(?=[^\n]*\d)([^\n]{1,200})$", re.MULTILINE)
_NUMBER_AND_UNIT = re.compile(r"\W*[\d.,]+(?:[eE][-+]?\d+)?(?:\W{0,3}[^\W\d]{1,30}){0,4}\W*")
_ANSWERS = "answer|r\xe9ponse|antwort|respuesta|resposta|risposta|\u043e\u0442\u0432\u0435\u0442"
_STATED = re.compile(
    rf"(?=[ar\u043e])\b(?:{_ANSWERS})(?:\s+(?:to|of|for)\s[^.:=\n]{{1,60}}?)?\s*"
    r"(?:(?:is|was|are|would\s+be|equals|est|ist|lautet|es|\xe9|\xe8)\b|[:=])"
    "|\u7b54\u6848\\s?[\u662f\u4e3a\u70ba:]",
    re.IGNORECASE,
)
_END_OF_SENTENCE = re.compile(r"[.;!?](?:\s|\Z)|\n\s*\S[^\n]*\n|\n\s*\n")
_PARENTHESES = re.compile(r"(?<!\.)\([^()\n]{0,200}\)")
_TAGGED = re.compile(r"<(answer|final_answer|final)>", re.IGNORECASE)
_CALCULATES = re.compile(
    r"\s*(?:[-+*/=\xd7\xf7\xb7\u2248^]|x\s?\d|\\(?:times|cdot|div|approx)|(?:plus|minus|times|mod)\b)"
)
_EQUALS = re.compile(
    r"[=\u2248\u2192\u21d2]|->|\\(?:approx|to|rightarrow)\b|\b(?:(?:is|equals|makes|gives)\b|i\.e\.)",
    re.IGNORECASE,
)
_UNIT = (
    r"(?:hours?|hrs?|h|minutes?|mins?|min|feet|foot|ft|pounds?|lbs?|years?|weeks?|days?|degrees)"
)
_GOES_ON = re.compile(
    rf"\s+(?:(?:out\s+)?of\s+\d|and\s+\d|(?:more|less|fewer)\s+than\s|{_UNIT},?\s(?:and\s)?\d)"
    rf"|(?:\s*[,;]\s*(?:(?:and|or)\s)?(?:\w\s?=\s?)?[-+]?\d+(?:\.\d+)?)+\s*(?:[)\]]\s*)?\Z"
    rf"|\s*\n\s*[-+]?{_DIGITS}\s*\Z",
    re.IGNORECASE,
)
"""Behind a number: it is one of several, or a part of a quantity."""
_SEVERAL = re.compile(r"(?:\W|\d|\b(?:and|or)\b)*", re.IGNORECASE)
_OPEN = re.compile(
    r"\\(?!approx|[dt]?frac|times|cdot|[,;:! ])[a-z]+|\d\s?!|\d[a-z](?![a-z])", re.IGNORECASE
)
_VARIABLE = re.compile(r"([^\W\d_])\s?=")
_LISTED = re.compile(r"\s*[-\u2013\u2014]\s+[\u20ac\xa3\xa5]?[\d.,]+\W*")


def number_of(text: str) -> float | None:
    """The number that a text gives by the rules above, or None."""
    if not text.isascii():
        text = _VULGAR.sub(_vulgar, _RAISED.sub(_raised, text.translate(_ALIKE)))
        text = _EN_DASH.sub("-", text)
    boxed = last_boxed(text)
    if boxed is not None:
        return _only(boxed)
    tags = list(_TAGGED.finditer(text)) if "<" in text else []
    if tags:
        text = text[tags[-1].end() :].partition("</")[0]
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
            return _stated(sentence)
    plain = _plain(text)
    if _SEVERAL.fullmatch(plain):
        return None if _LISTED.fullmatch(plain) else _only(plain)
    return _last(plain)


def _stated(sentence: str) -> float | None:
    """What a sentence says that begins with a number as the answer."""
    first = next(_numbers(sentence), None)
    if first is None:
        return _last(sentence)
    value, end = first
    if _CALCULATES.match(sentence, end):
        result = _result(sentence, end)
        return None if result is None else _last(result)
    return None if _GOES_ON.match(sentence, end) else value


def _result(text: str, start: int) -> str | None:
    """What stands behind the last sign that something is equal, if a number does."""
    last = max(text.rfind(digit) for digit in "0123456789")
    results = list(_EQUALS.finditer(text, start, max(last, start)))
    return text[results[-1].end() :] if results else None


def _only(text: str) -> float | None:
    """The number of what is meant as one: nothing that is calculated, and none of several."""
    text = _plain(text)
    variables = set(_VARIABLE.findall(text))
    text = _result(text, 0) or text
    if _OPEN.search(text) or len(variables) > 1:
        return None
    for part in (_PARENTHESES.sub(" ", text), text):
        values = {value for value, _ in _numbers(part)}
        if values:
            return values.pop() if len(values) == 1 else None
    return _last(text)


def _last(text: str) -> float | None:
    """The last number of a plain text, or else the last fraction with a slash."""
    bare = _PARENTHESES.sub(" ", text)
    for part in (bare, text) if bare != text else (text,):
        tokens = list(_TOKEN.finditer(part))
        for token in reversed(tokens):
            number = _number(token, part)
            if number:
                return number[0]
    fractions = [_fraction(token, "slash") for token in tokens if token["slash"]]
    return fractions[-1] if fractions else None


def _vulgar(found: re.Match[str]) -> str:
    from unicodedata import normalize  # noqa: PLC0415 - most texts have none

    fraction = normalize("NFKC", found[2]).replace("\u2044", "/")
    return f"{found[1]} {fraction}" if found[1] else fraction


def _raised(found: re.Match[str]) -> str:
    from unicodedata import normalize  # noqa: PLC0415 - most texts have none

    return "10^" + normalize("NFKC", found[1]).replace("\u2212", "-")


def _plain(text: str) -> str:
    return _LATEX.sub("", _THIN.sub(",", text)) if not text.isalnum() else text


def _numbers(text: str) -> Iterator[tuple[float, int]]:
    """Each number, and where it ends."""
    return filter(None, (_number(token, text) for token in _TOKEN.finditer(text)))


def _number(token: re.Match[str], text: str) -> tuple[float, int] | None:
    value, end = _value(token, text), token.end()
    while value is not None and (found := _MAGNITUDE.match(text, end)):
        value *= list(_MAGNITUDES)[(found.lastindex or 1) - 1]
        end = found.end()
    # What is larger than a float can be is infinite to it, and so equal to all of its like.
    return (value, end) if value is not None and math.isfinite(value) else None


def _value(token: re.Match[str], text: str) -> float | None:
    if token["frac"]:
        return _fraction(token, "frac")
    if token["power"]:
        return float(f"{token['mantissa']}e{token['exponent']}")
    if not token["number"] or not _ONE_CONVENTION.fullmatch(token["number"]):
        return None
    before = text[max(0, token.start() - 24) : token.start()]
    is_item = _ITEM.match(text, token.end()) and _STARTS_LINE.search(before)
    is_bound = _NOT_BEFORE.search(before) and not _TAG.search(before)
    is_dashed = token["sign"].startswith("-") and _DASHES.search(before)
    if is_item or is_bound or is_dashed or _NOT_BEHIND.match(text, token.end()):
        return None
    digits = token["number"].replace(",", "")
    negative = "-" in token["sign"] or _SAID_NEGATIVE.search(before)
    return float(("-" if negative else "") + digits + (token["e"] or ""))


def _fraction(token: re.Match[str], kind: str) -> float | None:
    if kind == "frac" and token["over_digit"]:
        over, under = float(token["over_digit"]), float(token["under_digit"])
    else:
        over, under = float(token[f"{kind}_over"]), float(token[f"{kind}_under"])
    if not under:
        return None
    value = float(token[f"{kind}_whole"] or 0) + over / under
    return -value if "-" in token[f"{kind}_sign"] else value
