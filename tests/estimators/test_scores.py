"""`score` checks y and sample_weight as `fit` does: lengths, shapes and kinds, where NumPy would broadcast them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression as Theirs

from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.errors import DataError

N = 50
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3))
Y = (X[:, 0] > 0.3 * RNG.standard_normal(N)).astype(int)
K = np.digitize(X[:, 0], [-0.5, 0.5])
S = RNG.random(N)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(
    scope="module",
    params=[LogisticRegression, lambda: MLPClassifier((3,), max_iter=2)],
    ids=["LogisticRegression", "MLPClassifier"],
)
def make(request):
    return request.param


@pytest.fixture(scope="module", params=[Y, K, np.array(["a", "b", "c"])[K]], ids=["two", "three", "text"])
def case(request, make):
    return make().fit(X, request.param), request.param


@pytest.mark.parametrize("rows", [N, 1, 2])
@pytest.mark.parametrize("labels", [0, 1, 2, N - 1, N, N + 1])
def test_lengths_that_differ(case, rows, labels):
    model, y = case
    if rows == labels:
        return
    given = np.resize(y, labels)
    for container in (np.asarray, list, pd.Series, pl.Series):
        with pytest.raises(DataError) as raised:
            model.score(X[:rows], container(given) if container is not list else given.tolist())
        assert f"inconsistent numbers of samples: X has {rows} rows, and y has {labels} labels" in str(raised.value)


@pytest.mark.parametrize("shape", [(1,), (N - 1,), (N + 1,), (N, 1), (1, N)], ids=str)
def test_weights_of_another_length_or_shape(case, shape):
    model, y = case
    message = f"^sample_weight has length {shape[0]}, and X has 50 rows" if len(shape) == 1 else "weights must be 1D"
    for call in (model.score, type(model)(**model.get_params()).fit):
        with pytest.raises(DataError, match=message):
            call(X, y, np.resize(S, shape))


def test_labels_of_another_shape(case):
    model, y = case
    right = model.score(X, y, S)
    assert model.score(X, y[:, None], S) == right
    assert model.score(X, y.tolist(), S.tolist()) == right
    assert model.score(X, pd.DataFrame({"y": y}), pd.Series(S, index=range(9, 9 + N))) == right
    for shape in ((1, N), (N, 1, 1), ()):
        with pytest.raises(ValueError, match=r"shape|inconsistent"):
            model.score(X, np.resize(y, shape))
    with pytest.raises(ValueError, match="shape"):
        model.score(X, np.column_stack([y, y]))


def test_weights_that_cannot_be_used(case):
    model, y = case
    for weights, message in (
        (np.zeros(N), "sample_weight is zero for every row"),
        (np.where(np.arange(N) == 7, -1.0, 1.0), "negative weight, -1, at row 7"),
        (np.where(np.arange(N) == 7, np.nan, 1.0), "NaN or infinity at row 7"),
        (["heavy"] * N, "has dtype <U"),
        ([None, *[1.0] * (N - 1)], "weights are numbers, and row 0 holds None"),
    ):
        with pytest.raises(DataError, match=f"^sample_weight .*{message}|^{message}"):
            model.score(X, y, weights)


@pytest.mark.parametrize("kind", [object, "f2", "f4", "i8", "u1", bool, np.longdouble])
def test_weights_of_any_type_of_numbers(make, kind):
    weights = np.ceil(4 * S).astype(kind)
    wanted = make().fit(X, Y, weights.astype(np.float64))
    model = make().fit(X, Y, weights)
    np.testing.assert_allclose(model.predict_proba(X), wanted.predict_proba(X), rtol=1e-9)
    assert model.score(X, Y, weights) == pytest.approx(wanted.score(X, Y, weights.astype(np.float64)), rel=1e-12)


def test_weights_as_objects_are_those_of_scikit_learn():
    weights = np.ceil(4 * S).astype(object)
    theirs = Theirs(tol=1e-10, max_iter=1000).fit(X, Y, weights)
    ours = LogisticRegression(tol=1e-12).fit(X, Y, weights)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-4)
    assert ours.score(X, Y, weights) == theirs.score(X, Y, weights)


def test_several_labels():
    labels = np.column_stack([Y, K > 0, K > 1]).astype(int)
    model = MLPClassifier((3,), max_iter=2).fit(X, labels)
    for given in (labels[:-1], labels[:1], np.vstack([labels, labels])):
        with pytest.raises(DataError, match=f"X has 50 rows, and y has {len(given)} labels"):
            model.score(X, given)
    for given in (Y, Y[:, None], labels[:, :2]):
        with pytest.raises(DataError, match=r"y has shape .*, and the predictions of X have shape"):
            model.score(X, given)
    with pytest.raises(DataError, match="holds 2 at row 3, column 1; an indicator of labels holds zeros and ones"):
        model.score(X, np.where((np.arange(N) == 3)[:, None] & (np.arange(3) == 1), 2, labels))
