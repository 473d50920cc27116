"""How the Hessian of a linear model is kept, which a loss decides, and the multiplications that it takes then.

A row adds ``s_i C_i kron u_i u_i.T`` to it, where ``C_i`` is the second derivative of the loss of the row by its logits
and ``u_i`` the row with a 1 for the intercept. It is kept as a matrix, or as the Kronecker product of the means of the
two factors.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["HessianForm"]


class HessianForm(NamedTuple):
    """How a Hessian is kept, and what it costs.

    Attributes
    ----------
    n_params : int
        Parameters of all logits.
    width : int
        Parameters of one logit: the columns, and the intercept.
    whole : bool
        Whether it is kept as a matrix, of shape (n_params, n_params), and not as the product of its mean factors.
    has_mean_factors : bool
        Whether the loss has such a product, which stands in for the matrix where that is large.
    row_products, factor_products : float
        Multiplications that add a row to it, and that factor it.

    Examples
    --------
    >>> from gpu_logreg.mathematics.losses import Binary, Classes
    >>> Binary().hessian_form(30)
    HessianForm(n_params=30, width=30, whole=True, has_mean_factors=False, row_products=900.0, factor_products=9000.0)
    >>> form = Classes(50).hessian_form(5000)
    >>> form.width, form.whole, form.row_products
    (100, False, 20000.0)
    """

    n_params: int
    width: int
    whole: bool
    has_mean_factors: bool
    row_products: float
    factor_products: float

    @property
    def n_kept(self) -> int:
        """Elements of the matrix, or of its larger factor, that of the columns."""
        return (self.n_params if self.whole else self.width) ** 2
