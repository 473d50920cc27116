"""Times of passes over sparse rows, relative to passes over as many dense rows: what sizes of samples are chosen by."""

from __future__ import annotations

__all__ = ["sparse_curvature_cost", "sparse_read_cost"]

STORED_ELEMENT_COST = 6.0
"""Time to read a stored element of sparse rows with its column index, over that of an element of dense rows.

It decides the sizes of samples, whose cost is flat around the optimum, so that a factor of two does little. From trials
on two cores whose figures are not in ``bench/results/``."""

PAIR_COST = 40.0
"""Time to add a pair of elements of a sparse row to a Hessian, over that of a dense row; from the same trials."""


def sparse_read_cost(n_rows: int, n_columns: int, elements: float) -> float:
    """Time of a read of sparse rows, relative to one of as many dense rows."""
    return min(1.0, STORED_ELEMENT_COST * elements / max(1, n_rows * n_columns))


def sparse_curvature_cost(n_rows: int, n_columns: int, pairs: float) -> float:
    """Time of their Hessian of two classes, without its factorisation, relative to one of as many dense rows.

    ``pairs`` is the sum over the rows of the squares of the numbers of their stored elements.
    """
    return min(1.0, PAIR_COST * pairs / max(1, n_rows * n_columns**2))
