"""Penalties on the weights; the intercept is never penalised."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["l2_penalty", "ridge_strength"]

Float64Vector = npt.NDArray[np.float64]


def ridge_strength(C: float, weight_total: float) -> float:
    """Strength of the ridge penalty on the mean loss: ``l2 = 1 / (C sum(s))``.

    With it, ``mean loss + l2 |w|**2 / 2`` is scikit-learn's ``C sum(s row_loss) + |w|**2 / 2`` divided by ``C sum(s)``.
    ``C = inf`` gives 0.
    """
    return 1.0 / (C * weight_total)


def l2_penalty(w: Float64Vector, l2: float) -> tuple[float, Float64Vector]:
    """Value ``l2 |w|**2 / 2`` and gradient ``l2 w`` of the ridge penalty."""
    return 0.5 * l2 * float(np.vdot(w, w)), l2 * w
