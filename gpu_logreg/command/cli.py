"""One run of ``gpu-logreg``: its exceptions become one line on standard error and an exit code.

Exit codes: 0 when the command succeeds; 2 for bad input; 130 after Ctrl-C; 143 after SIGTERM; 1 for an exception that
the command did not foresee.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import warnings
from typing import Any, NoReturn

from gpu_logreg.command.interruption import (
    answer_signals,
    ignore_interrupts,
    open_closed_streams,
    received_signal,
    signal_meaning,
)

if __name__ == "__main__":  # before the slow imports below, so that Ctrl-C during them ends in one line
    open_closed_streams()
    answer_signals()

try:
    import rich  # noqa: F401
    import typer
except ImportError:
    sys.exit("error: the command line needs more packages; install them with: pip install 'gpu-logreg[cli]'")

from gpu_logreg.command.commands import app
from gpu_logreg.command.lines import note
from gpu_logreg.errors import GpuLogregError
from gpu_logreg.saved.whole_files import forget_written_files, written_files

__all__ = ["main"]

_INTERRUPTED = 130
"""Exit code that typer returns after Ctrl-C: 128 + SIGINT, the shell's convention."""

_OUTPUT_ERRORS = (errno.EIO, errno.EFBIG, errno.ENOSPC, errno.EDQUOT)
"""Errors of writing to a full or failing disk. Where they name no file, the file is standard output."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # letters that the terminal's encoding lacks are printed as \xNN
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("default", UserWarning)
        # NumPy's warnings on overflow and NaN: the estimators refuse values that are not finite and name their place.
        warnings.simplefilter("ignore", RuntimeWarning)
        # CuPy's warning where no GPU is installed, which `gpu-logreg info` reports.
        warnings.filterwarnings("ignore", "CUDA path could not be detected", UserWarning)
        code = _run(arguments)
        _flush()
    ignore_interrupts()
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    """Run one command and return its exit code."""
    forget_written_files()
    try:
        code = app(args=arguments, prog_name="gpu-logreg", standalone_mode=False)
        if code == _INTERRUPTED:  # typer returns this code after Ctrl-C; its older versions raise Abort
            raise KeyboardInterrupt
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail_interrupted()
    except (BrokenPipeError, SystemExit):  # `gpu-logreg ... | head` closed the pipe; typer raises SystemExit then
        _discard_output()
        return 0
    except Exception as error:
        return _fail_interrupted() if received_signal() else _fail_with(error)


def _fail_interrupted() -> int:
    """Print the line for a signal, with the files that were saved before it, and return the exit code."""
    saved = written_files()
    what = f"{', '.join(saved)} was saved before" if saved else "nothing was saved"
    number = received_signal() or signal.SIGINT
    return _fail(f"{signal_meaning(number)}; {what}", 128 + number)


def _fail_with(error: Exception) -> int:
    """Print the line for an exception and return its exit code."""
    if isinstance(error, GpuLogregError):
        return _fail(str(error), 2)
    if isinstance(error, MemoryError):
        return _fail(f"out of memory ({error}); use fewer columns, or --dtype float32", 2)
    if isinstance(error, OSError):
        name = error.filename
        if name is None and error.errno in _OUTPUT_ERRORS:
            name = "standard output"
            _discard_output()
        return _fail(f"{name}: {error.strerror}" if name else str(error), 2)
    if hasattr(error, "format_message"):  # click's UsageError, which typer's versions keep in different modules
        return _fail(_usage_message(error), 2)
    if os.environ.get("GPU_LOGREG_TRACEBACK"):
        raise error
    kind = type(error).__name__
    return _fail(f"unforeseen {kind}: {error}. For a report, set GPU_LOGREG_TRACEBACK=1 and run it again", 1)


def _usage_message(error: Any) -> str:
    """Typer's message on a wrong option or argument, with the command whose help explains it."""
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    command = getattr(getattr(error, "ctx", None), "command_path", "gpu-logreg")
    return f"{message}{'' if message.endswith('?') else '.'} See {command} --help"


def _flush() -> None:
    """Write what is buffered now: where Python fails to write it at exit, it ends with a code of its own, 120.

    Of standard error that is a line whose reader has gone, as of a progress bar of a run that took a while.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _discard(stream)


def _discard_output() -> None:
    """Send the rest of standard output to ``/dev/null``: it cannot be written, and Python tries again at its exit."""
    _discard(sys.stdout)


def _discard(stream: Any) -> None:
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(message: str, code: int) -> int:
    """Print an error line and return ``code``."""
    note(f"error: {' '.join(message.split())}")
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    note(f"warning: {' '.join(str(message).split())}")


if __name__ == "__main__":
    main()
