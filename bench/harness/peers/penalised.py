"""Libraries for penalised generalised linear models: glum, skglm, celer, LIBLINEAR, adelie, statsmodels."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from harness.peers.peer import Peer, Solution, solution_of, tolerances
from scipy import sparse


class Glum(Peer):
    """Iteratively reweighted least squares; coordinate descent on them under an L1 penalty."""

    name, module = "glum", "glum"
    levels = tolerances(1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    many_classes, most_weights = False, 4_000

    def fit(self, prepared: Any, **level: Any) -> Solution:
        from glum import GeneralizedLinearRegressor

        X, y, C, l1_ratio, fit_intercept = prepared
        model = GeneralizedLinearRegressor(
            family="binomial",
            alpha=0.0 if math.isinf(C) else 1.0 / (C * X.shape[0]),
            l1_ratio=l1_ratio,
            solver="irls-cd" if l1_ratio else "irls-ls",
            fit_intercept=fit_intercept,
            gradient_tol=level["tol"],
            max_iter=500,
        )
        return solution_of(model.fit(X, y.astype(X.dtype)))


class Skglm(Peer):
    """Coordinate descent on working sets of columns."""

    name, module = "skglm", "skglm"
    levels = tolerances(1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10)
    penalties, many_classes, compiles = ("L1",), False, True

    def prepare(self, training: Any) -> Any:
        return training._replace(X=_by_columns(training.X))

    def fit(self, prepared: Any, **level: Any) -> Solution:
        from skglm import SparseLogisticRegression

        X, y, C, _, fit_intercept = prepared
        alpha = 1.0 / (C * X.shape[0])
        model = SparseLogisticRegression(alpha=alpha, fit_intercept=fit_intercept, max_iter=1000, **level)
        return solution_of(model.fit(X, y))


class Celer(Skglm):
    """Coordinate descent on working sets, with bounds from the dual."""

    name, module, compiles = "celer", "celer", False
    intercept = (False,)

    def fit(self, prepared: Any, **level: Any) -> Solution:
        from celer import LogisticRegression

        X, y, C, *_ = prepared
        return solution_of(LogisticRegression(C=C, max_iter=1000, **level).fit(X, y))


class LiblinearMulticore(Peer):
    """LIBLINEAR on several threads: its Newton method for a ridge penalty, coordinate descent for L1."""

    name, module, package = "liblinear-multicore", "liblinear", "liblinear-multicore"
    levels = tolerances(1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
    penalties, many_classes, intercept = ("ridge", "L1"), False, (False,)

    def prepare(self, training: Any) -> Any:
        from liblinear.liblinearutil import problem

        X = sparse.csr_matrix(training.X, dtype=np.float64)
        return training, problem(np.where(training.y == 1, 1.0, -1.0), X)

    def fit(self, prepared: Any, **level: Any) -> Solution:
        from liblinear.liblinearutil import parameter, train

        training, problem = prepared
        solver = 6 if training.l1_ratio else 0
        threads = os.environ.get("OMP_NUM_THREADS", "1")
        model = train(problem, parameter(f"-s {solver} -c {training.C} -e {level['tol']} -m {threads} -q"))
        w, _ = model.get_decfun()
        sign = 1.0 if model.get_labels()[0] == 1 else -1.0
        return sign * np.asarray(w)[None, : training.X.shape[1]], np.zeros(1)


class Adelie(Peer):
    """Coordinate descent on reweighted least squares, one value of a path."""

    name, module = "adelie", "adelie"
    levels = tolerances(1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
    penalties, many_classes, sparse_rows = ("ridge", "L1"), False, False

    def prepare(self, training: Any) -> Any:
        return training._replace(X=np.asfortranarray(training.X, dtype=np.float64), y=training.y.astype(np.float64))

    def fit(self, prepared: Any, **level: Any) -> Solution:
        import adelie

        X, y, C, l1_ratio, fit_intercept = prepared
        state = adelie.grpnet(
            X=X,
            glm=adelie.glm.binomial(y=y),
            alpha=l1_ratio,
            lmda_path=[1.0 / (C * len(y))],
            intercept=fit_intercept,
            tol=level["tol"],
            irls_tol=level["tol"],
            adev_tol=1.0,
            ddev_tol=0.0,
            early_exit=False,
            n_threads=int(os.environ.get("OMP_NUM_THREADS", "1")),
            progress_bar=False,
        )
        return np.asarray(state.betas[-1].todense(), dtype=np.float64).reshape(1, -1), np.asarray(state.intercepts[-1:])


class Statsmodels(Peer):
    """`Logit` by Newton's method without a penalty, `GLM.fit_regularized` with one."""

    name, module = "statsmodels", "statsmodels"
    levels = tolerances(1e-4, 1e-6, 1e-8, 1e-10)
    many_classes, sparse_rows, most_weights = False, False, 2_000

    def prepare(self, training: Any) -> Any:
        X = np.asarray(training.X, dtype=np.float64)
        return training, np.column_stack([X, np.ones(len(X))]) if training.fit_intercept else X

    def fit(self, prepared: Any, **level: Any) -> Solution:
        import statsmodels.api as sm

        training, X = prepared
        d = training.X.shape[1]
        if math.isinf(training.C):
            params = sm.Logit(training.y, X).fit(method="newton", tol=level["tol"], maxiter=200, disp=0).params
        else:
            strength = np.full(X.shape[1], 1.0 / (training.C * len(X)))
            strength[d:] = 0.0
            fitted = sm.GLM(training.y, X, family=sm.families.Binomial()).fit_regularized(
                alpha=strength, L1_wt=training.l1_ratio, maxiter=1000, cnvrg_tol=level["tol"], zero_tol=0.0
            )
            params = fitted.params
        return params[None, :d], (params[d:] if training.fit_intercept else np.zeros(1))


def _by_columns(X: Any) -> Any:
    return sparse.csc_matrix(X) if sparse.issparse(X) else np.asfortranarray(X)
