"""Names of the solvers of linear models, which the estimator, the command line and its help share; imports nothing.

And what a fit that did not converge says of its solver.
"""

from __future__ import annotations

__all__ = ["SOLVER_NAMES", "not_converged"]

SOLVER_NAMES = (
    "subsampled-newton",
    "newton-cg",
    "lbfgs",
    "proximal",
    "coordinate-descent",
    "gradient-descent",
    "sgd",
    "adam",
)
"""Those of the table in `gpu_logreg.estimators.linear.fit`; ``"auto"`` besides is one of them."""

_NOT_CONVERGED = {
    "newton-cg": "newton-cg failed to converge after {n} iterations. Increase the number of iterations.",
    "newton-cholesky": "Newton solver did not converge after {n} iterations.",
    "liblinear": "Liblinear failed to converge, increase the number of iterations.",
    "sag": "The max_iter was reached which means the coef_ did not converge.",
    "saga": "The max_iter was reached which means the coef_ did not converge.",
}


def not_converged(asked: str, ran: str, n_iter: int, message: str, advice: str) -> str:
    """The text of the warning of a fit that did not converge: as scikit-learn words it for the solver asked for.

    Parameters
    ----------
    asked, ran : str
        ``solver`` of the estimator, and what it was.
    n_iter : int
    message, advice : str
        The criterion with its figures, and what to try.
    """
    if ran == "lbfgs" and asked not in _NOT_CONVERGED:
        return f"lbfgs failed to converge after {n_iter} iteration(s): {message}. {advice}."
    start = _NOT_CONVERGED[asked].format(n=n_iter) + " " if asked in _NOT_CONVERGED else ""
    return f"{start}{ran} did not converge: {message}. {advice}."
