"""Coefficients kept as a sparse matrix, as scikit-learn's linear models can: smaller where many are zero."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from gpu_logreg.arrays.csr import dense_coef

__all__ = ["SparseCoef"]


class SparseCoef:
    """`sparsify` and `densify` of a linear model with ``coef_`` of shape (1, d) or (K, d)."""

    coef_: Any

    def sparsify(self) -> SparseCoef:
        """Keep ``coef_`` as a `scipy.sparse.csr_matrix`; predictions and a warm start make it dense as they need it.

        Returns
        -------
        self
        """
        from scipy.sparse import csr_matrix

        check_is_fitted(self, msg="Estimator, %(name)s, must be fitted before sparsifying.")
        self.coef_ = csr_matrix(self.coef_)
        return self

    def densify(self) -> SparseCoef:
        """Keep ``coef_`` as a NumPy array again.

        Returns
        -------
        self
        """
        check_is_fitted(self, msg="Estimator, %(name)s, must be fitted before densifying.")
        self.coef_ = dense_coef(self.coef_)
        return self
