"""Which penalty is asked for: scikit-learn's ``C`` and ``l1_ratio``, and its older ``penalty``, with its warnings."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

from gpu_logreg.errors import DataError
from gpu_logreg.penalty import elastic_net_strengths
from gpu_logreg.solvers.subsampled_newton import LARGEST_P

__all__ = ["L1_SOLVERS", "PENALTIES", "PenaltyChoice", "check_parameters", "chosen_penalty"]

PENALTIES = ("l1", "l2", "elasticnet")

L1_SOLVERS = ("auto", "proximal")
"""Solvers that can deal with an L1 penalty."""


class PenaltyChoice(NamedTuple):
    """A penalty of strength ``1 / C``, of which ``l1_ratio`` is L1 and the rest ridge; ``C = inf`` for none."""

    C: float
    l1_ratio: float

    def strengths(self, weight_total: float) -> tuple[float, float]:
        """Strengths ``(l1, l2)`` on the mean loss."""
        return elastic_net_strengths(self.C, self.l1_ratio, weight_total)


def chosen_penalty(penalty: Any, C: float, l1_ratio: float | None, solver: str) -> PenaltyChoice:
    """What the parameters of an estimator ask for together, as scikit-learn 1.9 reads them.

    Parameters
    ----------
    penalty : {"deprecated", "l1", "l2", "elasticnet", None}
        ``"deprecated"`` leaves it to ``C`` and ``l1_ratio``; any other value warns, and is heeded.
    C : float
    l1_ratio : float or None
    solver : str

    Raises
    ------
    DataError
        If the solver cannot deal with the penalty, or the parameters contradict each other.
    """
    if penalty == "deprecated":
        if l1_ratio is None:
            _warn_of_none()
        name, ratio = _name(C, l1_ratio or 0.0), float(l1_ratio or 0.0)
    else:
        _warn_of_penalty()
        name = penalty
        if penalty == "elasticnet" and l1_ratio is None:
            raise DataError("l1_ratio must be specified when penalty is elasticnet.")
        ratio = {"l1": 1.0, "elasticnet": float(l1_ratio or 0.0)}.get(penalty, 0.0)
    if name not in ("l2", None) and solver not in L1_SOLVERS:
        raise DataError(
            f"Solver {solver} supports only 'l2' or None penalties, got {name} penalty. "
            f"Use solver={' or '.join(repr(known) for known in L1_SOLVERS)}, or l1_ratio=0"
        )
    _warn_of_contradictions(penalty, name, C, l1_ratio)
    return PenaltyChoice(math.inf, 0.0) if name is None else PenaltyChoice(C, ratio)


def _name(C: float, l1_ratio: float) -> str | None:
    if math.isinf(C):
        return None
    return {0.0: "l2", 1.0: "l1"}.get(l1_ratio, "elasticnet")


def _warn_of_none() -> None:
    warnings.warn(
        "'l1_ratio=None' was deprecated in version 1.8 and will trigger an error in 1.10. Use 0<=l1_ratio<=1 instead.",
        FutureWarning,
        stacklevel=5,
    )


def _warn_of_penalty() -> None:
    warnings.warn(
        "'penalty' was deprecated in version 1.8 and will be removed in 1.10. To avoid this warning, leave 'penalty' "
        "set to its default value and use 'l1_ratio' or 'C' instead. Use l1_ratio=0 instead of penalty='l2', "
        "l1_ratio=1 instead of penalty='l1', l1_ratio set to a float between 0 and 1 instead of "
        "penalty='elasticnet', and C=np.inf instead of penalty=None.",
        FutureWarning,
        stacklevel=5,
    )


def _warn_of_contradictions(penalty: Any, name: str | None, C: float, l1_ratio: float | None) -> None:
    """In scikit-learn's words, whose tests look for them."""
    if name != "elasticnet" and l1_ratio is not None and 0 < l1_ratio < 1:
        warnings.warn(
            f"l1_ratio parameter is only used when penalty is 'elasticnet'. Got (penalty={name})", stacklevel=5
        )
    if (penalty == "l2" and l1_ratio != 0) or (penalty == "l1" and l1_ratio != 1):
        warnings.warn(
            f"Inconsistent values: penalty={penalty} with l1_ratio={l1_ratio}. penalty is deprecated. "
            "Please use l1_ratio only.",
            stacklevel=5,
        )
    if penalty is None and C != 1.0:
        warnings.warn("Setting penalty=None will ignore the C and l1_ratio parameters", stacklevel=5)


def check_parameters(p: int) -> None:
    """Refuse more parameters than the p x p matrices of ``solver="proximal"`` are meant for."""
    if p > LARGEST_P:
        raise DataError(
            f"X has {p} columns, the intercept included, and an L1 penalty (solver='proximal') keeps matrices of that "
            f"size squared, for at most {LARGEST_P}; use l1_ratio=0, or leave out columns first"
        )
