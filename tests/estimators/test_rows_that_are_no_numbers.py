"""Dates, durations, text and the like among the columns: refused by both estimators, in one line with the column."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gpu_logreg import LogisticRegression, MLPClassifier
from gpu_logreg.errors import DataError, NotNumbersError

N = 40
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3))
Y = (X[:, 0] > 0).astype(int)
NAMES = ["age", "when", "weight"]
DAYS = np.arange(N).astype("M8[D]")
TABLE = pd.DataFrame(X, columns=NAMES)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(
    params=[LogisticRegression, lambda: MLPClassifier((3,), max_iter=1)], ids=["LogisticRegression", "MLPClassifier"]
)
def make(request):
    return request.param


def refused(make, rows, message, kind=DataError):
    with pytest.raises(kind, match=message) as raised:
        make().fit(rows, Y)
    assert "\n" not in str(raised.value)
    model = make().fit(TABLE if hasattr(rows, "columns") else X, Y)
    if len(getattr(rows, "columns", NAMES)) == len(NAMES):
        with pytest.raises(kind, match=message):
            model.predict(rows)
    assert model.predict(X[:1]).shape == (1,) if not hasattr(rows, "columns") else True


PANDAS = {
    "days": DAYS.astype("M8[s]"),
    "time zone": pd.Series(DAYS.astype("M8[s]")).dt.tz_localize("UTC"),
    "durations": (DAYS - DAYS[0]).astype("m8[s]"),
    "periods": pd.Series(pd.period_range("2020", periods=N, freq="D")),
    "categories of days": pd.Categorical(DAYS.astype("M8[s]")),
    "Python's dates": [datetime.date(2020, 1, 1)] * N,
    "Python's dates and times": pd.Series([datetime.datetime(2020, 1, 1)] * N, dtype=object),
    "NumPy's dates as objects": pd.Series([np.datetime64("2020")] * N, dtype=object),
    "timestamps of Arrow": pd.Series([1] * N, dtype=pd.ArrowDtype(pa.timestamp("s"))),
    "dates of Arrow": pd.Series([datetime.date(2020, 1, 1)] * N, dtype=pd.ArrowDtype(pa.date32())),
    "intervals": pd.Series(pd.interval_range(0, N)),
    "text": ["tall"] * N,
}


@pytest.mark.parametrize("column", PANDAS.values(), ids=PANDAS.keys())
@pytest.mark.parametrize("alone", [False, True], ids=["among numbers", "alone"])
def test_columns_of_pandas(make, column, alone):
    table = pd.DataFrame({"when": column}) if alone else TABLE.assign(when=column)
    refused(make, table, r"^column 'when' of X holds .*, which are no numbers; ")


POLARS = {
    "dates": pl.lit(datetime.date(2020, 1, 1)),
    "dates and times": pl.lit(datetime.datetime(2020, 1, 1)),
    "durations": pl.lit(datetime.timedelta(1)),
    "times": pl.lit(datetime.time(1)),
    "text": pl.lit("tall"),
    "categories": pl.lit("tall").cast(pl.Categorical),
    "lists": pl.lit([1, 2]),
}


@pytest.mark.parametrize("column", POLARS.values(), ids=POLARS.keys())
@pytest.mark.parametrize("alone", [False, True], ids=["among numbers", "alone"])
def test_columns_of_polars(make, column, alone):
    table = pl.DataFrame(X, schema=NAMES).with_columns(when=column)
    refused(make, table.select("when") if alone else table, r"^column 'when' of X holds .*, which are no numbers; ")


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.duration("ms"), pa.date32(), pa.date64(), pa.time64("us")])
def test_columns_of_arrow(make, kind):
    column = pa.array(np.arange(N), pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    refused(make, pa.table({"age": X[:, 0], "when": column, "weight": X[:, 2]}), "^column 'when' of X holds")


ARRAYS = {
    "days": (np.tile(DAYS[:, None], 3), "^column 0 of X, as every other, holds datetime64"),
    "nanoseconds": (np.tile(DAYS[:, None], 3).astype("M8[ns]"), "^column 0 of X, as every other, holds datetime64"),
    "durations": (np.tile((DAYS - DAYS[0])[:, None], 3), "^column 0 of X, as every other, holds timedelta64"),
    "days, a list": (
        np.tile(DAYS[:, None], 3).tolist(),
        "^X holds datetime.date.* at row 0, column 0, which is",
    ),
    "a list of NumPy's dates": (
        [list(row) for row in np.tile(DAYS[:, None], 3)],
        "^column 0 of X, as every other, holds datetime64",
    ),
    "text": (X.astype(str), "^X holds strings or records, of dtype <U"),
    "bytes": (X.astype("S8"), "^X holds strings or records, of dtype .S8"),
    "records": (np.zeros((N, 3), [("a", "f8")]), "^X holds strings or records"),
}
if hasattr(np.dtypes, "StringDType"):  # NumPy 2
    ARRAYS["StringDType"] = (X.astype(str).astype(np.dtypes.StringDType()), "^X holds strings or records")


@pytest.mark.parametrize(("rows", "message"), ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays_and_lists(make, rows, message):
    refused(make, rows, message)


@pytest.mark.parametrize("container", [np.asarray, list], ids=["array", "list"])
@pytest.mark.parametrize(
    "value",
    [datetime.datetime(2020, 1, 1), pd.Timestamp("2020"), "tall", {"tall": 1}, pd.NA, range(2)],
    ids=str,
)
def test_a_value_among_objects_is_named_by_row_and_column(make, container, value):
    rows = X.astype(object)
    rows[7, 1] = value
    given = container(rows) if container is np.asarray else rows.tolist()
    with pytest.raises(NotNumbersError, match=r"^X holds .* at row 7, column 1, which is no number \(") as raised:
        make().fit(given, Y)
    assert "\n" not in str(raised.value)
    assert issubclass(NotNumbersError, TypeError)  # as scikit-learn's own checks ask for
    assert issubclass(NotNumbersError, DataError)


def test_numpys_dates_among_objects(make):
    for value in (np.datetime64("2020"), np.timedelta64(3, "D")):
        rows = X.astype(object)
        rows[7, 1] = value
        with pytest.raises(DataError, match="column 1 of X holds dates or durations, which are no numbers"):
            make().fit(rows, Y)


def test_numbers_in_any_container_are_numbers(make):
    wanted = make().fit(X, Y).predict_proba(X)
    for rows in (X.astype(object), X.tolist(), TABLE.astype(object), TABLE.astype("category")):
        np.testing.assert_allclose(make().fit(rows, Y).predict_proba(rows), wanted, rtol=1e-6)
    assert make().fit(X > 0, Y).n_features_in_ == 3


def test_masked_rows_are_refused_by_their_place(make):
    rows = np.ma.masked_array(X, mask=np.zeros((N, 3), bool))
    model = make().fit(rows, Y)
    rows[7, 1] = np.ma.masked
    for call in (lambda: make().fit(rows, Y), lambda: model.predict(rows)):
        with pytest.raises(DataError, match=r"^X is masked at row 7, column 1; remove such rows, or fill them$"):
            call()
    with pytest.raises(DataError, match=r"^sample_weight is masked at row 3; "):
        make().fit(X, Y, np.ma.masked_array(np.ones(N), mask=np.arange(N) == 3))


def test_names_that_several_columns_have(make):
    with pytest.raises(ValueError, match="several columns of X have the name 'age'; rename them"):
        make().fit(pd.DataFrame(X, columns=["age", "age", "weight"]), Y)
