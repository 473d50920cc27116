"""Signals that end a run of the command line, and streams that were closed before it began.

Nothing but the standard library is imported here, so that Ctrl-C has its answer before anything slow is loaded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

__all__ = ["answer_signals", "ending", "open_closed_streams", "received", "work_is_done"]

_ENDINGS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated, as the terminal was closed"}
_IMPORTING = "<frozen importlib._bootstrap>"

_received = 0


def answer_signals() -> None:
    """From now on Ctrl-C, SIGTERM and SIGHUP end this process in one line, with the code 128 plus their number.

    The first raises a KeyboardInterrupt, so that unfinished files are removed. A second ends the process where it is.
    A signal that whoever started this process had ignored, as ``nohup`` does, stays ignored.
    """
    for name in _ENDINGS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _answer)


def received() -> int:
    """Number of the signal that came, 0 if none did.

    An exception raised among imports or in a callback may be turned into another on its way: what fails after a
    signal fails because of it.
    """
    return _received


def ending(number: int) -> str:
    """A word for what the signal of this number did to the run."""
    return _ENDINGS.get(signal.Signals(number).name, "terminated")


def work_is_done() -> None:
    """From now on Ctrl-C is ignored: all is written, and Python takes leave."""
    if signal.getsignal(signal.SIGINT) is _answer:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def open_closed_streams() -> None:
    """Put ``/dev/null`` in the place of standard streams that are closed, as after ``>&-``.

    Else the next file that is opened would take the number of the stream, and receive what is written to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process


def _answer(number: int, frame: object) -> None:
    global _received
    if _received:
        os._exit(128 + number)
    _received = number
    if _is_importing(frame):  # nothing is unfinished, and an import may turn the exception into another, or lose it
        clean = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # a moving line may hide the cursor
        with contextlib.suppress(OSError):
            os.write(2, f"{clean}error: {ending(number)}; nothing was saved\n".encode())
        os._exit(128 + number)
    raise KeyboardInterrupt


def _is_importing(frame: object) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:  # type: ignore[attr-defined]
            return True
        frame = frame.f_back  # type: ignore[attr-defined]
    return False
