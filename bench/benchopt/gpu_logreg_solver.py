"""gpu-logreg as a solver of benchopt's public benchmarks of logistic regression with a ridge or an L1 penalty.

Copy this file into ``solvers/`` of ``benchmark_logreg_l2`` or ``benchmark_logreg_l1`` and run
``benchopt run . -s gpu-logreg``. Both minimise a sum over the rows, not a mean: ``sum(log(1 + exp(-y X w)))`` plus
``lmbd |w|**2 / 2`` or ``lmbd |w|_1``; so ``C`` is ``1 / lmbd``. An intercept is the last element of the solution.
"""

import warnings

import numpy as np
from benchopt import BaseSolver

from gpu_logreg import LogisticRegression

LOOSEST = 0.1
"""benchopt begins with a tolerance of any size."""


class Solver(BaseSolver):
    """The curve is sampled by ``tol``: each point is a fit from nothing."""

    name = "gpu-logreg"
    sampling_strategy = "tolerance"
    install_cmd = "conda"
    requirements = ("pip::gpu-logreg",)
    parameters = {"penalty": ["of the benchmark"], "device": ["auto"]}  # noqa: RUF012 - benchopt's way

    def set_objective(self, X, y, lmbd, fit_intercept=False, **_):
        """Rows, labels -1 and 1, and the strength of the penalty."""
        penalty = self.penalty
        if penalty == "of the benchmark":
            penalty = "l1" if "sparse" in self._objective.name.lower() else "l2"
        self.X, self.y = X, y
        self.model = LogisticRegression(
            C=1.0 / lmbd,
            l1_ratio=float(penalty == "l1"),
            fit_intercept=fit_intercept,
            device=self.device,
            random_state=0,
        )

    def warm_up(self):
        """Loops and kernels are compiled once."""
        self.run_once(LOOSEST)

    def run(self, tol):
        """One fit."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the curve shows what is not at the minimum
            self.model.set_params(tol=min(tol, LOOSEST)).fit(self.X, self.y)

    def get_result(self):
        """Weights, and the intercept behind them where there is one."""
        w = self.model.coef_.ravel()
        return {"beta": np.append(w, self.model.intercept_) if self.model.fit_intercept else w}
