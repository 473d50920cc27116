"""Lines for a person at a terminal."""

from __future__ import annotations

import contextlib
import re
import sys

__all__ = ["note", "printable"]

# Controls, marks that turn the direction of writing, and halves of surrogate pairs.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAK = re.compile("[\\t-\\r\\x1c-\\x1f\\x85\\u2028\\u2029]")


def printable(text: str) -> str:
    """Text on one line: breaks of lines and tabs are blanks, and what would command the terminal is escaped.

    Names of columns, classes and files come from others, and a terminal obeys what is printed on it.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], _BREAK.sub(" ", text))


def note(text: str) -> None:
    """A line on standard error, apart from results on standard output; none where that is closed or full."""
    with contextlib.suppress(OSError):  # a training is not lost because nobody listens any more
        print(printable(text), file=sys.stderr, flush=True)
