"""Times of passes over sparse rows, relative to passes over as many dense rows: what sizes of samples are chosen by."""

from __future__ import annotations

__all__ = ["sparse_curvature_cost", "sparse_read_cost"]

STORED_ELEMENT_COST = 6.0
"""Time to read a stored element of sparse rows with its column index, over that of an element of dense rows.

It decides the sizes of samples, whose cost is flat around the optimum, so that a factor of two does little. From trials
on two cores whose figures are not in ``bench/results/``."""

PAIR_COST = 40.0
"""Time to add a pair of elements of a sparse row to a Hessian, over that of a dense row; from the same trials."""

PAIR_COST_OF_CLASSES = 20.0
"""The same of K classes, whose sums for a pair are added in vectors; from trials of which no row is kept."""


def sparse_read_cost(n_rows: int, n_columns: int, elements: float) -> float:
    """Time of a read of sparse rows, relative to one of as many dense rows."""
    return min(1.0, STORED_ELEMENT_COST * elements / max(1, n_rows * n_columns))


def sparse_curvature_cost(n_rows: int, n_columns: int, pairs: float, n_logits: int = 1) -> float:
    """Time of their Hessian, without its factorisation, relative to one of as many dense rows.

    ``pairs`` is the sum over the rows of the squares of the numbers of their stored elements.
    """
    cost = PAIR_COST if n_logits == 1 else PAIR_COST_OF_CLASSES
    return min(1.0, cost * pairs / max(1, n_rows * n_columns**2))
