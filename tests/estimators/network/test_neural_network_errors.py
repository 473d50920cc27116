"""What a fit of a network refuses or warns of, in one line that names the culprit, and what it leaves behind."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from gpu_logreg import MLPClassifier
from gpu_logreg.errors import DataError, DeviceError, GpuLogregError, ImplementationError

X, Y = make_moons(120, noise=0.15, random_state=0)
CLASSES = {"fit": {}, "partial_fit": {"classes": [0, 1]}}


def one_line(rows=X, y=Y, weights=None, kind=DataError, *, call="fit", **parameters) -> str:
    model = MLPClassifier(**parameters)
    with pytest.raises(kind) as error:
        getattr(model, call)(rows, y, sample_weight=weights, **CLASSES[call])
    assert not [name for name in vars(model) if name.endswith("_")]
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("sizes", [0, -3, (0,), (8, -1), (8, 0), (2.5,), ("8",), (True,), (np.nan,), [[8]], None, "8"])
def test_hidden_sizes_that_are_not_positive_integers(sizes):
    message = one_line(kind=ValueError, hidden_layer_sizes=sizes)
    assert "hidden_layer_sizes" in message
    assert str(sizes) in message or repr(sizes) in message


def test_hidden_sizes_of_every_form():
    for sizes in (4, (4,), [4], np.array([4]), np.int64(4)):
        with pytest.warns(ConvergenceWarning):
            assert [W.shape for W in MLPClassifier(sizes, max_iter=1).fit(X, Y).coefs_] == [(2, 4), (4, 1)]
    for sizes in ((), [], np.array([], dtype=int)):
        with pytest.warns(ConvergenceWarning):
            assert [W.shape for W in MLPClassifier(sizes, max_iter=1).fit(X, Y).coefs_] == [(2, 1)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", "swish"),
        ("solver", "rmsprop"),
        ("alpha", -1e-4),
        ("batch_size", 0),
        ("batch_size", "all"),
        ("learning_rate", "fast"),
        ("learning_rate_init", 0.0),
        ("max_iter", 0),
        ("tol", -1.0),
        ("momentum", 1.0),
        ("beta_1", 1.0),
        ("beta_2", -0.1),
        ("epsilon", 0.0),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
        ("max_fun", 0),
        ("device", None),
        ("impl", "fast"),
        ("init", "best"),
        ("verbose", "loud"),
        ("warm_start", "no"),
        ("random_state", -1),
    ],
)
def test_parameters_out_of_range_are_named(name, value):
    message = one_line(kind=ValueError, **{name: value})
    assert name in message
    assert str(value) in message


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.parametrize(("bad", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_values_that_are_not_finite_are_named_by_row_and_column(call, bad, kind):
    rows = X.copy()
    rows[41, 1] = rows[50, 0] = bad
    assert one_line(rows, call=call) == f"Input X contains {kind} at row 41, column 1; remove or impute it"
    model = MLPClassifier((4,), "tanh", solver="lbfgs").fit(X, Y)
    with pytest.raises(DataError, match=f"{kind} at row 41, column 1"):
        model.predict(rows)


def test_labels_that_cannot_be_used():
    assert "y holds only one class: 1; at least 2 classes are needed" in one_line(y=np.ones(120, int))
    assert "missing label, None, at row 3" in one_line(y=np.array([*"aba", None] * 30, dtype=object))
    assert "continuous" in one_line(y=X[:, 0], kind=ValueError)
    assert "requires y" in one_line(y=None)
    assert "[120, 119]" in one_line(y=Y[:-1], kind=ValueError)


def test_weights_that_cannot_be_used():
    s = np.ones(120)
    s[12] = -0.25
    assert "sample_weight holds a negative weight, -0.25, at row 12" in one_line(weights=s)
    assert "sample_weight is zero for every row" in one_line(weights=np.zeros(120))
    assert "sample_weight has length 119" in one_line(weights=np.ones(119))
    assert "the rows of positive weight hold only one class: 1" in one_line(weights=Y.astype(float))


def test_rows_of_another_kind():
    with pytest.raises(ValueError, match="Expected 2D array"):
        MLPClassifier().fit(X[:, 0], Y)


def test_a_device_that_cannot_be_had():
    assert "device='cuda:99' cannot be used" in one_line(kind=DeviceError, device="cuda:99")
    assert "device='gpu' is not known" in one_line(device="gpu")


def test_a_way_that_cannot_be_had():
    message = one_line(kind=ImplementationError, solver="lbfgs", impl="cpu")
    assert message.startswith("impl='cpu' makes steps on batches of rows, and solver='lbfgs' walks over all rows")
    message = one_line(kind=ImplementationError, impl="cuda", device="cpu")
    assert message == "impl='cuda' needs rows on a GPU, and the device is cpu; use device='cuda'"
    with pytest.warns(ConvergenceWarning):
        model = MLPClassifier((4,), "tanh", solver="lbfgs", max_iter=1).fit(X, Y)
    assert (model.impl_, model.impl_reason_) == ("reference", "the only way to walk over all rows")


def test_a_batch_larger_than_the_data_is_clipped_with_a_note():
    with pytest.warns(
        UserWarning, match="batch_size=500 is larger than the 120 rows to train on; it is clipped to 120"
    ):
        clipped = MLPClassifier((4,), batch_size=500, max_iter=3, tol=10, n_iter_no_change=1).fit(X, Y)
    whole = MLPClassifier((4,), batch_size=120, max_iter=3, tol=10, n_iter_no_change=1).fit(X, Y)
    np.testing.assert_array_equal(clipped.coefs_[0], whole.coefs_[0])


@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_divergence_keeps_the_last_finite_weights_and_says_what_to_try(solver, call):
    scaled = 1e8 * X.astype(np.float32)
    model = MLPClassifier((4,), "identity", solver=solver, learning_rate_init=1e30, max_iter=9)
    with pytest.warns(ConvergenceWarning) as caught:
        getattr(model, call)(scaled, Y, **CLASSES[call])
    (warning,) = caught
    assert f"{solver} diverged with learning_rate_init=1e+30" in str(warning.message)
    assert "Try learning_rate_init=1e+29, or scale the columns of X" in str(warning.message)
    assert warning.filename == __file__
    assert all(np.isfinite(W).all() for W in model.coefs_ + model.intercepts_)
    assert not model.converged_
    assert np.isfinite(model.predict_proba(scaled)).all()
    assert len(model.loss_curve_) == model.n_iter_


def test_divergence_in_a_later_epoch_keeps_the_weights_before_it():
    rates = []
    rows = 100 * X.astype(np.float32)
    options = {"solver": "sgd", "activation": "identity", "learning_rate_init": 3.0, "nesterovs_momentum": False}
    model = MLPClassifier((4,), alpha=0.0, max_iter=50, verbose=rates.append, **options)
    with pytest.warns(ConvergenceWarning, match=r"no longer finite in epoch \d"):
        model.fit(rows, Y)
    assert model.n_iter_ == len(rates) >= 1
    kept = np.concatenate([W.ravel() for W in model.coefs_])
    assert any(np.array_equal(kept, iteration.params[:12]) for iteration in rates[-2:])
    assert np.isfinite(model.decision_function(rows)).all()


def test_no_convergence_says_what_to_try():
    with pytest.warns(ConvergenceWarning, match=r"adam did not converge: max_iter = 2 reached. Increase max_iter"):
        MLPClassifier(max_iter=2).fit(X, Y)


def test_early_stopping_with_too_few_rows():
    assert "early_stopping=True cannot hold back" in one_line(X[:3], Y[:3] * 0 + [0, 1, 1], early_stopping=True)
    message = one_line(X[:12], np.arange(12) % 2, early_stopping=True, validation_fraction=0.01)
    assert "validation_fraction=0.01" in message


def test_partial_fit_with_labels_that_are_not_among_the_classes():
    model = MLPClassifier((4,)).partial_fit(X, Y, classes=[0, 1])
    before = model.coefs_[0].copy()
    with pytest.raises(DataError) as error:
        model.partial_fit(X, Y + 1)
    assert str(error.value) == (
        "y holds 2, which is not among the classes 0, 1; give all classes to the first call: "
        "partial_fit(X, y, classes=...)"
    )
    np.testing.assert_array_equal(model.coefs_[0], before)  # a bad part spoils nothing
    model.partial_fit(X, Y)
    with pytest.raises(DataError, match=r"classes=\[0, 1, 2\] are not those of the first call, \[0, 1\]"):
        model.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="3 features, but MLPClassifier is expecting 2 features"):
        model.partial_fit(np.hstack([X, X[:, :1]]), Y)
    with pytest.raises(DataError, match="y holds 0, 1, which is not among the classes 5, 6"):
        MLPClassifier().partial_fit(X, Y, classes=[5, 6])


def test_partial_fit_holds_no_rows_back():
    assert "partial_fit does not support early_stopping=True: it sees some of" in one_line(
        call="partial_fit", early_stopping=True
    )


def test_layers_that_change_between_calls():
    model = MLPClassifier((4,)).partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(DataError, match=r"are not those of hidden_layer_sizes=\(5,\)"):
        model.set_params(hidden_layer_sizes=(5,)).partial_fit(X, Y)


def test_warm_start_with_other_classes_or_columns():
    for rows, y, said in (
        (X, Y + 1, "the same classes as in the previous call"),
        (X[:, :1], Y, "had 2 columns"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = MLPClassifier((4,), warm_start=True, max_iter=1).fit(X, Y)
        with pytest.raises(DataError, match=said):
            model.fit(rows, y)


def test_a_failed_fit_leaves_no_fit():
    model = MLPClassifier((4,), "tanh", solver="lbfgs").fit(X, Y)
    with pytest.raises(GpuLogregError):
        model.fit(np.full((120, 2), np.nan), Y)
    assert not [name for name in vars(model) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize("name", ["predict", "predict_proba", "predict_log_proba", "decision_function", "score"])
def test_prediction_before_a_fit(name):
    arguments = (X, Y) if name == "score" else (X,)
    with pytest.raises(NotFittedError, match="MLPClassifier instance is not fitted yet"):
        getattr(MLPClassifier(), name)(*arguments)


@pytest.mark.parametrize(
    ("parameters", "validation", "message"),
    [
        ({"early_stopping": True}, {"X_val": np.ones((3, 2))}, "X_val and y_val belong together"),
        ({}, {"X_val": np.ones((3, 2)), "y_val": [0, 1, 0]}, "early_stopping=True"),
        ({"early_stopping": True, "solver": "lbfgs"}, {"X_val": np.ones((3, 2)), "y_val": [0, 1, 0]}, "'adam'"),
        ({"early_stopping": True}, {"X_val": np.ones((3, 3)), "y_val": [0, 1, 0]}, "3 features"),
        ({"early_stopping": True}, {"X_val": np.ones((3, 2)), "y_val": [0, 1, 7]}, "7"),
        ({"early_stopping": True}, {"X_val": np.full((3, 2), np.nan), "y_val": [0, 1, 0]}, "NaN"),
    ],
)
def test_a_validation_set_that_cannot_be_used_is_refused(parameters: dict, validation: dict, message: str) -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    with pytest.raises(ValueError, match=message):
        MLPClassifier((3,), **parameters).fit(X, y, **validation)
