"""Ratios of a run beside those that the last run on the same processor kept: a regression shows in them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any


def last_kept(path: Path, row: dict[str, Any], keys: tuple[str, ...]) -> dict[str, str] | None:
    """The last row of a file of results that agrees with ``row`` in ``keys``, or None."""
    if not path.exists():
        return None
    with path.open(newline="") as file:
        alike = [kept for kept in csv.DictReader(file) if all(kept.get(key) == str(row[key]) for key in keys)]
    return alike[-1] if alike else None


def beside_last(path: Path, row: dict[str, Any], keys: tuple[str, ...], figure: str) -> str:
    """A phrase that compares ``row[figure]`` with the same of the last row that agrees in ``keys``.

    The figure is a ratio taken within one run, such as the time of a pass over that of a plain read; so rows of
    different days may be compared, where they are of one processor.
    """
    kept = last_kept(path, row, keys)
    if kept is None:
        return "no earlier row of this processor"
    change = float(row[figure]) / float(kept[figure]) - 1.0
    return f"{change:+.1%} to {kept[figure]} of {kept['date']}, {kept['commit']}"
