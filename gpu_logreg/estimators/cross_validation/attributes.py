"""Fitted attributes of a grid of models, in the shapes of scikit-learn 1.10 and in those before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import HostArray
from gpu_logreg.estimators.cross_validation.parameters import Grid

__all__ = ["Chosen", "GridOfModels"]


@dataclass(frozen=True)
class Chosen:
    """The best model of a grid.

    Attributes
    ----------
    C, l1_ratio : float
        ``l1_ratio`` is None where none was given, as scikit-learn has it.
    at : tuple (l1_ratio, C) or None
        Their numbers in the grid; None for a mean over the folds.
    params : ndarray of shape (n_logits, n_dof)
        Mean over the folds of the coefficients of the best, or of the best of each.
    """

    C: float
    l1_ratio: Any
    at: tuple[int, int] | None
    params: HostArray


@dataclass(frozen=True)
class GridOfModels:
    """Coefficients and scores of all models.

    Attributes
    ----------
    grid : Grid
    coefs : ndarray of shape (n_folds, n_l1_ratios, n_cs, n_logits, n_dof)
    scores, n_iter : ndarray of shape (n_folds, n_l1_ratios, n_cs)
    """

    grid: Grid
    coefs: HostArray
    scores: HostArray
    n_iter: HostArray

    def best(self) -> Chosen:
        """The model of the best mean score over the folds, the first of several: by C, then by ``l1_ratio``."""
        total = self.scores.sum(axis=0).T
        at_C, at_ratio = (int(at) for at in np.unravel_index(np.argmax(total), total.shape))
        C, ratio = float(self.grid.Cs[at_C]), self.grid.named_l1_ratios[at_ratio]
        return Chosen(C, ratio, (at_ratio, at_C), self.coefs[:, at_ratio, at_C].mean(axis=0))

    def best_of_each_fold(self, penalty_is_mixed: bool) -> Chosen:
        """Means over the folds of the best C, ``l1_ratio`` and coefficients of each."""
        n_folds, n_ratios, n_cs = self.scores.shape
        best = self.scores.transpose(0, 2, 1).reshape(n_folds, -1).argmax(axis=1)
        at_C, at_ratio = np.unravel_index(best, (n_cs, n_ratios))
        ratio = float(np.mean(self.grid.named_l1_ratios[at_ratio])) if penalty_is_mixed else 0.0
        params = self.coefs[np.arange(n_folds), at_ratio, at_C].mean(axis=0)
        return Chosen(float(self.grid.Cs[at_C].mean()), ratio, None, params)

    def attributes(self, classes: HostArray, chosen: Chosen) -> dict[str, Any]:
        """``Cs_``, ``l1_ratios_``, ``C_``, ``l1_ratio_``, ``coefs_paths_``, ``scores_`` and ``n_iter_``."""
        shared = {"Cs_": self.grid.Cs, "l1_ratios_": self.grid.named_l1_ratios}
        return shared | (self._legacy(classes, chosen) if self.grid.legacy else self._new(chosen))

    def _new(self, chosen: Chosen) -> dict[str, Any]:
        ratio = chosen.l1_ratio if self.grid.has_l1_ratios else self.grid.l1_ratios[0]
        return {
            "C_": chosen.C,
            "l1_ratio_": float(ratio),
            "coefs_paths_": self.coefs,
            "scores_": self.scores,
            "n_iter_": self.n_iter,
        }

    def _legacy(self, classes: HostArray, chosen: Chosen) -> dict[str, Any]:
        """Dictionaries by class, of two the second, with the same scores for each; n_cs before n_l1_ratios."""
        of = classes[1:] if len(classes) == 2 else classes
        by_class = np.moveaxis(self.coefs, (3, 2), (0, 2))  # (n_logits, n_folds, n_cs, n_l1_ratios, n_dof)
        scores, n_iter = self.scores.transpose(0, 2, 1), self.n_iter.transpose(0, 2, 1)[None]
        if not self.grid.has_l1_ratios:
            by_class, scores, n_iter = by_class[:, :, :, 0], scores[:, :, 0], n_iter[:, :, :, 0]
        return {
            "C_": np.asarray([chosen.C] * len(of)),
            "l1_ratio_": np.asarray([chosen.l1_ratio] * len(of)),
            "coefs_paths_": dict(zip(of, by_class, strict=True)),
            "scores_": {label: scores.copy() for label in of},
            "n_iter_": n_iter,
        }
