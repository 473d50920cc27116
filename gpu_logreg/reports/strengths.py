"""The section on the choice of the strength of a penalty: scores of the rows that fits were not given, by C."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.reports.content import Figure, Section, Series, Table

__all__ = ["choice_section"]

MOST_CURVES = 6
"""Values of ``l1_ratio`` that have a curve."""


def choice_section(
    Cs: NDArray[np.float64], scores: NDArray[np.float64], l1_ratios: list[float | None], chosen: float, name: str
) -> Section:
    """Scores by C: their mean over the folds as a curve, and their range.

    Parameters
    ----------
    Cs : ndarray of shape (n,)
    scores : ndarray of shape (folds, len(l1_ratios), n)
    l1_ratios : list
        None where there is but one penalty.
    chosen : float
        C of the fit.
    name : str
        Of the score.
    """
    order = np.argsort(Cs, kind="stable")
    x, mean = Cs[order], scores.mean(axis=0)[:, order]
    least, most = scores.min(axis=0)[:, order], scores.max(axis=0)[:, order]
    names = ["" if ratio is None else f"l1_ratio={ratio:g}" for ratio in l1_ratios]
    series = [Series(names[k] or "mean", x.tolist(), mean[k].tolist()) for k in range(min(len(mean), MOST_CURVES))]
    if len(mean) == 1:
        ends = (("least of the folds", least), ("largest of the folds", most))
        series += [Series(end, x.tolist(), values[0].tolist(), "guide") for end, values in ends]
    figure = Figure(
        f"{name} by C",
        f"The mean over {len(scores)} folds, each of rows that its fits were not given; the fit is with "
        f"C={chosen:.6g}, of {len(x)} values from {x[0]:.6g} to {x[-1]:.6g}.",
        "C",
        name,
        series,
        log_x=bool(x[0] > 0.0 and len(x) > 1),
    )
    cells = [
        [*([] if names[k] == "" else [names[k]]), f"{x[j]:.6g}"]
        + [f"{values[k, j]:.5f}" for values in (mean, least, most)]
        + ["chosen" if x[j] == chosen else ""]
        for k in range(len(mean))
        for j in range(len(x))
    ]
    headings = [*([] if names[0] == "" else ["penalty"]), "C", "mean", "least", "largest", ""]
    return Section("Choice of C", [figure, Table(f"{name} of every C", headings, cells)])
