"""Rules for the text of a row."""

import re
from collections.abc import Sequence
from typing import cast

from novaloop.datasets.errors import (
    MAX_NAME_CHARS,
    MAX_NAMES_SHOWN,
    Message,
    RowRejected,
    Setting,
)
from novaloop.datasets.reading.text_column import TextColumn, has_blank, searchable

# Nova's SFT containers use these as turn markers (case-sensitive substrings).
RESERVED_WORDS = (
    *("System:", "SYSTEM:", "User:", "USER:", "Bot:", "BOT:"),
    *("Assistant:", "ASSISTANT:", "Thought:", "[EOS]", "<image>", "<video>", "<unk>"),
)
# A pattern that begins with one literal character is searched at the speed of memchr, so the
# words are found from their colon backwards, and most colons are passed by for their letter.
_TURNS = [word.encode() for word in RESERVED_WORDS if word[-1] == ":"]
_TURN_MARKER = re.compile(
    b":(?<=[%b]:)(?:%b)"
    % (b"".join(word[-2:-1] for word in _TURNS), b"|".join(map(b"(?<=%b)".__mod__, _TURNS)))
)
_TAG = re.compile(b"<(?:image|video|unk)>")


def read_texts(values: Sequence[object], field: str) -> Sequence[str]:
    """Return the texts; raises RowRejected unless all are strings with something in them."""
    texts = cast("Sequence[str]", values)
    if not isinstance(values, TextColumn) and set(map(type, values)) != {str}:
        do = "write it as a JSON string"
        raise RowRejected("not-text", f"`{field}` is not text", do, field=field)
    if has_blank(texts):
        do = "fill it in or remove the row"
        raise RowRejected("empty-text", f"`{field}` is empty", do, field=field)
    return texts


def require_unreserved(texts: Sequence[str], field: str) -> None:
    """Raise RowRejected if a text holds a word that the SFT containers reserve."""
    utf8 = searchable(texts)
    if _TURN_MARKER.search(utf8) or b"[EOS]" in utf8 or _TAG.search(utf8):
        text = "\n".join(texts)
        word = next(word for word in RESERVED_WORDS if word in text)
        what = f"`{field}` contains {word!r}, which Nova reserves"
        do = "reword it, such as with a space"
        raise RowRejected("reserved-word", what, do, field=field, text=text)


def require_labels(texts: Sequence[str], labels: frozenset[str], field: str) -> None:
    """Raise RowRejected unless each text is one of the labels exactly."""
    foreign = set(texts) - labels
    if not foreign:
        return
    folded = {label.strip().casefold() for label in labels}
    near = all(text.strip().casefold() in folded for text in foreign)
    do: Message = ("correct it, or add it to ", Setting("labels"))
    if near:
        do = ("it differs by case or spaces only: write it as in ", Setting("labels"))
    shown = [label[:MAX_NAME_CHARS] for label in sorted(labels)[:MAX_NAMES_SHOWN]]
    if more := len(labels) - len(shown):
        shown.append(f"and {more} more")
    what = f"the answer in `{field}` is none of the {len(labels)} labels ({', '.join(shown)})"
    raise RowRejected("unknown-label", what, do, field=field, text=min(foreign))


def require_different(preferred: Sequence[str], non_preferred: Sequence[str]) -> None:
    """Raise RowRejected if a preferred answer is the non-preferred one too."""
    if any(map(str.__eq__, preferred, non_preferred)):
        do, field = "reword one, or remove the row", "non_preferred"
        raise RowRejected("equal-answers", "both answers are the same", do, field=field)
