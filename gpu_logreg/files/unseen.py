"""Categories of new rows that training did not see."""

from __future__ import annotations

import numpy as np

from gpu_logreg.files.schema import Schema
from gpu_logreg.files.table import Matrix, Table

__all__ = ["unseen_remarks"]

_SHOWN = 4


def unseen_remarks(rows: Table | Matrix, schema: Schema) -> list[str]:
    """A line for each text column with such categories: how many rows have one, how many there are, the first of them.

    Parameters
    ----------
    rows : Table or Matrix
        With the columns of ``schema``.
    schema : Schema
    """
    remarks = []
    for text in schema.text:
        if isinstance(rows, Matrix) or rows.kind(text.name) != "text":
            continue
        encoded = rows.arrow.column(text.name).combine_chunks()
        known = set(text.categories)
        unseen = [at for at, word in enumerate(encoded.dictionary.to_pylist()) if word not in known]
        if not unseen:
            continue
        codes = np.asarray(encoded.indices.fill_null(-1), dtype=np.int64)
        count = int(np.isin(codes, unseen).sum())
        shown = ", ".join(repr(encoded.dictionary[at].as_py()[:40]) for at in unseen[:_SHOWN])
        categories = "a category" if len(unseen) == 1 else f"{len(unseen):,} categories"
        remarks.append(
            f"{rows.source.name}: column {text.name!r}: {count:,} of {rows.n_rows:,} rows hold {categories} that "
            f"training did not see: {shown}{', ...' if len(unseen) > _SHOWN else ''}; "
            f"{'it counts' if len(unseen) == 1 else 'they count'} as none"
        )
    return remarks
