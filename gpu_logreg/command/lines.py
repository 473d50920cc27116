"""Text for a terminal: on one line, without control characters, on standard error."""

from __future__ import annotations

import contextlib
import re
import sys

__all__ = ["note", "printable"]

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, marks that reverse the direction of writing, and halves of surrogate pairs."""

_BREAK = re.compile("[\\t-\\r\\x1c-\\x1f\\x85\\u2028\\u2029]")
"""Tabs and line breaks of every kind that Unicode has."""


def printable(text: str) -> str:
    """Text on one line: line breaks and tabs become blanks, and control characters are escaped.

    Names of columns, classes and files are input, and a terminal obeys the escape sequences in what is printed on it.
    """
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], _BREAK.sub(" ", text))


def note(text: str) -> None:
    """Print a line on standard error, apart from results on standard output.

    An error of writing is ignored: a long training must not be lost because the terminal was closed.
    """
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr, flush=True)
