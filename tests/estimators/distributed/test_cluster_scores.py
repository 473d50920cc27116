"""Scores of rows on a cluster, held to those of scikit-learn."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

import gpu_logreg

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")

import dask
from chunked_rows import rows

from gpu_logreg.estimators.distributed import scores
from gpu_logreg.estimators.distributed.scores import scores_of


def blocks(X, y, *edges):
    edges = [0, *edges, len(X)]
    return [dask.delayed((X[a:b], y[a:b])) for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize(("n", "atol"), [(600, 1e-12), (50_000, 2e-5)])
def test_of_two_classes(client, n, atol):
    """Of few rows all logits are edges, so that the area is exact."""
    X, y, _ = rows(n=n)
    X[: n // 2] = np.rint(X[: n // 2])  # of them many have one logit
    model = gpu_logreg.LogisticRegression().fit(X, y)
    found = scores_of(client, model, blocks(X, y, 0, n // 3, n // 2))
    assert found.n == found.n_known == n
    assert found.right == np.sum(model.predict(X) == y)
    assert found.counts.tolist() == np.bincount(y).tolist()
    assert found.loss / n == pytest.approx(log_loss(y, model.predict_proba(X)), rel=1e-9)
    assert found.auc == pytest.approx(roc_auc_score(y, model.decision_function(X)), rel=0, abs=atol)


def test_the_area_where_edges_are_few():
    rng = np.random.default_rng(0)
    z = rng.standard_normal(3000)
    is_second = rng.random(3000) < 1 / (1 + np.exp(-z))
    few = np.quantile(z, np.linspace(0, 1, 60))
    one = scores._Scored(None, z, is_second)
    less, more = scores._counts_between(one, edges=few)
    assert less.sum() + more.sum() == 3000
    area = more @ (np.cumsum(less) - 0.5 * less) / (less.sum() * more.sum())
    assert area == pytest.approx(roc_auc_score(is_second, z), abs=1e-3)


def test_labels_that_the_model_does_not_know(client):
    X, y, _ = rows(3)
    at = y != 1
    model = gpu_logreg.LogisticRegression().fit(X[at], y[at])
    found = scores_of(client, model, blocks(X, y, 100))
    assert found.n == len(y)
    assert found.n_known == at.sum()
    assert found.right / found.n == pytest.approx(accuracy_score(y, model.predict(X)))
    assert found.auc == pytest.approx(roc_auc_score(y[at] == 2, model.decision_function(X[at])), abs=1e-12)
    assert scores_of(client, model, blocks(X[y == 2], y[y == 2])).auc is None
    of_three = scores_of(client, gpu_logreg.LogisticRegression().fit(X, y), blocks(X, y, 100))
    assert of_three.counts.tolist() == np.bincount(y).tolist()
    assert of_three.auc is None
