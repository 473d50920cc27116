"""Handlers for the signals that end a run of the command line, and replacements for closed standard streams.

Only the standard library is imported here: the handlers must be set before NumPy and scikit-learn are loaded, which
takes a good part of a second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the time that importing typing takes
if TYPE_CHECKING:
    from types import FrameType

__all__ = ["answer_signals", "ignore_interrupts", "open_closed_streams", "received_signal", "signal_meaning"]

_MEANINGS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated, as the terminal was closed"}
"""What the error line says of a signal."""

_IMPORT_FILE = "<frozen importlib._bootstrap>"
"""File name of the frames of a running import statement."""

_signal = 0
"""Number of the first signal that the handler received; 0 before."""


def answer_signals() -> None:
    """Set handlers with which Ctrl-C, SIGTERM and SIGHUP end this process with one line and the code 128 + number.

    The first signal raises a KeyboardInterrupt, so that unfinished files are removed; a second ends the process at
    once. A signal that the parent process set to be ignored, as ``nohup`` does, stays ignored.
    """
    for name in _MEANINGS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _answer)


def received_signal() -> int:
    """Number of the signal that the handler received; 0 before any.

    The KeyboardInterrupt of the handler may be raised inside a callback of a C library, which replaces it by an
    exception of its own. So any exception after a signal is taken for an effect of that signal.
    """
    return _signal


def signal_meaning(number: int) -> str:
    """What a signal did to the run, as the error line says it: ``"interrupted"``."""
    return _MEANINGS.get(signal.Signals(number).name, "terminated")


def ignore_interrupts() -> None:
    """Ignore Ctrl-C from now on. Called when all output is written and only the exit of Python is left."""
    if signal.getsignal(signal.SIGINT) is _answer:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def open_closed_streams() -> None:
    """Open ``/dev/null`` for each standard stream that is closed, as after ``>&-`` in a shell.

    The next file opened would otherwise take descriptor 1 or 2, and messages would be written into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # POSIX: the lowest free descriptor, which is `number`
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the process ends


def _answer(number: int, frame: FrameType | None) -> None:
    global _signal
    if _signal:
        os._exit(128 + number)
    _signal = number
    # An import may replace the KeyboardInterrupt or swallow it, and no file is half written during imports.
    if _is_importing(frame):
        clean = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # clear the progress line and show the cursor it hides
        with contextlib.suppress(OSError):
            os.write(2, f"{clean}error: {signal_meaning(number)}; nothing was saved\n".encode())
        os._exit(128 + number)
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_FILE:
            return True
        frame = frame.f_back
    return False
