"""A child process as the runner sees it: started, asked with a limit, ended with all that it started."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

CHILD = Path(__file__).with_name("child.py")


class Contender(NamedTuple):
    """A peer, the Python it runs in, the file that has it where it is not the harness, and variables it needs."""

    name: str
    python: str = sys.executable
    file: str | None = None
    version: str = ""
    variables: tuple[tuple[str, str], ...] = ()


class ChildError(Exception):
    """The child crashed, answered with an error, or did not answer in time; the message says which."""


def environment(threads: int, folder: Path, variables: tuple[tuple[str, str], ...] = ()) -> dict[str, str]:
    """Every library that peers use for threads gets the same number."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA", "BLIS", "VECLIB")
    limits = {f"{name}_NUM_THREADS": str(threads) for name in names}
    return {**os.environ, **limits, "HARNESS_FOLDER": str(folder), **dict(variables)}


class Child:
    """One contender, started on the training in ``folder``; `ready` waits for its start."""

    def __init__(self, contender: Contender, folder: Path, threads: int) -> None:
        self.contender, self.folder = contender, folder
        command = [contender.python, str(CHILD), str(folder), contender.name]
        self._errors: IO[bytes] = open(folder / f"{abs(hash(contender))}.err", "w+b")  # noqa: SIM115
        self._process = subprocess.Popen(
            command + ([contender.file] if contender.file else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(threads, folder, contender.variables),
            start_new_session=True,  # Ctrl-C is the parent's; and the whole group can be ended
        )
        self._answers = b""
        self._asked = 0

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ready(self, limit: float) -> float:
        """Seconds that imports and the preparation of the rows took."""
        return float(self._answer(limit, "start")["start_s"])

    def fit(self, level: dict[str, Any], limit: float) -> dict[str, Any]:
        """What `child.fit` measured, with the path of the solution as "solution"; raises `ChildError`."""
        target = f"{self._process.pid}.{self._asked}.npz"
        self._asked += 1
        line = json.dumps({"level": level, "target": target}) + "\n"
        try:
            self._process.stdin.write(line.encode())  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            raise ChildError(self._how_it_ended()) from None
        return self._answer(limit, "answer") | {"solution": self.folder / target}

    def close(self) -> None:
        """End it and whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]

    def _answer(self, limit: float, what: str) -> dict[str, Any]:
        until = time.monotonic() + limit
        stdout = self._process.stdout
        while b"\n" not in self._answers:
            left = until - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                self.close()
                raise ChildError(f"no {what} in {limit:.3g} s")
            read = os.read(stdout.fileno(), 65536)  # type: ignore[union-attr]
            if not read:
                raise ChildError(self._how_it_ended())
            self._answers += read
        line, _, self._answers = self._answers.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        if code < 0:
            return f"crashed: {signal.Signals(-code).name}"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"ended with exit code {code}" + (f": {said[-1][:150]}" if said else "")


def probe(
    python: str, file: str | None = None, variables: tuple[tuple[str, str], ...] = ()
) -> dict[str, dict[str, Any]]:
    """`child.probe` in another Python; raises `ChildError` where that does not run."""
    command = [python, str(CHILD), "--probe", *([file] if file else [])]
    try:
        env = {**os.environ, **dict(variables)}
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChildError(f"{python} does not run: {error}") from None
    if ended.returncode:
        raise ChildError(f"{python}: {(ended.stderr.strip().splitlines() or ['no message'])[-1]}")
    found: dict[str, dict[str, Any]] = json.loads(ended.stdout.strip().splitlines()[-1])
    return found
