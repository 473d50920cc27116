"""Nearly independent columns, so many that a Hessian of a sample takes longer than the gradients it saves."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg import LogisticRegression
from gpu_logreg.objectives.classes_curvature import ClassesSample
from gpu_logreg.objectives.curvature import BinarySample
from gpu_logreg.objectives.sampler import Sampler


def data(correlated: bool):
    """Rows, of eigenvalues from 1 to 1e-3 if asked for, and labels."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12_000, 400), dtype=np.float32)
    if correlated:
        basis = np.linalg.qr(rng.standard_normal((400, 400)))[0]
        X = X @ ((basis * np.sqrt(np.geomspace(1.0, 1e-3, 400))) @ basis.T).astype(np.float32)
    z = X @ rng.standard_normal(400)
    z /= z.std()
    return X, (rng.logistic(size=len(X)) < z).astype(int)


@pytest.mark.parametrize("correlated", [False, True])
def test_a_hessian_is_taken_where_gradients_alone_are_slow(monkeypatch, correlated):
    X, y = data(correlated)
    taken, metric = [], BinarySample.metric
    monkeypatch.setattr(BinarySample, "metric", lambda self, phi: taken.append(1) or metric(self, phi))
    model = LogisticRegression().fit(X, y)
    assert (model.solver_, model.converged_, bool(taken)) == ("subsampled-newton", True, correlated)
    assert model.n_reads_ < (30 if correlated else 13)
    exact = LogisticRegression(tol=1e-9, solver="newton-cg").fit(X.astype(np.float64), y)
    assert model.objective_ == pytest.approx(exact.objective_, rel=5e-9)


def test_a_warm_start_is_kept():
    X, y = data(correlated=False)
    model = LogisticRegression(warm_start=True).fit(X, y)
    first = model.n_reads_
    assert model.fit(X, y).n_reads_ < first


def test_several_classes_are_taken_by_gradients_alone(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, 60))
    y = (X @ rng.standard_normal((60, 8)) / 4.0 + rng.gumbel(size=(4000, 8))).argmax(axis=1)
    monkeypatch.setattr(ClassesSample, "params_metric", None)  # not called
    model = LogisticRegression().fit(X, y)
    exact = LogisticRegression(tol=1e-9, solver="newton-cg").fit(X, y)
    assert (model.solver_, model.converged_) == ("subsampled-newton", True)
    assert model.objective_ == pytest.approx(exact.objective_, rel=5e-9)


@pytest.mark.parametrize("outliers", [20, 2])
def test_outlying_rows_are_not_left_to_gradients(outliers):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8000, 150))
    y = (rng.logistic(size=len(X)) < X @ rng.standard_normal(150) / 6.0).astype(int)
    X[rng.choice(len(X), outliers, replace=False)] *= 1e4
    assert LogisticRegression(random_state=0).fit(X, y).n_reads_ < 40


@pytest.mark.parametrize(("shift", "C"), [(-7.0, 1.0), (0.0, 1e4)])
def test_few_rows_with_curvature_are_not_left_to_gradients(shift, C):
    """Rare classes, and classes that can be told apart: columns are independent, the Hessian is of few rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 200))
    z = X @ rng.standard_normal(200) / np.sqrt(200)
    y = (z > 0.0) if shift == 0.0 else rng.logistic(size=len(X)) < z + shift
    model = LogisticRegression(C=C, random_state=0).fit(X, y)
    assert model.converged_
    assert model.n_reads_ < 60


def test_nearly_independent_columns_take_no_sample(monkeypatch):
    X, y = data(correlated=False)
    monkeypatch.setattr(Sampler, "sample", None)  # not called
    model = LogisticRegression(random_state=0).fit(X, y)
    assert model.converged_
    assert model.n_reads_ < 10
