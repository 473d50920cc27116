"""Rows of ``bench/results/`` for documents and pictures: what is shown, and the newest run that has it."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
OURS = "gpu-logreg"
GOAL = 1e-8
"""A fit is said to have ended above the minimum where it ended more than this above it, relatively."""

Row = Mapping[str, str]
Where = Mapping[str, Any]
Spec = dict[str, Any]


@cache
def rows_of(name: str, folder: Path = RESULTS) -> tuple[Row, ...]:
    """All rows of a file, oldest first, each with the name of its file."""
    path = folder / f"{name}.csv"
    if not path.exists():
        return ()
    with path.open(newline="") as file:
        return tuple({"file": name, **row} for row in csv.DictReader(file))


def matches(row: Row, where: Where) -> bool:
    """Whether a row has these values: texts as patterns of a shell, numbers as numbers."""
    return all(_same(row.get(name) or "", value) for name, value in where.items())


def _same(text: str, value: Any) -> bool:
    if isinstance(value, str):
        return fnmatchcase(text, value)
    try:
        return float(text) == float(value)
    except ValueError:
        return False


def run_of(row: Row) -> tuple[str, str, str]:
    """What rows of one run have in common: recording makes a checkout dirty, and is no other run."""
    return row["date"], row["commit"].removesuffix("-dirty"), row["processor"]


def newest_run(rows: Iterable[Row], where: Where) -> list[Row]:
    """The rows of the newest run that has a row as asked for, which match; of equal ones the last stands at the end."""
    found = [row for row in rows if matches(row, where)]
    return [row for row in found if run_of(row) == run_of(found[-1])] if found else []


def is_ours(row: Row) -> bool:
    return row.get("solver", "").partition(",")[0] == OURS


def kind(row: Row) -> str:
    """What follows the name of a solver that was given the rows in another form: ``"sparse"``."""
    return "sparse" if row["solver"].endswith(", sparse") else ""


def above(row: Row) -> float:
    """How far above the minimum a fit ended, relatively; NaN where that is not known."""
    return float(row.get("suboptimality") or row.get("above") or "nan")


def arrived(row: Row) -> bool:
    """Whether a fit ended at the minimum."""
    return above(row) <= GOAL


def fastest_peer(ours: Row, rows: Iterable[Row]) -> Row | None:
    """The fastest fit of another library that ended at the minimum, or the fastest of all where none did."""
    peers = [row for row in rows if not is_ours(row) and kind(row) == kind(ours) and row["per_ours"]]
    peers = [row for row in peers if row.get("note") != "ended at the limit"]
    return min(peers, key=lambda row: (not arrived(row), float(row["per_ours"])), default=None)


def races(name: str, keys: Iterable[str], folder: Path = RESULTS) -> list[tuple[Row, list[Row]]]:
    """For each problem of a file our fit and the others, of the newest run in which there are both."""
    rows, found = rows_of(name, folder), {}
    for row in rows:
        found[(*(row.get(key, "") for key in keys), kind(row))] = None
    result = []
    for *values, form in found:
        same = [row for row in rows if [row.get(key, "") for key in keys] == values and kind(row) == form]
        runs = {run_of(row): None for row in same if not is_ours(row)}
        newest = [run for run in runs if any(is_ours(row) and run_of(row) == run for row in same)][-1:]
        race = {row["solver"]: row for row in same if [run_of(row)] == newest}  # the last of a solver
        ours = [row for row in race.values() if is_ours(row)]
        result += [(ours[-1], [row for row in race.values() if not is_ours(row)])] if ours else []
    return result


def harness_races(folder: Path = RESULTS) -> list[tuple[Row, list[Row]]]:
    """The problems of ``bench/run.py``, in the words of the other files: seconds are those to 1e-8 of the minimum."""
    rows, found = rows_of("peers", folder), []
    for problem in dict.fromkeys(row["problem"] for row in rows):
        run = newest_run(rows, {"problem": problem, "peer": OURS})
        same = [row for row in rows if row["problem"] == problem and run_of(row) == run_of(run[-1])] if run else []
        race = {row["peer"]: row for row in same}  # the last of a peer
        seconds = float(run[-1]["s_to_1e-8"] or "nan") if run else float("nan")
        if seconds > 0:
            words = [_in_words(row, seconds) for row in race.values()]
            ours = next(row for row in words if row["solver"] == OURS)
            found.append((ours, [row for row in words if not row["solver"].startswith(OURS)]))
    return found


def _in_words(row: Row, ours: float) -> Row:
    """A row of the harness with the columns of the other files; ``note`` tells how it ended."""
    seconds = row["s_to_1e-8"]
    return {
        **row,
        "solver": row["peer"],
        "seconds": seconds,
        "per_ours": f"{float(seconds) / ours:.3g}" if seconds else "",
        "suboptimality": str(min(float(row["suboptimality"] or "nan"), GOAL)) if seconds else row["suboptimality"],
        "note": row["outcome"],
    }


def specification() -> Spec:
    """What documents show of the rows: ``docs/figures.toml``."""
    return tomllib.loads((ROOT / "docs" / "figures.toml").read_text(encoding="utf-8"))


def label(template: str, where: Spec) -> str:
    """A template with the values that a row was asked for, numbers with their commas."""
    values = {name: f"{value:,}" if isinstance(value, int) else value for name, value in where.items()}
    return template.format(**values)
