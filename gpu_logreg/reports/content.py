"""What a page is made of: sections of figures, tables, facts and paragraphs, all of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Facts", "Figure", "Item", "Page", "Section", "Series", "Table", "Text"]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Values by name."""

    values: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows.

    Attributes
    ----------
    caption : str
    headings : sequence of str
        Of all columns.
    rows : sequence of sequence of str
    folded : bool
        Whether the page shows it on demand only.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False


@dataclass(frozen=True)
class Series:
    """A line, points or intervals of a figure.

    Attributes
    ----------
    name : str
        Empty for one that needs no legend.
    x, y : sequence of float
    kind : {"line", "points", "steps", "guide"}
        ``"guide"`` is a thin line that others are compared with.
    low, high : sequence of float
        Ends of intervals along ``x``, or empty.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: str = "line"
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Figure:
    """A drawing, and what it shows in words.

    Attributes
    ----------
    title : str
    words : str
        What a reader who does not see it is told.
    x_label, y_label : str
    series : sequence of Series
    is_unit : bool
        Whether both axes run from 0 to 1.
    log_y, log_x : bool
    names : sequence of str
        Of the values 0, 1, ... of ``y``, from the top, where they are names.
    """

    title: str
    words: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    is_unit: bool = False
    log_y: bool = False
    names: Sequence[str] = ()
    log_x: bool = False


Item = Text | Facts | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    heading: str
    items: Sequence[Item]


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    lead: str
    sections: Sequence[Section] = field(default_factory=list)
