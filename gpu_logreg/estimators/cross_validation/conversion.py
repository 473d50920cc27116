"""Conversion of logistic regression with cross-validation to scikit-learn's and back; predictions stay the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.conversion import (
    LINEAR_SOLVERS,
    LINEAR_STAND_INS,
    check_class,
    copy_attributes,
    refuse_beyond_sklearn,
    shared_params,
)
from gpu_logreg.estimators.onnx_conversion import OnnxConversion

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegressionCV as SklearnLogisticRegressionCV

__all__ = ["CrossValidationConversion"]

_ATTRIBUTES = (
    *("classes_", "n_features_in_", "feature_names_in_", "n_iter_"),
    *("Cs_", "l1_ratios_", "C_", "l1_ratio_", "scores_", "coefs_paths_"),
)


class CrossValidationConversion(OnnxConversion):
    """`to_sklearn` and `from_sklearn` of logistic regression with cross-validation."""

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Any:
        """An estimator with the parameters of scikit-learn's, of version 1.9 or later, and the attributes of its fit.

        Parameters
        ----------
        estimator : sklearn.linear_model.LogisticRegressionCV

        Returns
        -------
        LogisticRegressionCV

        Raises
        ------
        DataError
            An estimator of another class, or of an older scikit-learn.
        """
        from sklearn.linear_model._logistic import LogisticRegressionCV

        check_class(estimator, LogisticRegressionCV)
        if not hasattr(estimator, "use_legacy_attributes"):
            raise DataError("LogisticRegressionCV has other parameters before scikit-learn 1.9; fit it anew")
        ours: Any = cls()
        ours.set_params(**shared_params(estimator, ours))
        if hasattr(estimator, "coef_"):
            copy_attributes(estimator, ours, _ATTRIBUTES)
            ours.coef_ = np.array(dense_coef(estimator.coef_), dtype=np.float64)
            ours.intercept_ = np.array(np.broadcast_to(estimator.intercept_, (len(ours.coef_),)), dtype=np.float64)
        return ours

    def to_sklearn(self: Any) -> SklearnLogisticRegressionCV:
        """scikit-learn's estimator with the same parameters and, if this one is fitted, all attributes of the fit.

        Parameters that scikit-learn does not have are left out. Solvers that it does not have become ``"saga"`` where
        there are shares of L1, and else ``"newton-cholesky"`` or ``"lbfgs"``.

        Returns
        -------
        sklearn.linear_model.LogisticRegressionCV

        Raises
        ------
        DataError
            A fit with an offset, ``penalty_factor``, ``penalty_groups``, ``soft_labels`` or bounds.
        """
        from sklearn.linear_model._logistic import LogisticRegressionCV

        refuse_beyond_sklearn(self)
        theirs = LogisticRegressionCV()
        params = shared_params(self, theirs)
        if self.solver not in LINEAR_SOLVERS:
            given = self.l1_ratios is not None and not isinstance(self.l1_ratios, str) and np.any(self.l1_ratios)
            with_l1 = bool(given) or self.penalty in ("l1", "elasticnet")
            params["solver"] = "saga" if with_l1 else LINEAR_STAND_INS.get(self.solver, "lbfgs")
        theirs.set_params(**params)
        if hasattr(self, "coef_"):
            copy_attributes(self, theirs, _ATTRIBUTES)
            theirs.coef_, theirs.intercept_ = self.coef_.copy(), self.intercept_.copy()
        return theirs
