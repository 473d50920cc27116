"""What a run of ``check.py`` has found, one line of JSON each, written when it is found: a kill loses nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FILE = "results.jsonl"

BENIGN = "not measured"
"""How the problem of a row begins that says nothing about correctness."""

LASTING = ("illegaladdress", "illegalmemoryaccess", "illegalinstruction", "misaligned", "launchfail", "launchtimeout")
"""What errors of a device say after which a process can do nothing more on it; without spaces and underscores."""


class Journal:
    """Lines about one step of one run.

    Parameters
    ----------
    folder : Path
    run : int
        Number of the run; reruns add to the same file.
    step : str
    """

    def __init__(self, folder: Path, run: int, step: str) -> None:
        self.folder, self.run, self.step = folder, run, step
        self.wrong: list[str] = []

    def add(self, kind: str, **what: Any) -> None:
        """Append a line; it is on the disk when this returns. Several processes may do so at once."""
        line = {"run": self.run, "step": self.step, "kind": kind, **what}
        text = json.dumps(line, default=_plain).encode() + b"\n"
        file = os.open(self.folder / FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":  # the last line was cut by a kill
                text = b"\n" + text
            os.write(file, text)
            os.fsync(file)
        finally:
            os.close(file)

    def row(self, section: str, key: Any, row: dict[str, Any], *, ours: bool = True) -> None:
        """A row of a table, which takes the place of an earlier one of the same key.

        A problem in a row of ours counts as wrong unless it says that something was not measured. After an error of
        the device nothing else can be measured in this process.
        """
        problem = str(row.get("problem", ""))
        wrong = ours and bool(problem) and not problem.startswith(BENIGN)
        self.add("row", section=section, key=str(key), row=row, wrong=wrong)
        if wrong:
            self.wrong.append(f"{section} {key}: {problem}")
        said = problem.lower().replace("_", "").replace(" ", "")
        if any(name in said for name in LASTING):
            raise RuntimeError(f"the device has failed, and the step ends: {problem}")

    def found(self, section: str) -> list[dict[str, Any]]:
        """Rows of a section so far, earlier runs included."""
        return rows_of(read(self.folder), section)

    def ceiling(self) -> float | None:
        """The pure-read rate in GB/s, if it has been measured."""
        rows = self.found("ceiling")
        return rows[-1].get("read_gb_per_s") if rows else None


def read(folder: Path) -> list[dict[str, Any]]:
    """All whole lines."""
    path = folder / FILE
    lines = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:  # cut by a kill
            continue
    return lines


def rows_of(lines: list[dict[str, Any]], section: str) -> list[dict[str, Any]]:
    """Rows of a section in the order of their keys' first appearance; of several with one key, the newest."""
    rows = {line["key"]: line["row"] for line in lines if line["kind"] == "row" and line["section"] == section}
    return list(rows.values())


def wrong_of(lines: list[dict[str, Any]]) -> list[str]:
    """What is wrong in the newest row of every key."""
    newest = {(line["section"], line["key"]): line for line in lines if line["kind"] == "row"}
    return [
        f"{line['step']}: {line['section']} {line['key']}: {line['row']['problem']}"
        for line in newest.values()
        if line["wrong"]
    ]


def next_run(folder: Path) -> int:
    """Number of the run that begins now."""
    return 1 + max((line["run"] for line in read(folder)), default=0)


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)
