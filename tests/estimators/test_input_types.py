"""Tables and arrays of optional libraries: fits are those of the same numbers in NumPy, refusals name the culprit."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import polars as pl
import pytest
from fresh_process import run_fresh

from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.errors import DataError, MissingDependencyError

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")

N, D = 200, 4
NAMES = ["age", "height", "weight", "income"]
_RNG = np.random.default_rng(5)
X = _RNG.standard_normal((N, D)).astype(np.float32)
Y = (X[:, 0] + _RNG.logistic(size=N) > 0).astype(np.int64)
S = _RNG.random(N).astype(np.float32)
TEXT = np.array(["no", "yes"])[Y]


def logistic():
    return LogisticRegression()


def network():
    return MLPClassifier((3,), max_iter=2, activation="tanh", n_iter_no_change=50)


def weights_of(model):
    return np.concatenate([W.ravel() for W in ([model.coef_] if hasattr(model, "coef_") else model.coefs_)])


@pytest.fixture(params=[logistic, network], ids=["LogisticRegression", "MLPClassifier"])
def make(request):
    def quiet():
        return request.param()

    return quiet


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Stream:
    """A table or column of a library that offers Arrow's protocol and nothing else."""

    def __init__(self, held) -> None:
        self._held = held

    def __arrow_c_stream__(self, requested_schema=None):
        return self._held.__arrow_c_stream__(requested_schema)


class Interchanged:
    """A table of a library that offers the older protocol alone."""

    def __init__(self, held) -> None:
        self._held = held

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self._held.__dataframe__(nan_as_null, allow_copy)


def table(rows=X, names=NAMES):
    return pa.table({name: rows[:, at] for at, name in enumerate(names)})


TABLES = {
    "Table": table,
    "Table in pieces": lambda: pa.concat_tables([table().slice(0, 70), table().slice(70)]),
    "RecordBatch": lambda: table().combine_chunks().to_batches()[0],
    "RecordBatchReader": lambda: table().to_reader(max_chunksize=64),
    "Arrow's stream": lambda: Stream(table()),
    "the interchange protocol": lambda: Interchanged(table()),
}


@pytest.mark.parametrize("given", TABLES.values(), ids=TABLES.keys())
def test_arrow_tables_are_fitted_as_the_same_numbers(make, given):
    wanted = make().fit(np.asfortranarray(X), Y, S)
    model = make().fit(given(), Y, S)
    np.testing.assert_array_equal(weights_of(model), weights_of(wanted))
    np.testing.assert_array_equal(model.feature_names_in_, NAMES)
    proba = model.predict_proba(given())
    assert type(proba) is np.ndarray
    assert proba.dtype == np.float32
    np.testing.assert_array_equal(proba, wanted.predict_proba(np.asfortranarray(X)))
    np.testing.assert_array_equal(model.predict(given()), wanted.predict(X))
    assert model.score(given(), Y, S) == wanted.score(X, Y, S)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int64", "uint16", "bool"])
def test_arrow_columns_of_every_dtype_stay_what_they_are(make, dtype):
    rows = (X * 3 > 0) if dtype == "bool" else np.abs(X * 3).astype(dtype)
    model = make().fit(table(rows), Y)
    np.testing.assert_array_equal(weights_of(model), weights_of(make().fit(np.asfortranarray(rows), Y)))
    if hasattr(model, "storage_"):
        assert model.storage_ == dtype


def test_arrow_columns_of_several_dtypes_meet_in_one():
    whole = (X[:, 1] * 4).astype(np.int32)
    mixed = pa.table(
        {
            "a": X[:, 0],
            "b": whole,
            "c": X[:, 2] > 0,
            "d": pa.array(whole.tolist(), pa.decimal128(9, 2)),
            "e": pa.array(whole).dictionary_encode(),
        }
    )
    rows = np.stack([X[:, 0], whole, X[:, 2] > 0, whole, whole], axis=1, dtype=np.float64, casting="unsafe")
    np.testing.assert_array_equal(
        LogisticRegression().fit(mixed, Y).coef_, LogisticRegression().fit(np.asfortranarray(rows), Y).coef_
    )


COLUMNS = {
    "Array": lambda values: pa.array(values),
    "ChunkedArray": lambda values: pa.chunked_array([values[:50], values[50:]]),
    "Table": lambda values: pa.table({"only": values}),
    "RecordBatch": lambda values: pa.record_batch({"only": pa.array(values)}),
    "categories": lambda values: pa.array(values).dictionary_encode(),
    "categories in pieces": lambda values: pa.chunked_array(
        [pa.array(values[:50]).dictionary_encode(), pa.array(values[50:]).dictionary_encode()]
    ),
    "Arrow's stream": lambda values: Stream(pa.chunked_array([values])),
    "Arrow's stream of a table": lambda values: Stream(pa.table({"only": values})),
    "the interchange protocol": lambda values: Interchanged(pa.table({"only": values})),
}


@pytest.mark.parametrize("given", COLUMNS.values(), ids=COLUMNS.keys())
@pytest.mark.parametrize("y", [Y, Y.astype(np.int8), Y > 0, TEXT], ids=["int64", "int8", "bool", "text"])
def test_arrow_labels_and_weights(make, given, y):
    wanted = make().fit(X, y, S)
    model = make().fit(X, given(y), given(S))
    np.testing.assert_array_equal(weights_of(model), weights_of(wanted))
    np.testing.assert_array_equal(model.classes_, wanted.classes_)
    np.testing.assert_array_equal(model.predict(X), wanted.predict(X))
    assert model.score(X, given(y), given(S)) == wanted.score(X, y, S)


def test_an_arrow_column_in_one_piece_is_not_copied():
    from gpu_logreg.estimators.inputs import given_column

    for held in (pa.array(S), pa.chunked_array([S]), pa.table({"s": S})):
        assert np.shares_memory(given_column(held, "sample_weight"), S)


def test_batches_from_arrow_tables():
    wanted, model = network(), network()
    for part in (slice(0, 100), slice(100, N)):
        wanted.partial_fit(np.asfortranarray(X[part]), TEXT[part], classes=["no", "yes"])
        batch = table(X[part])
        model.partial_fit(batch, pa.array(TEXT[part]), classes=pa.array(["no", "yes"]))
    np.testing.assert_array_equal(weights_of(model), weights_of(wanted))
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(table(names=["a", *NAMES[1:]]), TEXT)


def test_tables_with_other_names_are_refused_whatever_their_library(make):
    others = [NAMES[1], NAMES[0], *NAMES[2:]]
    model = make().fit(table(), Y)
    for wrong in (table(names=others), Stream(table(names=others)), pd.DataFrame(X, columns=others)):
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(wrong)
    for right in (pd.DataFrame(X, columns=NAMES), pl.DataFrame(X, schema=NAMES)):
        np.testing.assert_array_equal(model.predict(right), model.predict(table()))
    with pytest.raises(ValueError, match=r"3 features, but \w+ is expecting 4"):
        make().fit(X, Y).predict(X[:, :3])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def replaced(column):
    return table().set_column(1, "height", column)


STRUCT = pa.StructArray.from_arrays([pa.array(Y)], ["y"], mask=pa.array(np.arange(len(Y)) == 3))

REFUSED = {
    "null": (lambda: replaced(pa.array([*X[:-1, 1], None])), r"X contains a null at row 199, column 1 \('height'\); "),
    "NaN": (lambda: replaced(pa.array([np.nan, *X[1:, 1]])), r"X contains NaN at row 0, column 1 \('height'\); remove"),
    "nothing but nulls": (lambda: replaced(pa.nulls(N)), r"a null at row 0, column 1 \('height'\)"),
    "text": (lambda: replaced(pa.array(TEXT)), "column 'height' of X holds string values; encode them as numbers, or"),
    "categories": (lambda: replaced(pa.array(TEXT).dictionary_encode()), "column 'height' of X holds dictionary"),
    "dates": (
        lambda: replaced(pa.array(np.arange(N, dtype=np.int32)).cast(pa.date32())),
        "column 'height' of X holds date32",
    ),
    "one name twice": (lambda: table().rename_columns([*NAMES[:3], "age"]), "several columns of X have the name 'age'"),
    "a column": (lambda: pa.array(X[:, 0]), "X, a DoubleArray|X, a FloatArray, cannot be read as an Arrow table"),
    "no rows": (lambda: table().slice(0, 0), r"X has shape \(0, 4\); at least one row"),
    "no columns": (lambda: table().select([]), "at least one row and one column are required"),
    "fewer rows": (lambda: table().slice(1), "y has shape .200,., and X has 199 rows"),
    "LazyFrame": (lambda: pl.DataFrame(X).lazy(), r"X is a LazyFrame, .*; give X.collect\(\)"),
    "text in pandas": (lambda: pd.DataFrame(X, columns=NAMES).assign(height="tall"), "column 'height' of X holds "),
    "text in polars": (
        lambda: pl.DataFrame(X, schema=NAMES).with_columns(height=pl.lit("tall")),
        "column 'height' of X holds String values, which are no numbers; encode them, or leave the column out",
    ),
    "categories in pandas": (
        lambda: pd.DataFrame(X, columns=NAMES).assign(height=pd.Categorical(TEXT)),
        "column 'height' of X holds category values",
    ),
    "complex": (lambda: X.astype(np.complex64), "Complex data not supported: X has dtype complex64"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_rows_that_are_refused_in_one_line(make, given, message):
    with pytest.raises(DataError, match=message) as raised:
        make().fit(given(), Y)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("y", "weights", "message"),
    [
        (pa.array([None, *Y[1:].tolist()]), None, "y holds a null at row 0; remove such rows"),
        (pa.chunked_array([TEXT[:50], [*TEXT[51:].tolist(), None]]), None, "y holds a null at row 199"),
        (STRUCT, None, "y holds a null at row 3"),
        (pa.table({"a": Y, "b": Y}), None, "y is a table of 2 columns, 'a', 'b'; give one"),
        (Y, pa.array([*S[:-1].tolist(), None]), "sample_weight holds a null at row 199"),
        (Y, pa.array(TEXT), "sample_weight has dtype object; weights are numbers"),
    ],
    ids=["null", "null in text", "null struct", "two columns", "null weight", "weights of text"],
)
def test_columns_that_are_refused_in_one_line(make, y, weights, message):
    with pytest.raises(DataError, match=message):
        make().fit(X, y, weights)


def without(monkeypatch, *modules):
    import_module = importlib.import_module

    def refuse(name, package=None):
        if name.split(".", 1)[0] in modules:
            raise ImportError(name)
        return import_module(name, package)

    monkeypatch.setattr(importlib, "import_module", refuse)


def test_arrows_protocol_is_read_by_polars_where_pyarrow_is_not_installed(make, monkeypatch):
    rows, y, y_table, s = Stream(table()), Stream(pa.array(TEXT)), Stream(pa.table({"y": TEXT})), Stream(pa.array(S))
    y._held, s._held = pa.chunked_array([TEXT]), pa.chunked_array([S])
    wanted = make().fit(pl.DataFrame(X, schema=NAMES), TEXT, S)
    without(monkeypatch, "pyarrow")
    for labels in (y, y_table):
        model = make().fit(rows, labels, s)
        np.testing.assert_allclose(weights_of(model), weights_of(wanted), rtol=1e-12)
        assert model.feature_names_in_.tolist() == NAMES
        assert model.score(rows, labels, s) == wanted.score(pl.DataFrame(X, schema=NAMES), TEXT, S)


def test_arrows_protocol_without_a_library_says_what_to_install(make, monkeypatch):
    without(monkeypatch, "pyarrow", "polars")
    with pytest.raises(MissingDependencyError, match=r"X, a Stream, .* install one with: pip install pyarrow"):
        make().fit(Stream(table()), Y)
    with pytest.raises(MissingDependencyError, match="y, a Stream, "):
        make().fit(X, Stream(table()))


def test_names_of_a_table_are_forgotten_by_a_fit_on_an_array(make):
    model = make().fit(table(), Y).fit(X, Y)
    assert not hasattr(model, "feature_names_in_")


def test_no_library_is_imported_before_an_object_of_it_arrives():  # pyarrow comes with pandas, pandas with scikit-learn
    loaded = run_fresh("""
        import sys
        import numpy as np
        from gpu_logreg import LogisticRegression
        rows, y = np.eye(4), [0, 1, 0, 1]
        LogisticRegression().fit(rows, y).score(rows.tolist(), y)
        print([name for name in "polars cudf torch jax ml_dtypes cupy".split() if name in sys.modules])
    """)
    assert loaded == "[]"
