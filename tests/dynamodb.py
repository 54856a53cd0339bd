"""What DynamoDB refuses: too many actions, too large items and transactions, impossible numbers.

From AWS's developer guide: "Quotas in Amazon DynamoDB" for the limits, "DynamoDB item sizes and
formats" for how sizes are counted (where it says "approximately", this counts the more), and the
reference of TransactWriteItems for what a transaction may hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

ITEM_BYTES = 400 * 1024
TRANSACTION_BYTES = 4 * 1024 * 1024
TRANSACTION_ACTIONS = 100
HASH_KEY_BYTES, RANGE_KEY_BYTES = 2048, 1024
NUMBER_DIGITS = 38
SMALLEST, LARGEST = 1e-130, 9.999999999999999e125

Values = Mapping[str, Any]
"""An item's attributes as Python's own values."""


class ValidationException(Exception):  # noqa: N818 - DynamoDB's name
    """DynamoDB refuses the request, every time that it is sent."""


def check_item(item: Values) -> int:
    """Refuse what PutItem refuses; return the item's size, in bytes. Raises ValidationException."""
    for key, most in (("experiment_id", HASH_KEY_BYTES), ("item", RANGE_KEY_BYTES)):
        if not 0 < (size := len(item[key].encode())) <= most:
            raise ValidationException(f"{key} has {size:,} bytes")
    size = item_size(item)
    if size > ITEM_BYTES:
        raise ValidationException(
            f"Item size has exceeded the maximum allowed size: {size:,} bytes"
        )
    return size


def check_transaction(items: Sequence[Values], others: int = 0) -> None:
    """Refuse what TransactWriteItems refuses: puts of `items`, and `others` that hold a key only.

    Raises ValidationException.
    """
    if len(items) + others > TRANSACTION_ACTIONS:
        raise ValidationException(
            f"Member must have length less than or equal to 100: {len(items) + others} actions"
        )
    if len({(item["experiment_id"], item["item"]) for item in items}) < len(items):
        raise ValidationException("Transaction request cannot include two operations on one item")
    size = sum(map(check_item, items))
    if size > TRANSACTION_BYTES:
        raise ValidationException(f"the items of the transaction have {size:,} bytes")


def item_size(item: Values) -> int:
    """Return what counts towards the 400 KB: names and values, in bytes."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, int | float | Decimal):
        return _number_size(value)
    if isinstance(value, Mapping):
        return 3 + sum(1 + len(name.encode()) + _size(each) for name, each in value.items())
    if isinstance(value, list | tuple):
        return 3 + sum(1 + _size(each) for each in value)
    raise TypeError(f"no attribute of ours is a {type(value).__name__}")


def _number_size(number: float | Decimal) -> int:
    if not math.isfinite(number):
        raise ValidationException(f"The parameter cannot be converted to a number: {number}")
    if number and not SMALLEST <= abs(float(number)) <= LARGEST:
        raise ValidationException(f"Number overflow or underflow: {number}")
    digits = str(number).lower().partition("e")[0].replace(".", "").strip("-0")
    if len(digits) > NUMBER_DIGITS:
        raise ValidationException(f"Attempting to store more than 38 significant digits: {number}")
    return (len(digits) + 1) // 2 + 2
