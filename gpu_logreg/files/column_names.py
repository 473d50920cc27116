"""Columns by name, rows by place: what messages about a file of data say."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.numbered import NumberedNames

__all__ = [
    "Part",
    "Source",
    "drop_option",
    "missing_columns",
    "need_target",
    "pick_columns",
    "reads_as_number",
    "text_option",
    "unknown_column",
]


@dataclass(frozen=True)
class Source:
    """Where rows came from, for messages.

    Attributes
    ----------
    name : str
        Path of the file, or a word for a table in memory.
    is_text : bool
        Whether cells have no types of their own, as in CSV.
    """

    name: str
    is_text = False

    def at(self, row: int) -> str:
        """Place of a row, counted from 0, for a person, who counts from 1."""
        return f"{self.name}, row {row + 1}"

    def cell(self, row: int, name: str) -> str | None:
        """A cell as the file has it; None where that is not known."""
        return None


@dataclass(frozen=True, eq=False)
class Part(Source):
    """Some rows of another source, by their place there."""

    whole: Source
    positions: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, whole: Source, positions: NDArray[np.integer[Any]]) -> Part:
        """The rows of ``whole`` at ``positions``."""
        return cls(whole.name, whole, positions)

    def at(self, row: int) -> str:
        """Place of the row in the whole."""
        return self.whole.at(int(self.positions[row]))

    def cell(self, row: int, name: str) -> str | None:
        """The cell of that row in the whole."""
        return self.whole.cell(int(self.positions[row]), name)


def drop_option(name: str) -> str:
    """What to type to leave a column out."""
    return f"--drop {shlex.quote(name)}"


def missing_option(word: str) -> str:
    """What to type to have a word count as missing."""
    return f"--missing {shlex.quote(word[:40])}"


def text_option(name: str) -> str:
    """What to type to keep a column as text."""
    return f"--text {shlex.quote(name)}"


def need_target(target: str | None, path: Any, names: Sequence[str] = (), more: str = "") -> str:
    """The name of the labels; refused where none is given, with what they may be."""
    if target is not None:
        return target
    shown = f"; it has {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}{more}" if len(names) else ""
    raise DataError(f"{path}: name the labels with --target{shown}")


def pick_columns(present: Sequence[str], wanted: Collection[str], source: Source) -> list[int]:
    """Positions of ``wanted`` among ``present``; unknown names are a `DataError` that gives the nearest."""
    if isinstance(present, NumberedNames):
        for name in wanted:
            if name not in present:
                raise DataError(f"{source.name}: has no column {name!r}; its columns are {present[0]} to {present[-1]}")
        return [present.index(name) for name in wanted]
    position = {name: at for at, name in enumerate(present)}
    for name in wanted:
        if name not in position:
            raise unknown_column(name, present, source)
    return [position[name] for name in wanted]


def unknown_column(name: str, present: Sequence[str], source: Source) -> DataError:
    """The error for a column that is not there, with the nearest names, or all of them where they are few."""
    near = difflib.get_close_matches(name, present, n=3, cutoff=0.6)
    lower = {other.lower(): other for other in present}
    if name.lower() in lower and lower[name.lower()] not in near:
        near = [lower[name.lower()], *near]
    if all(re.fullmatch(r"c\d+", other) for other in present):
        hint = f"its columns are {present[0]} to {present[-1]}"
    elif near:
        hint = f"did you mean {' or '.join(repr(other) for other in near)}?"
    else:
        shown = ", ".join(present[:20]) + (", ..." if len(present) > 20 else "")
        hint = f"its {len(present)} columns are {shown}" if len(present) > 1 else f"its only column is {present[0]!r}"
    mark = next((mark for mark in ",;\t|" if len(present) == 1 and mark in present[0]), None)
    if mark is not None:
        hint += f"; if cells are separated by {mark!r}, give --sep {shlex.quote(mark)}"
    if any(reads_as_number(other) for other in present):
        hint += "; the first line looks like data: use --no-header if the file has no header"
    return DataError(f"{source.name}: has no column {name!r}; {hint}")


def missing_columns(missing: Sequence[str], present: Sequence[str], source: Source) -> DataError:
    """The error for columns that a model needs and a file lacks."""
    shown = ", ".join(repr(name) for name in missing[:5]) + (", ..." if len(missing) > 5 else "")
    hint = f"it has {', '.join(present[:10])}{', ...' if len(present) > 10 else ''}"
    if all(re.fullmatch(r"c\d+", name) for name in missing):
        hint = f"it has {_columns(len(present))}; if it has no header, use --no-header"
    return DataError(f"{source.name}: lacks {_columns(len(missing))} of the model: {shown}; {hint}")


def _columns(count: int) -> str:
    return f"{count} column{'' if count == 1 else 's'}"


def reads_as_number(text: str) -> bool:
    """Whether Python reads a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
