"""Processes with a limit of time: asked to end by an interrupt, then killed with everything they have started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

GRACE_S = 3.0
"""Seconds from the interrupt to the kill."""

MOST_OUTPUT = 2 * 2**20
"""Bytes that a process may write to its log before it is ended."""

POLL_S = 0.02
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def end_with_parent() -> None:
    """Have this process killed when the one that started it ends, whatever ends that."""
    with contextlib.suppress(AttributeError, OSError):  # Linux has it
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A process in a session of its own, whose output goes to the end of a file.

    Parameters
    ----------
    command : sequence of str
    seconds : float
        Limit.
    log : Path
    environment : dict, optional
    folder : Path, optional
        Where it runs.

    Attributes
    ----------
    returncode : int or None
        None until it has ended, and where it had to be ended.
    why : str
        Why it was ended; empty where it ended by itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        seconds: float,
        log: Path,
        environment: dict[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.seconds, self.returncode, self.why = seconds, None, ""  # type: float, int | None, str
        self._begin, self._asked, self._log = time.monotonic(), 0.0, log
        with log.open("ab") as output:
            self._first = output.tell()
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    @property
    def spent(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._begin

    def ended(self) -> bool:
        """Whether it has; ends it where it is over its limits."""
        returncode = self._process.poll()
        if returncode is not None:
            self._kill()  # what it may have left behind
            self.returncode = None if self.why else returncode
            return True
        if self._asked and time.monotonic() - self._asked > GRACE_S:
            self._kill()
        elif not self._asked and self.spent > self.seconds:
            self.ask(f"out of time after {self.seconds:.0f} s")
        elif not self._asked and self._log.stat().st_size - self._first > MOST_OUTPUT:
            self.ask("too much output")
        return False

    def ask(self, why: str) -> None:
        """Interrupt it, once."""
        if not self._asked:
            self.why, self._asked = why, time.monotonic()
            self._signal(signal.SIGINT)

    def tail(self, size: int = 4000) -> str:
        """The end of its output."""
        with self._log.open("rb") as file:
            file.seek(max(self._first, file.seek(0, os.SEEK_END) - size))
            return file.read().decode(errors="replace")

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def wait(children: Sequence[Child]) -> None:
    """Wait until all have ended; where that is interrupted, all are ended first."""
    running = list(children)
    try:
        while running:
            running = [child for child in running if not child.ended()]
            if running:
                time.sleep(POLL_S)
    finally:
        for child in running:
            child.ask("interrupted")
        while running:
            running = [child for child in running if not child.ended()]
            time.sleep(POLL_S)
