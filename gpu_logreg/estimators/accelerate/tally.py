"""Who fitted what: a line for every fit in a file that all processes of a script write to, and its summary."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import tempfile
from collections import Counter

__all__ = ["BY_OURS", "begin", "end", "note", "summary"]

PATH_VARIABLE = "GPU_LOGREG_ACCELERATE_TALLY"
"""Environment variable with the path of the file: worker processes inherit it."""

BY_OURS = ""
"""In place of a reason: the fit is this package's."""

_MOST_LINES = 20
"""Most reasons that are listed: one that names a value may be another in every fit."""

_owner: int | None = None
"""The process that began, which prints the summary; a fork of it does not."""

_remarks: list[str] = []
"""Lines at the end of the summary."""


def begin(remarks: list[str]) -> None:
    """Begin to count, and have the summary printed on stderr when the process ends.

    Parameters
    ----------
    remarks : list of str
        Lines at its end.
    """
    global _owner
    _remarks[:] = remarks
    if _owner == os.getpid():
        return
    handle, os.environ[PATH_VARIABLE] = tempfile.mkstemp(prefix="gpu-logreg-tally-")
    os.close(handle)
    _owner = os.getpid()
    atexit.register(_print_and_end)


def end() -> None:
    """Count no longer, and print nothing."""
    global _owner
    if _owner != os.getpid():
        return
    _owner = None
    atexit.unregister(_print_and_end)
    with contextlib.suppress(OSError):
        os.unlink(os.environ.pop(PATH_VARIABLE))


def note(estimator: str, reason: str) -> None:
    """Count a fit of an estimator: by scikit-learn for this reason, or `BY_OURS`; without effect where none counts.

    The line is written at once and whole, so that lines of several processes do not mix.
    """
    path = os.environ.get(PATH_VARIABLE)
    if not path:
        return
    line = f"{estimator}\t{' '.join(reason.split())[:300]}\n".encode(errors="replace")
    with contextlib.suppress(OSError):  # a count that is lost must not end a fit
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line)
        finally:
            os.close(file)


def summary() -> list[str]:
    """A line for every estimator and reason, in the order of the first of each.

    Returns
    -------
    list of str
    """
    try:
        with open(os.environ.get(PATH_VARIABLE, ""), encoding="utf-8") as file:
            counts = Counter(line.rstrip("\n") for line in file)
    except OSError:
        counts = Counter()
    lines = []
    for line, count in list(counts.items())[:_MOST_LINES]:
        estimator, _, reason = line.partition("\t")
        fits = "1 fit" if count == 1 else f"{count} fits"
        lines.append(f"{estimator}: {fits} by {'gpu-logreg' if reason == BY_OURS else f'scikit-learn: {reason}'}")
    if len(counts) > _MOST_LINES:
        left_out = list(counts.values())[_MOST_LINES:]
        lines.append(f"{sum(left_out)} more fits by scikit-learn for {len(left_out)} more reasons")
    return (lines or ["no fit of LogisticRegression, LogisticRegressionCV or MLPClassifier"]) + _remarks


def _print_and_end() -> None:
    if _owner == os.getpid():
        with contextlib.suppress(OSError, ValueError):  # stderr may be closed
            for line in summary():
                print(f"gpu_logreg.accelerate: {line}", file=sys.stderr)
        end()
