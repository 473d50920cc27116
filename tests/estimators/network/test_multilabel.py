"""Networks that say of a row which of several labels it has: gradients, steps, scikit-learn's answers, refusals."""

from __future__ import annotations

import mpmath
import numpy as np
import pandas as pd
import polars as pl
import pytest
from central_differences import gradient
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score
from sklearn.neural_network import MLPClassifier as ScikitLearn
from test_network import DEPTHS, problem
from test_steps import OPTIMIZERS, compare, make_rows, make_training

from gpu_logreg import LogisticRegression, MLPClassifier, load_model, save_model
from gpu_logreg import loss_and_gradient as logistic_regression
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.logistic import log_sigmoid
from gpu_logreg.mathematics.network import ACTIVATIONS, Network
from gpu_logreg.objectives.network import NetworkObjective
from gpu_logreg.rows.block import Rows

X, Y = make_multilabel_classification(200, n_features=8, n_classes=4, random_state=0)
X = (X - X.mean(axis=0)) / X.std(axis=0)
S = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
SOLVERS = ("adam", "adamw", "sgd", "lbfgs", "gradient-descent")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def labels_of(rows: Rows, L: int, seed: int = 0) -> Rows:
    """The same rows with L labels each."""
    drawn = np.random.default_rng(seed).integers(0, 2, (len(rows.X), L))
    return rows._replace(y=drawn.astype(np.uint8))


# ------------------------------------------------------------------------------------------------ the mathematics


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("L", [2, 4])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_of_every_parameter(activation, depth, L, weighted):
    network = Network((6, *DEPTHS[depth], L), activation)
    params, rows = problem(network, weighted=weighted)
    objective = NetworkObjective(network, labels_of(rows, L), 0.3, np.float64)
    _, grad = objective(params)
    numeric = gradient(lambda at: objective(at)[0], params, h=2e-4)
    assert np.abs(grad).max() > 1e-3
    assert np.all(np.abs(grad - numeric) <= 1e-7 * np.maximum(np.abs(grad), 1e-2 * np.abs(grad).max()))


@pytest.mark.parametrize("weighted", [False, True])
def test_no_hidden_layer_is_a_logistic_regression_for_every_label(weighted):
    network = Network((6, 3))
    params, rows = problem(network, weighted=weighted)
    rows = labels_of(rows, 3)
    value, grad = NetworkObjective(network, rows, 0.2, np.float64)(params)
    (W, b), (dW, db) = network.unpack(params)[0], network.unpack(grad)[0]
    wanted = [
        logistic_regression(rows.X, rows.y[:, k], W[:, k], b[k], sample_weight=rows.sample_weight, l2=0.2)
        for k in range(3)
    ]
    assert value == pytest.approx(sum(one.value for one in wanted), rel=1e-12)
    np.testing.assert_allclose(dW, np.column_stack([one.dw for one in wanted]), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(db, [one.db for one in wanted], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_logarithm_of_a_probability_keeps_its_digits(dtype):
    z = np.array([-800.0, -88.0, -3.0, -1e-3, 0.0, 1e-3, 2.0, 40.0, 80.0], dtype)
    found = log_sigmoid(z)
    assert found.dtype == dtype
    with mpmath.workdps(50):
        wanted = [float(-mpmath.log1p(mpmath.exp(-mpmath.mpf(float(one))))) for one in z]
    np.testing.assert_allclose(found, np.array(wanted), rtol=4 * np.finfo(dtype).eps)


# ------------------------------------------------------------------------------------------------ compiled steps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("L", [2, 5])
@pytest.mark.parametrize("hidden", [(), (12,), (12, 1, 5)])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_compiled_steps_follow_the_reference(activation, hidden, L, dtype):
    network = Network((9, *hidden, L), activation)
    rows = labels_of(make_rows(200, 9, dtype=dtype, weighted=True), L)
    compare(*(make_training(network, "nesterov", dtype=dtype, alpha=0.3) for _ in range(2)), rows, 64)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [1, 70, 200])
def test_compiled_updates_and_ragged_batches(optimizer, batch_size):
    network, rows = Network((9, 12, 3)), labels_of(make_rows(200, 9), 3)
    compare(*(make_training(network, optimizer, alpha=0.3) for _ in range(2)), rows, batch_size, epochs=1)


def test_compiled_steps_that_skip_zeros():
    rows = labels_of(make_rows(200, 30), 3)
    rows.X[np.random.default_rng(1).random(rows.X.shape) < 0.8] = 0.0
    network = Network((30, 64, 3), "relu")
    compare(*(make_training(network, "momentum") for _ in range(2)), rows, 64)


def test_compiled_fits_are_those_of_the_reference():
    options = {"max_iter": 10, "activation": "tanh", "early_stopping": True, "solver": "sgd"}
    ours, plain = (MLPClassifier((12,), impl=impl, **options).fit(X, Y, S) for impl in ("cpu", "reference"))
    assert ours.impl_ == "cpu"
    np.testing.assert_allclose(ours.loss_curve_, plain.loss_curve_, rtol=1e-12)
    np.testing.assert_allclose(ours.validation_scores_, plain.validation_scores_, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ as other estimators


def test_no_hidden_layer_finds_the_optimum_of_every_label():
    network = MLPClassifier((), solver="lbfgs", alpha=2.0, tol=1e-9, max_iter=1000).fit(X, Y, S)
    linear = [LogisticRegression(C=0.5, tol=1e-10).fit(X, Y[:, k], S) for k in range(Y.shape[1])]
    assert network.loss_ == pytest.approx(sum(one.objective_ for one in linear), rel=1e-10)
    np.testing.assert_allclose(network.coefs_[0].T, np.vstack([one.coef_ for one in linear]), rtol=1e-4, atol=1e-5)
    p = np.column_stack([one.predict_proba(X)[:, 1] for one in linear])
    np.testing.assert_allclose(network.predict_proba(X), p, atol=1e-5)
    np.testing.assert_array_equal(network.predict(X), p > 0.5)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_course_is_scikit_learns_from_the_same_weights(activation, solver):
    # One batch of all rows, so that their order does not matter; epsilon enters the two Adams differently.
    options = {"hidden_layer_sizes": (7, 5), "activation": activation, "batch_size": len(X), "alpha": 0.1}
    options |= {"n_iter_no_change": 100, "epsilon": 1e-16, "learning_rate_init": 0.01, "warm_start": True}
    options |= {"solver": solver, "random_state": 0, "tol": 1e-8}
    ours = MLPClassifier(max_iter=1, **options).fit(X, Y, S)
    theirs = ScikitLearn(max_iter=1, **options).fit(X, Y, S)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        other[...] = mine
    long = 20 if solver != "lbfgs" else 2000
    ours.set_params(max_iter=long).fit(X, Y, S)
    theirs.set_params(max_iter=long).fit(X, Y, S)
    if solver == "lbfgs":  # two line searches, and with hidden layers more than one optimum
        assert ours.loss_ == pytest.approx(theirs.loss_, rel=0.1)
        return
    np.testing.assert_allclose(ours.loss_curve_[1:], theirs.loss_curve_[1:], rtol=1e-8)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


def test_one_optimum_is_scikit_learns():
    options = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 0.5, "tol": 1e-10, "max_iter": 5000}
    ours = MLPClassifier(**options).fit(X, Y, S)
    theirs = ScikitLearn(**options, random_state=0).fit(X, Y, S)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-8)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], atol=1e-3)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("L", [2, 4])
def test_answers_and_attributes_are_scikit_learns(L, early_stopping):
    options = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0, "early_stopping": early_stopping}
    y = Y[:, :L]
    ours, theirs = MLPClassifier(**options).fit(X, y), ScikitLearn(**options).fit(X, y)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_iter_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.classes_.dtype == theirs.classes_.dtype
    assert (ours.validation_scores_ is None) == (theirs.validation_scores_ is None)
    theirs.coefs_, theirs.intercepts_ = ours.coefs_, ours.intercepts_
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-12)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-10)
    assert ours.decision_function(X).shape == (len(X), L)
    for s in (None, S):
        assert ours.score(X, y, s) == pytest.approx(accuracy_score(y, theirs.predict(X), sample_weight=s))


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_learns(solver):
    model = MLPClassifier((30,), "tanh", solver=solver, learning_rate_init=0.05, alpha=1e-3, max_iter=800).fit(X, Y)
    assert model.score(X, Y) > 0.8
    assert np.abs(model.predict_proba(X).sum(axis=1) - 1).max() > 1e-3


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.filterwarnings("ignore:batch_size=1000 is larger")
def test_weights_are_repetitions(solver):
    options = {"solver": solver, "batch_size": 1000, "max_iter": 30, "activation": "tanh", "alpha": 1.0, "tol": 1e-12}
    weighted = MLPClassifier((6,), **options).fit(X, Y, S)
    times = S.astype(int)
    repeated = MLPClassifier((6,), **options).fit(X.repeat(times, axis=0), Y.repeat(times, axis=0))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-6)


# ------------------------------------------------------------------------------------------------ kinds of labels


@pytest.mark.parametrize(
    "convert",
    [
        *(lambda y, kind=kind: y.astype(kind) for kind in ("bool", "uint8", "int32", "float32", "float64", "object")),
        *(np.asfortranarray, np.ndarray.tolist, list),
        lambda y: pd.DataFrame(y, columns=list("abcd")),
        lambda y: pd.DataFrame(y.astype(bool)),
        lambda y: pl.DataFrame(y),
    ],
)
def test_zeros_and_ones_of_every_kind(convert):
    wanted = MLPClassifier((5,), max_iter=3).fit(X, Y)
    model = MLPClassifier((5,), max_iter=3).fit(X, convert(Y))
    np.testing.assert_array_equal(model.coefs_[0], wanted.coefs_[0])
    assert model.score(X, convert(Y)) == wanted.score(X, Y)


def test_torch_tensors_in_torch_tensors_out():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = MLPClassifier((5,), max_iter=3).fit(torch.tensor(X), torch.tensor(Y))
    assert isinstance(model.predict(torch.tensor(X)), torch.Tensor)
    np.testing.assert_array_equal(model.predict(torch.tensor(X)).numpy(), model.predict(X))


def test_one_column_is_a_vector():
    with pytest.warns(DataConversionWarning):
        model = MLPClassifier((5,), max_iter=3).fit(X, Y[:, :1])
    wanted = MLPClassifier((5,), max_iter=3).fit(X, Y[:, 0])
    np.testing.assert_array_equal(model.predict_proba(X), wanted.predict_proba(X))
    assert model.predict(X).shape == (len(X),)


def test_a_label_that_no_row_has():
    y = Y.copy()
    y[:, 2] = 0
    model = MLPClassifier((5,), solver="lbfgs", alpha=0.1).fit(X, y, S)
    assert not model.predict(X)[:, 2].any()
    assert np.isfinite(model.predict_log_proba(1000 * X)).all()


# ------------------------------------------------------------------------------------------------ going on


def test_partial_fit_is_an_epoch_at_a_time():
    parts = MLPClassifier((6,), random_state=1)
    for _ in range(3):
        parts.partial_fit(X, Y, classes=[0, 1, 2, 3])
    parts.partial_fit(X, Y)
    whole = MLPClassifier((6,), random_state=1, max_iter=4).fit(X, Y)
    np.testing.assert_array_equal(parts.coefs_[0], whole.coefs_[0])
    assert parts.loss_curve_ == whole.loss_curve_


def test_warm_start_goes_on():
    model = MLPClassifier((6,), warm_start=True, max_iter=3).fit(X, Y)
    loss = model.loss_
    assert model.fit(X, Y).loss_ < loss
    with pytest.raises(DataError, match="warm_start: the last fit had rows of 4 labels, and y has the classes"):
        model.fit(X, Y @ [1, 1, 1, 0])
    model = MLPClassifier((6,), warm_start=True, max_iter=3).fit(X, Y)
    with pytest.raises(DataError, match="warm_start: the last fit had rows of 4 labels, and y has rows of 3 labels"):
        model.fit(X, Y[:, :3])
    model = MLPClassifier((6,), warm_start=True, max_iter=3).fit(X, Y @ [1, 1, 0, 0])
    with pytest.raises(DataError, match=r"the last fit had the classes \[0 1 2\], and y has rows of 3 labels"):
        model.fit(X, Y[:, :3])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_to_scikit_learn_to_a_file_and_back(tmp_path, dtype):
    rows = X.astype(dtype)
    ours = MLPClassifier((6,), max_iter=20, learning_rate_init=0.02).fit(rows, Y)
    theirs = ours.to_sklearn()
    back = MLPClassifier.from_sklearn(theirs)
    save_model(back, tmp_path / "a.model")
    loaded = load_model(tmp_path / "a.model")
    for other in (theirs, back, loaded):
        np.testing.assert_array_equal(other.predict(rows), ours.predict(rows))
        np.testing.assert_allclose(other.predict_proba(rows), ours.predict_proba(rows), rtol=1e-4)
        assert other.score(rows, Y) == pytest.approx(ours.score(rows, Y))
        assert other.partial_fit(rows, Y).loss_ < ours.loss_ + 0.05
    fitted = MLPClassifier.from_sklearn(ScikitLearn((6,), max_iter=20).fit(X, Y))
    assert fitted.predict(X).shape == Y.shape


# ------------------------------------------------------------------------------------------------ what is refused


def changed(row: int, column: int, value: object, kind: str = "float64") -> np.ndarray:
    y = Y.astype(kind)
    y[row, column] = value
    return y


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (changed(3, 1, 2, "int64"), "y of shape (200, 4) holds 2 at row 3, column 1; an indicator of labels holds"),
        (changed(5, 0, 0.5), "holds 0.5 at row 5, column 0"),
        (changed(5, 0, np.nan), "holds nan at row 5, column 0"),
        (changed(5, 2, np.inf), "holds inf at row 5, column 2"),
        (changed(0, 3, -1, "int64"), "holds -1 at row 0, column 3"),
        (changed(7, 3, "yes", "object"), "holds what is no number"),
        (changed(7, 3, None, "object"), "(200, 4) holds"),
        (Y.astype(str), "holds <U21 values"),
        (Y[:, :, None], "y has shape (200, 4, 1); give a vector of labels"),
        (Y[:-1], "inconsistent numbers of samples: [200, 199]"),
        (sparse.csr_matrix(Y), "y is a sparse matrix"),
    ],
)
def test_what_is_no_indicator_is_refused_in_a_line(y, said):
    for call in ("fit", "partial_fit"):
        model = MLPClassifier((5,))
        with pytest.raises(ValueError) as error:
            getattr(model, call)(X, y)
        assert said in str(error.value)
        assert "\n" not in str(error.value)
        assert not [name for name in vars(model) if name.endswith("_")]


def test_what_partial_fit_refuses():
    with pytest.raises(DataError, match=r"classes=\[0, 1, 2\] are not those of y of shape \(200, 4\), \[0, 1, 2, 3\]"):
        MLPClassifier((5,)).partial_fit(X, Y, classes=[0, 1, 2])
    model = MLPClassifier((5,)).partial_fit(X, Y)
    before = model.coefs_[0].copy()
    with pytest.raises(DataError, match=r"the network was trained on rows of 4 labels, and y has shape \(200, 3\)"):
        model.partial_fit(X, Y[:, :3])
    with pytest.raises(DataError, match=r"the network was trained on rows of 4 labels, and y has shape \(200,\)"):
        model.partial_fit(X, Y[:, 0])
    with pytest.raises(DataError, match=r"classes=\[0, 1\] are not those of the first call"):
        model.partial_fit(X, Y, classes=[0, 1])
    np.testing.assert_array_equal(model.coefs_[0], before)
    of_classes = MLPClassifier((5,)).partial_fit(X, Y[:, 0], classes=[0, 1])
    with pytest.raises(DataError, match=r"the network was trained on the classes \[0 1\], and y has shape \(200, 4\)"):
        of_classes.partial_fit(X, Y)


def test_what_score_and_logistic_regression_refuse():
    model = MLPClassifier((5,), max_iter=2).fit(X, Y)
    with pytest.raises(DataError, match=r"y has shape \(200, 3\), and the predictions of X have shape \(200, 4\)"):
        model.score(X, Y[:, :3])
    with pytest.raises(ValueError, match="y should be a 1d array, got an array of shape"):
        LogisticRegression().fit(X, Y)
