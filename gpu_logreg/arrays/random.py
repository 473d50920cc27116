"""Random numbers: seeds from what scikit-learn calls ``random_state``, and rows drawn by a hash of their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_drawn", "seed_of"]


def seed_of(random_state: Any) -> Any:
    """A seed for NumPy's generators from scikit-learn's ``random_state``; None gives the seed 0.

    Examples
    --------
    >>> seed_of(None), seed_of(7), seed_of(np.random.RandomState(0)) < 2**31
    (0, 7, True)
    """
    if isinstance(random_state, np.random.RandomState):
        return random_state.randint(2**31)
    return 0 if random_state is None else random_state


def is_drawn(first: int, n: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which of the rows from ``first`` on belong to a random share of all rows: by a hash of their numbers alone.

    The hash is the output function of SplitMix64 (Steele, Lea and Flood, 2014).

    Examples
    --------
    >>> drawn = is_drawn(0, 100_000, 0.2, seed=0)
    >>> float(drawn.mean()), bool((is_drawn(500, 100, 0.2, seed=0) == drawn[500:600]).all())
    (0.19933, True)
    """
    with np.errstate(over="ignore"):
        z = np.arange(first, first + n, dtype=np.uint64) + np.uint64(1)
        z = z * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed % 2**64) * np.uint64(0xD1342543DE82EF95)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) < np.uint64(round(share * 2**53))
