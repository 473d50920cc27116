"""Labels of every kind: each is what was given, in fit, score and a model file, or is refused by its row."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gpu_logreg import LogisticRegression, MLPClassifier, load_model, save_model
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.label_types import exact_array, numbers_among, of_one_type, same_labels
from gpu_logreg.estimators.labels import encode_classes

N = 60
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3))
K = np.digitize(X[:, 0], [-0.5, 0.5])
FIRST_OF = [int(np.flatnonzero(k == K)[0]) for k in range(3)]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(
    params=[LogisticRegression, lambda: MLPClassifier((3,), "tanh", solver="lbfgs", max_iter=20)],
    ids=["LogisticRegression", "MLPClassifier"],
)
def make(request):
    return request.param


def objects(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


BIG = [-1, 2**63, 2**63 + 1]
EXACT = {
    "beyond int64": (BIG, objects),
    "beyond int64, a list": (BIG, list),
    "beyond int64, pandas": (BIG, pd.Series),
    "uint64": ([5, 2**63, 2**63 + 1], lambda values: np.array(values, np.uint64)),
    "uint64 as objects": ([5, 2**64 - 2, 2**64 - 1], objects),
    "uint64, polars": ([5, 2**63, 2**63 + 1], lambda values: pl.Series(values, dtype=pl.UInt64)),
    "uint64, Arrow": ([5, 2**63, 2**63 + 1], lambda values: pa.array(values, pa.uint64())),
    "beyond 64 bits": ([-(10**30), 10**30, 10**30 + 1], list),
    "int64": ([-3, 2**53, 2**53 + 1], list),
    "decimals of Arrow": (
        [3, 10**25, 10**25 + 1],
        lambda values: pa.array([Decimal(value) for value in values]),
    ),
    "days": (
        [np.datetime64("2020-01-01"), np.datetime64("2020-01-02"), np.datetime64("2021-01-01")],
        lambda values: np.array(values),
    ),
    "dates, polars": ([datetime.date(2020, 1, day) for day in (1, 2, 3)], pl.Series),
    "nanoseconds, swapped": (
        [np.datetime64(year, "ns") for year in ("2020", "2021", "2022")],
        lambda values: np.array(values).astype(">M8[ns]"),
    ),
    "durations": ([np.timedelta64(second, "s") for second in (1, 2, 3)], lambda values: np.array(values)),
    "half precision": ([0.0, 1.0, 2048.0], lambda values: np.array(values, np.float16)),
    "long double": ([0.0, 1.0, 2.0**60], lambda values: np.array(values, np.longdouble)),
    "booleans": ([False, True, True], objects),
    "text": (["", "a", "b\x00c"], objects),
}
if hasattr(np.dtypes, "StringDType"):  # NumPy 2
    EXACT["StringDType"] = (["a", "b", "c"], lambda values: np.array(values, dtype=np.dtypes.StringDType()))


@pytest.mark.parametrize(("values", "container"), EXACT.values(), ids=EXACT.keys())
def test_labels_are_those_given(make, values, container, tmp_path):
    model = make().fit(X, container([values[k] for k in K]))
    numbers = K if len(set(values)) == 3 else np.minimum(K, 1)
    classes = list(model.classes_)
    assert classes == [values[k] for k in np.unique(numbers)]
    by_number = make().fit(X, numbers)
    predicted = list(model.predict(X))
    assert predicted == [classes[k] for k in by_number.predict(X)]
    assert model.score(X, container([values[k] for k in K])) == by_number.score(X, numbers)
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    back = load_model(path)
    assert back.classes_.dtype == model.classes_.dtype
    assert list(back.classes_) == classes
    assert list(back.predict(X)) == predicted


MISSING = {
    "NaT": (np.datetime64("NaT"), lambda y: np.array(["2020", "2021", "2022"], "M8[D]")[y]),
    "NaT of durations": (np.timedelta64("NaT"), lambda y: y.astype("m8[s]")),
    "NaN": (np.nan, lambda y: y.astype(float)),
    "NaN in float16": (np.nan, lambda y: y.astype(np.float16)),
    "NaN among texts": (np.nan, lambda y: objects([str(k) for k in y])),
    "None": (None, lambda y: objects([str(k) for k in y])),
    "pd.NA": (pd.NA, lambda y: objects(y.tolist())),
    "pd.NaT": (pd.NaT, lambda y: objects([str(k) for k in y])),
    "a decimal that is none": (Decimal("NaN"), lambda y: objects([Decimal(int(k)) for k in y])),
    "mask": (np.ma.masked, lambda y: np.ma.masked_array(y)),
    "mask among texts": (np.ma.masked, lambda y: np.ma.masked_array(y.astype(str))),
}
IN_CONTAINERS = {
    "array": lambda y: y,
    "column": lambda y: y[:, None],
    "list": lambda y: y.tolist(),
    "pandas": lambda y: pd.Series(y),
}


def with_missing(value, kind):
    y = kind(K)
    y[7] = value
    return y


@pytest.mark.filterwarnings("ignore:A column-vector y")
@pytest.mark.parametrize(("value", "kind"), MISSING.values(), ids=MISSING.keys())
@pytest.mark.parametrize("container", IN_CONTAINERS.values(), ids=IN_CONTAINERS.keys())
def test_missing_labels_are_refused_by_their_row(make, value, kind, container):
    y = container(with_missing(value, kind))
    for call in (make().fit, make().fit(X, kind(K) if kind(K).dtype.kind != "O" else K).score):
        with pytest.raises(DataError, match=r"^y (holds a missing label, .*|is masked) at row 7(,| |;|$)") as raised:
            call(X, y)
        assert "\n" not in str(raised.value)


def test_missing_labels_of_a_part_or_among_the_classes_are_refused():
    y = with_missing(np.datetime64("NaT"), MISSING["NaT"][1])
    with pytest.raises(DataError, match="y holds a missing label, NaT, at row 7"):
        MLPClassifier((3,)).partial_fit(X, y, classes=np.unique(MISSING["NaT"][1](K)))
    for classes in (["a", None], ["a", float("nan")], np.array(["2020", "NaT"], "M8[D]"), [0.0, np.nan]):
        with pytest.raises(DataError, match=r"classes holds a missing label, .*, at row 1"):
            MLPClassifier((3,)).partial_fit(X, K, classes=classes)
    with pytest.raises(DataError, match="classes is masked at row 0"):
        MLPClassifier((3,)).partial_fit(X, K, classes=np.ma.masked_array([0, 1, 2], mask=[1, 0, 0]))


def test_a_mask_that_masks_nothing_is_no_mask(make):
    wanted = make().fit(X, K, np.arange(N) + 1.0)
    model = make().fit(
        np.ma.masked_array(X), np.ma.masked_array(K, mask=np.zeros(N, bool)), np.ma.masked_array(np.arange(N) + 1.0)
    )
    np.testing.assert_array_equal(model.predict_proba(X), wanted.predict_proba(np.ma.masked_array(X)))


REFUSED = {
    "text and numbers, a list": (lambda: ["a" if k else 1 for k in K], "several types, .* at row 0 and .* at row"),
    "text and numbers": (lambda: objects(["a" if k else 1 for k in K]), "several types, .* at row 0 and .* at row"),
    "text and booleans, a list": (lambda: ["a" if k else True for k in K], "several types, "),
    "whole numbers that floats round": (lambda: [2**53 + 1 if k else 2.0 for k in K], "several types, "),
    "bytes": (lambda: np.array([b"no", b"yes", b"so"])[K], "y holds bytes, of dtype .*; give texts: y.astype"),
    "bytes, a list": (lambda: [b"yes" if k else b"no" for k in K], "y holds bytes"),
    "dates as objects": (lambda: [datetime.date(2020, 1, 1 + k) for k in K], "labels of type date; give texts"),
    "tuples": (lambda: objects([(k, k) for k in K]), "labels of type tuple; give texts"),
    "fractions": (lambda: objects([Decimal("0.5") * int(k) for k in K]), "labels of type Decimal; give texts"),
    "complex": (lambda: K + 1j, "Complex data not supported: y has dtype complex128"),
    "records": (lambda: np.zeros(N, [("a", "i4")]), "y has dtype .*; labels are texts, numbers or dates"),
    "128 bits": (lambda: pl.Series(K.tolist(), dtype=pl.Int128), "y, a Series, cannot be read as labels"),
    "sparse": (lambda: __import__("scipy.sparse").sparse.csr_array(np.eye(N)), "y is a sparse matrix; give a dense"),
}
if np.finfo(np.longdouble).nmant > 52:
    REFUSED["long doubles that float64 rounds"] = (
        lambda: np.where(K == 1, np.longdouble(2) ** 63 + 1, np.longdouble(2) ** 63),
        "which float64 rounds; give whole numbers",
    )


@pytest.mark.parametrize(("y", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_labels_of_kinds_that_none_can_be_are_refused_in_one_line(make, y, message):
    for call in (make().fit, make().fit(X, K).score):
        with pytest.raises(DataError, match=message) as raised:
            call(X, y())
        assert "\n" not in str(raised.value)


def test_parts_are_compared_with_the_classes_exactly():
    for classes, y, strange in (
        (np.array([5, 2**63, 2**63 + 1], np.uint64), [5, 2**62, 5], 2**62),
        (np.array([-(2**63), 0, 1]), np.array([2**63, 0, 1], np.uint64), 2**63),
        (np.array([2**53, 2**53 + 2]), [2**53, 2**53 + 1, 2**53], 2**53 + 1),
        (np.array([2.0**53, 2.0**54]), [2**53, 2**53 + 1, 2**53], 2**53 + 1),
        (np.array([False, True]), [0, 2, 1], 2),
        (["a", "b"], ["a", "bc", "b"], "bc"),
        (np.array(["2020", "2021"], "M8[Y]"), np.array(["2020-01-01", "2021-06-01"], "M8[D]"), None),
        (["0", "1"], [0, 1, 1], 0),
    ):
        rows = X[: len(y)]
        shown = "'2021-06-01'" if strange is None else repr(strange)
        with pytest.raises(DataError, match=f"y holds {shown}.*, which is not among the classes"):
            MLPClassifier((3,)).partial_fit(rows, y, classes=classes)


@pytest.mark.parametrize(
    ("classes", "y"),
    [
        (np.array([0, 1]), np.array([0.0, 1.0, 1.0])),
        (np.array([0.0, 1.0]), np.array([0, 1, 1], np.uint8)),
        (np.array([0, 1]), np.array([False, True, True])),
        (objects(["a", "b"]), np.array(["a", "b", "b"])),
        (np.array(["a", "b"]), objects(["a", "b", "b"])),
        (np.array([0, 2**63], np.uint64), objects([0, 2**63, 2**63])),
        (np.array(["2020", "2021"], "M8[Y]"), np.array(["2020-01-01", "2021-01-01", "2021-01-01"], "M8[D]")),
    ],
)
def test_labels_that_are_equal_are_the_same_in_whatever_type(classes, y):
    numbers, strange = numbers_among(of_one_type(y), of_one_type(classes))
    assert numbers.tolist() == [0, 1, 1]
    assert not strange.any()
    assert same_labels(classes[[0, 1, 0]], y, classes).tolist() == [True, True, False]


def test_scores_compare_labels_exactly():
    given = objects([[5, 2**63, 2**63 + 1][k] for k in K])
    model = LogisticRegression().fit(X, given)
    right = model.score(X, given)
    assert right > 0.8
    assert model.score(X, [5.0, 2.0**63, 2.0**63] * 20) <= np.mean(K < 2)
    assert model.score(X, np.full(N, 2**63 - 1)) == 0.0


@pytest.mark.parametrize(("fitted", "other"), [(K, K.astype(str)), (K.astype(str), K), (K, K.astype("M8[s]"))])
def test_scores_on_labels_of_another_kind_are_refused(make, fitted, other):
    with pytest.raises(DataError, match=r"y holds \w+, such as .*, and the classes are \w+, such as .*; give "):
        make().fit(X, fitted).score(X, other)


def test_scores_on_a_continuous_target_are_refused(make):
    with pytest.raises(ValueError, match="continuous"):
        make().fit(X, K).score(X, X[:, 0])


def test_only_lists_that_numpy_would_change_become_objects():
    for values, kind in (
        ([1, 2], "i"),
        ([1, 2.5], "f"),
        ([2**63, 2**63 + 1], "u"),
        ([2**63, -1], "O"),
        ([float(2**60), 1.0], "f"),
        (["a", "b"], "U"),
        (["a", 1], "O"),
        ([True, False], "b"),
        ([[2**63], [-1]], "O"),
    ):
        assert exact_array(values).dtype.kind == kind
        assert exact_array(values).tolist() == values


def test_whole_numbers_beyond_64_bits_cannot_go_to_scikit_learns_network():
    model = MLPClassifier((3,), solver="lbfgs", max_iter=2).fit(X, [BIG[k] for k in K])
    with pytest.raises(DataError, match="whole numbers beyond 64 bits"):
        model.to_sklearn()
    assert list(LogisticRegression().fit(X, [BIG[k] for k in K]).to_sklearn().classes_) == BIG


@pytest.mark.parametrize(
    "classes",
    [[0, 1], [-3, 7], [False, True], ["no", "yes"], [0.0, 2.0], [np.uint8(1), np.uint8(2)]],
)
def test_numbers_of_known_classes(classes):
    classes = np.array(classes)
    y = classes[np.random.default_rng(0).integers(0, 2, 50)]
    numbers = encode_classes(y, classes)
    assert numbers.dtype == np.uint8
    np.testing.assert_array_equal(classes[numbers], y)
    np.testing.assert_array_equal(encode_classes(classes[[1, 1, 1]], classes), [1, 1, 1])  # one of the two
    for other in (np.concatenate([y, classes[:1]]).astype(object)[:40], y.tolist()):
        np.testing.assert_array_equal(encode_classes(other, classes), numbers[: len(other)])


def test_two_other_classes_are_not_among_the_known_ones():
    for y, classes in (([0, 2], [0, 1]), ([2, 1], [0, 1]), (["a", "b"], ["a", "c"]), ([5, 6], [0, 1])):
        with pytest.raises(DataError, match="which is not among the classes"):
            encode_classes(np.array(y), np.array(classes))
