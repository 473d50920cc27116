"""What is prepared once for any number of fits: rows, encoded labels, complete weights, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.prepare import prepare
from gpu_logreg.estimators.target import Target, target_of
from gpu_logreg.mathematics.losses import Binary, Classes, Labels

CPU = Device("cpu")
N = 40
RNG = np.random.default_rng(3)
X = RNG.standard_normal((N, 3))
TWO = np.where(X[:, 0] > 0, "yes", "no")
THREE = np.arange(N) % 3 * 5 - 5
SEVERAL = (X > 0).astype(np.uint8)
S = RNG.exponential(size=N)


@pytest.mark.parametrize(
    ("y", "loss", "labels"),
    [
        (TWO, Binary(), (TWO == "yes").astype(np.uint8)),
        (THREE, Classes(3), (np.arange(N) % 3).astype(np.int32)),
        (SEVERAL, Labels(3), SEVERAL),
    ],
    ids=["two", "three", "labels"],
)
def test_labels_are_stored_as_the_loss_says(y, loss, labels):
    for target in [target_of(y)] if y.ndim == 2 else [target_of(y), None]:
        prepared = prepare(X, y, None, CPU, target=target)
        assert prepared.target.loss == loss
        stored = prepared.data.rows.y
        assert stored.dtype == loss.label_dtype == labels.dtype
        np.testing.assert_array_equal(stored, labels)
        np.testing.assert_array_equal(prepared.target.classes, np.arange(3) if y.ndim == 2 else np.unique(y))
        assert prepared.data.rows.X is X
        assert prepared.data.rows.sample_weight is None
        assert (prepared.device, prepared.data.storage_name) == (CPU, "float64")


def test_two_among_more_known_classes():
    y = np.where(THREE == 0, 5, THREE)
    prepared = prepare(X, y, None, CPU, target=Target(np.array([-5, 0, 5])))
    assert prepared.target.loss == Classes(3)
    assert set(prepared.data.rows.y.tolist()) == {0, 2}
    assert prepared.shares[1] == 0.0


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
def test_shares_are_of_row_weights_times_class_weights(y):
    classes = np.unique(y)
    by_class = dict(zip(classes.tolist(), (1.0, 2.0, 4.0), strict=False))
    prepared = prepare(X, y, S, CPU, class_weight=by_class)
    weights = S * [by_class[label] for label in y.tolist()]
    np.testing.assert_allclose(prepared.data.rows.sample_weight, weights, rtol=1e-15)
    wanted = [weights[y == label].sum() / weights.sum() for label in classes]
    np.testing.assert_allclose(prepared.shares, wanted, rtol=1e-12)
    assert prepared.data.weight_total == pytest.approx(weights.sum())
    balanced = prepare(X, y, S, CPU, class_weight="balanced")
    np.testing.assert_allclose(balanced.shares, 1 / len(classes), rtol=1e-12)


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("only", [0, -1])
def test_all_the_weight_on_one_class_is_refused_whatever_the_rounding(y, only):
    label = np.unique(y)[only]
    message = rf"^the rows of positive weight hold only one class: {label.item()!r}; at least 2 classes are needed$"
    for seed in range(12):  # total and sum differ in the last bit for some of them
        s = np.random.default_rng(seed).exponential(size=N) * (y == label)
        with pytest.raises(DataError, match=message):
            _ = prepare(X, y, s, CPU).shares
        with pytest.raises(DataError, match=message):
            LogisticRegression().fit(X, y, s)
        with pytest.raises(DataError, match=message):
            MLPClassifier((2,), max_iter=1).fit(X, y, s)


def test_a_class_of_next_to_no_weight_is_there():
    s = np.where(TWO == "no", 1e-14, 1.0)
    shares = prepare(X, TWO, s, CPU).shares
    assert shares[0] == pytest.approx(s[TWO == "no"].sum() / s.sum(), rel=1e-12)


def test_sparse_rows_stay_as_they_are_and_a_batch_of_them_computes_in_their_dtype():
    rows = csr_rows(sparse.csr_array(X.astype(np.float32)))
    prepared = prepare(rows, TWO, None, CPU)
    assert prepared.data.rows.X is rows
    assert (prepared.data.compute_dtype, prepared.data.batch_dtype) == (np.float64, np.float32)
    dense = prepare(X.astype(np.float32), TWO, None, CPU).data
    assert (dense.compute_dtype, dense.batch_dtype) == (np.float32, np.float32)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sample_weight": -S}, "^sample_weight holds a negative weight"),
        ({"sample_weight": S[1:]}, f"^sample_weight has length {N - 1}, and X has {N} rows$"),
        (
            {"sample_weight": S[1:], "class_weight": "balanced"},
            f"^sample_weight has length {N - 1}, and X has {N} rows$",
        ),
        ({"class_weight": {"no": 1e200, "yes": 1.0}}, "^sample_weight is at most 1e"),
        ({"storage": "uint8"}, "^storage='uint8' holds whole numbers from 0 to 255"),
        ({"y": np.full(N, "no")}, "the data contains only one class: 'no'$"),
        ({"y": np.full(N, "maybe"), "target": Target(np.array(["no", "yes"]))}, "^y holds 'maybe', which is not among"),
        ({"y": TWO[1:]}, rf"^y has shape \({N - 1},\), and X has {N} rows$"),
    ],
    ids=str,
)
def test_what_is_refused(changed, message):
    given = {"y": TWO, "sample_weight": None} | changed
    with pytest.raises(DataError, match=message):
        prepare(X, given.pop("y"), given.pop("sample_weight"), CPU, **given)


@pytest.mark.parametrize(
    "model", [LogisticRegression(), MLPClassifier((2,), max_iter=1, tol=1e9)], ids=["linear", "network"]
)
def test_both_estimators_prepare_once(model, monkeypatch):
    import gpu_logreg.estimators.linear.training as linear
    import gpu_logreg.estimators.network.training as network

    calls = []

    def counting(*arguments, **options):
        calls.append(options)
        return prepare(*arguments, **options)

    for module in (linear, network):
        monkeypatch.setattr(module, "prepare", counting)
    model.set_params(max_iter=50).fit(X, TWO, S)
    assert len(calls) == 1
    assert model.storage_ == "float64"
