"""The public function: what it takes, in what forms, and how it refuses the rest."""

from __future__ import annotations

import re

import dlpack_only
import numpy as np
import pytest

import gpu_logreg
from gpu_logreg import loss_and_gradient
from gpu_logreg.errors import DataError, DeviceError, GpuLogregError, ImplementationError

X = np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 1.5]])
Y = np.array([0.0, 1.0, 1.0])
W = np.array([0.3, -0.2])
B = 0.1


def closed_form(x, y, w, b, s, l2):
    """Straight from the likelihood; no logit here is large."""
    p = 1 / (1 + np.exp(-(x @ w + b)))
    value = -(s @ (y * np.log(p) + (1 - y) * np.log(1 - p))) / s.sum() + l2 * (w @ w) / 2
    return value, x.T @ (s * (p - y)) / s.sum() + l2 * w, s @ (p - y) / s.sum()


@pytest.mark.parametrize("impl", ["auto", "reference", "cpu"])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_closed_form(impl, device):
    s = np.array([1.0, 2.0, 0.5])
    found = loss_and_gradient(X, Y, W, B, sample_weight=s, l2=0.4, impl=impl, device=device)
    value, dw, db = closed_form(X, Y, W, B, s, 0.4)
    assert found.value == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(found.dw, dw, rtol=1e-13)
    assert found.db == pytest.approx(db, rel=1e-13)
    assert type(found.value) is type(found.db) is float
    assert found.dw.dtype == np.float64
    assert found == (found.value, found.dw, found.db)


def test_defaults_are_no_intercept_no_weights_no_penalty():
    found = loss_and_gradient(X, Y, W)
    value, dw, db = closed_form(X, Y, W, 0.0, np.ones(3), 0.0)
    assert found.value == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(found.dw, dw, rtol=1e-13)
    assert found.db == pytest.approx(db, rel=1e-13)


def test_it_is_the_name_on_the_front_door():
    assert gpu_logreg.loss_and_gradient is loss_and_gradient
    assert "loss_and_gradient" in gpu_logreg.__all__


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8", "int64", "bool", ">f8"])
def test_every_real_dtype(dtype):
    x = np.array([[1, 0], [1, 1], [0, 1]]).astype(dtype)
    value, dw, db = closed_form(x.astype(np.float64), Y, W, B, np.ones(3), 0.0)
    found = loss_and_gradient(x, Y, W, B)
    assert found.value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(found.dw, dw, rtol=1e-6, atol=1e-7)
    assert found.db == pytest.approx(db, rel=1e-6)


@pytest.mark.parametrize("y", [Y.astype(np.uint8), Y.astype(bool), *map(Y.astype, ("i4", "i8", "f4")), Y[::-1][::-1]])
def test_labels_of_any_numeric_type(y):
    assert loss_and_gradient(X, y, W, B).value == loss_and_gradient(X, Y, W, B).value


def test_lists_are_read_as_arrays():
    wanted = loss_and_gradient(X, Y, W, B, sample_weight=np.array([1.0, 2.0, 0.5]))
    found = loss_and_gradient(X, Y.tolist(), W.tolist(), B, sample_weight=[1.0, 2.0, 0.5])
    assert found.value == wanted.value
    np.testing.assert_array_equal(found.dw, wanted.dw)


def test_arrays_that_speak_only_dlpack():
    wrap = dlpack_only.Tensor
    found = loss_and_gradient(wrap(X), wrap(Y), W, B, sample_weight=wrap(np.ones(3)))
    assert found.value == loss_and_gradient(X, Y, W, B, sample_weight=np.ones(3)).value


def refusal(*arguments, **options) -> str:
    with pytest.raises(DataError) as error:
        loss_and_gradient(*arguments, **options)
    assert isinstance(error.value, GpuLogregError)
    assert isinstance(error.value, ValueError)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("bad", [X[0], X[None], 3.0, "rows", None])
def test_rows_that_are_not_two_dimensional(bad):
    assert "X must be an array of shape (n, d)" in refusal(bad, Y, W)


@pytest.mark.parametrize("dtype", [object, complex, "U5", "datetime64[s]"])
def test_rows_that_are_not_real_numbers(dtype):
    x = X.astype(np.int64).astype(dtype)
    assert f"X has dtype {x.dtype}" in refusal(x, Y, W)


def test_shapes_that_differ():
    assert "w has shape (3,), and X has 2 columns" in refusal(X, Y, np.zeros(3))
    assert "w has shape (2, 1)" in refusal(X, Y, W[:, None])
    assert "y has shape (2,), and X has 3 rows" in refusal(X, Y[:2], W)
    assert "y has shape (3, 1), and X has 3 rows" in refusal(X, Y[:, None], W)
    assert "sample_weight has length 2, and X has 3 rows" in refusal(X, Y, W, sample_weight=np.ones(2))
    assert "have shape (3, 1)" in refusal(X, Y, W, sample_weight=np.ones((3, 1)))


@pytest.mark.parametrize("bad", [-1e-9, 1.0000001, 2, np.nan, np.inf, -1])
def test_labels_outside_zero_and_one(bad):
    assert "y holds" in refusal(X, np.array([0.0, bad, 1.0]), W)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("bad", [2, -1])
def test_whole_labels_outside_zero_and_one(dtype, bad):
    assert "y holds" in refusal(X, np.array([0, bad, 1], dtype), W)


def test_labels_that_are_not_numbers_or_are_other_integers():
    assert "y holds 2" in refusal(X, np.array([0, 2, 1], np.uint8), W)
    assert "y has dtype <U1" in refusal(X, np.array(["a", "b", "a"]), W)


def test_weights_that_are_negative_zero_or_not_finite():
    assert "negative weight, -2, at row 1" in refusal(X, Y, W, sample_weight=np.array([1.0, -2.0, 3.0]))
    assert "zero for every row" in refusal(X, Y, W, sample_weight=np.zeros(3))
    for bad in (np.nan, np.inf):
        assert "sample_weight contains NaN or infinity" in refusal(X, Y, W, sample_weight=np.array([1.0, bad, 1.0]))


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize(("bad", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_values_that_are_not_finite_are_named_by_row_and_column(impl, bad, kind):
    x = X.copy()
    x[1, 0] = x[2, 1] = bad
    assert f"Input X contains {kind} at row 1, column 0;" in refusal(x, Y, W, impl=impl)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_first_bad_value_is_named_in_the_order_of_the_rows(order):
    x = np.zeros((3000, 3), order=order)
    x[2500, 0] = x[1999, 2] = np.nan
    assert "row 1999, column 2" in refusal(x, np.zeros(3000), np.zeros(3))


@pytest.mark.parametrize(
    ("w", "b", "culprit"), [(np.array([np.nan, 0.0]), 0.0, "w"), (W, np.inf, "b"), (W, np.nan, "b")]
)
def test_parameters_that_are_not_finite_are_named(w, b, culprit):
    assert re.search(rf"\b{culprit}\b.*(finite|NaN|infinity)", refusal(X, Y, w, b))


def test_no_rows_at_all():
    assert "row" in refusal(X[:0], Y[:0], W)


def test_explicit_devices_and_passes_that_cannot_be_had():
    with pytest.raises(DataError, match="device='gpu' is not known"):
        loss_and_gradient(X, Y, W, device="gpu")
    with pytest.raises(DataError, match="impl='fast' is not known"):
        loss_and_gradient(X, Y, W, impl="fast")
    with pytest.raises(ImplementationError, match="impl='cuda' needs rows on a GPU"):
        loss_and_gradient(X, Y, W, impl="cuda", device="cpu")
    with pytest.raises(DeviceError, match=r"there is no device cuda:99|no usable CUDA driver|CuPy is"):
        loss_and_gradient(X, Y, W, device="cuda:99")
