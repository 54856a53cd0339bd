"""What an error is called, whoever raised it."""

from __future__ import annotations

DEFECTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What says that the program is at fault, or met what it was not written for. All else is said by a
service, or of the way to it."""


def code_of(error: Exception) -> str:
    """Return AWS's code for an error, or the error's type: its text may quote data."""
    match getattr(error, "response", None):
        case {"Error": {"Code": str(code)}} if code:
            return code
    return type(error).__name__
