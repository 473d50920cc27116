"""Categories in the text columns of new rows that the training rows did not have, so that they have no weight."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpu_logreg.files.column_names import list_first
from gpu_logreg.files.encoding import category_counts, category_places
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.table import Table

__all__ = ["UnseenCategories", "add_unseen", "remarks_of", "unseen_categories", "unseen_remarks"]

_SHOWN_CATEGORIES = 4
"""Most categories that one remark names, so that it stays a line."""

_SHOWN_LETTERS = 40
"""Letters of a category that a remark shows; a cell of free text may hold a page."""


class UnseenCategories(NamedTuple):
    """What one text column of new rows holds and the training rows did not.

    Attributes
    ----------
    n_rows : int
        Rows with such a category.
    categories : list of str
        The categories, sorted by code point. A missing cell is none of them.
    """

    n_rows: int
    categories: list[str]


def unseen_categories(rows: Table | Matrix, schema: Schema) -> dict[str, UnseenCategories]:
    """The categories of new rows for which `Schema.transform` sets no column of the matrix to one, by their column.

    Parameters
    ----------
    rows : Table or Matrix of n rows
        As for `Schema.transform`: a number in a column that held text in training is a category as well.
    schema : Schema

    Returns
    -------
    dict
        For the name of each column with such categories, what they are.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from gpu_logreg.files.load import as_table
    >>> from gpu_logreg.files.schema import Schema
    >>> schema = Schema.fit(as_table(pa.table({"town": ["Bern", "Rome", "Bern"]})))
    >>> unseen_categories(as_table(pa.table({"town": ["Oslo", "Rome", "Oslo"]})), schema)
    {'town': UnseenCategories(n_rows=2, categories=['Oslo'])}
    """
    if not schema.text:
        return {}
    schema.check(rows)
    table = schema.to_table(rows.take([column.name for column in schema.text]))
    unseen = {}
    for column in schema.text:
        counts, categories = category_counts(column, table)
        is_unseen = (category_places(column, table)[:-1] < 0) & (counts[:-1] > 0)  # the last of both: missing cells
        if is_unseen.any():
            names = [categories[at].as_py() for at in np.flatnonzero(is_unseen).tolist()]
            unseen[column.name] = UnseenCategories(int(counts[:-1][is_unseen].sum()), names)
    return unseen


def unseen_remarks(rows: Table | Matrix, schema: Schema) -> list[str]:
    """One line for each column with unseen categories: in how many rows they are, how many they are, the first of them.

    Parameters
    ----------
    rows : Table or Matrix
        With the columns of ``schema``.
    schema : Schema
    """
    return remarks_of(unseen_categories(rows, schema), rows.source.name, rows.n_rows)


def add_unseen(found: dict[str, UnseenCategories], more: dict[str, UnseenCategories]) -> dict[str, UnseenCategories]:
    """Unseen categories of rows and of those below them."""
    added = dict(found)
    for name, (n_rows, categories) in more.items():
        before = found.get(name, UnseenCategories(0, []))
        added[name] = UnseenCategories(before.n_rows + n_rows, sorted({*before.categories, *categories}))
    return added


def remarks_of(unseen: dict[str, UnseenCategories], source_name: str, n_all: int) -> list[str]:
    """One line for each column with unseen categories, of ``n_all`` rows."""
    remarks = []
    for name, (n_rows, categories) in unseen.items():
        first_categories = list_first(categories, _SHOWN_CATEGORIES, lambda category: repr(category[:_SHOWN_LETTERS]))
        count = "a category" if len(categories) == 1 else f"{len(categories):,} categories"
        remarks.append(
            f"{source_name}: column {name!r}: {n_rows:,} of {n_all:,} rows hold {count} that "
            f"training did not see: {first_categories}; "
            f"{'it counts' if len(categories) == 1 else 'they count'} as none"
        )
    return remarks
