"""scikit-learn's check of an estimator's parameters, made once for the same values: it takes longer than a tiny fit."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["KnownParameters"]

PLAIN = frozenset({bool, int, float, str, type(None), np.bool_, np.int64, np.float64})
"""Types of values that cannot change and that are told apart by their values and types."""

MOST_KNOWN = 1000
"""Sets of values that are remembered: those of a search over a grid."""

_MISSING = object()
_known: set[tuple[Any, ...]] = set()


class KnownParameters:
    """`_validate_params`, which returns at once where the values have passed the check of the same class before."""

    _parameter_constraints: dict[str, list[Any]]

    def _validate_params(self) -> None:
        """Raise scikit-learn's error for a parameter that has none of the values it may have."""
        given = vars(self)
        values = [given.get(name, _MISSING) for name in self._parameter_constraints]
        types = [type(value) for value in values]
        if not PLAIN.issuperset(types):
            super()._validate_params()  # type: ignore[misc]
            return
        key = type(self), *types, *values
        if key in _known:
            return
        super()._validate_params()  # type: ignore[misc]
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known.add(key)
