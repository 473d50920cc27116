"""Seeds of random numbers, from what scikit-learn calls ``random_state``."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["seed_of"]


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
