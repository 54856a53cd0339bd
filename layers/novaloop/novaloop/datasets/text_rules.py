"""Rules for the text of a row."""

import re

from .errors import RowRejected

# Nova's SFT containers use these as turn markers (case-sensitive substrings).
RESERVED_WORDS = (
    *("System:", "SYSTEM:", "User:", "USER:", "Bot:", "BOT:"),
    *("Assistant:", "ASSISTANT:", "Thought:", "[EOS]", "<image>", "<video>", "<unk>"),
)
# A pattern that begins with one literal character is searched at the speed of memchr, so the
# words are found from their colon backwards.
_TURN_MARKER = re.compile(
    ":(?:" + "|".join(f"(?<={re.escape(word)})" for word in RESERVED_WORDS if word[-1] == ":") + ")"
)
_TAG = re.compile("<(?:image|video|unk)>")


def check_text(value: object, field: str) -> str:
    """Return the text; raises RowRejected unless it is a string with something in it."""
    if not isinstance(value, str):
        message = f"`{field}` is not text; write it as a JSON string"
        raise RowRejected("not-text", message, field)
    if not value or value.isspace():
        raise RowRejected("empty-text", f"`{field}` is empty; fill it in or remove the row", field)
    return value


def check_reserved_words(text: str, field: str) -> None:
    """Raise RowRejected if the text holds a word that the SFT containers reserve."""
    if _TURN_MARKER.search(text) or "[EOS]" in text or _TAG.search(text):
        word = next(word for word in RESERVED_WORDS if word in text)
        message = (
            f"`{field}` contains {word!r}, which Nova reserves; reword it, such as with a space"
        )
        raise RowRejected("reserved-word", message, field)


def check_label(text: str, labels: frozenset[str], field: str) -> None:
    """Raise RowRejected unless the text is one of the labels exactly."""
    if text in labels:
        return
    folded = {label.strip().casefold() for label in labels}
    near = text.strip().casefold() in folded
    hint = "it differs by case or spaces only" if near else "correct it, or add it to `labels:`"
    message = f"`{field}` is none of the {len(labels)} labels; {hint}"
    raise RowRejected("unknown-label", message, field)
