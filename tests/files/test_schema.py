from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import real_data
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from gpu_logreg.errors import DataError
from gpu_logreg.files import encoding
from gpu_logreg.files.columns import NumericColumn, TextColumn
from gpu_logreg.files.load import FileOptions, Matrix, Table, as_table, load_prediction_data, load_training_data
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.unseen import unseen_categories

NO_HEADER = FileOptions(header=False)


def table(**columns: Any) -> Table:
    return as_table(pa.table(columns))


def matrix(values: Any) -> Matrix:
    values = np.asarray(values)
    return Matrix(values, tuple(f"c{at}" for at in range(values.shape[1])))


MIXED = {
    "age": [20, None, 40, 30],
    "sex": ["m", "f", None, "m"],
    "rich": [True, False, None, True],
    "pay": [0.5, 1.5, 2.5, 3.5],
    "town": ["b", "a", "b", "a"],
}


# ------------------------------------------------------------------------------------------------ what comes out


def test_a_table_of_every_kind() -> None:
    rows = table(**MIXED)
    schema = Schema.fit(rows)
    assert schema.columns == (
        NumericColumn("age", 30.0, True),
        TextColumn("sex", ("f", "m"), True),
        NumericColumn("rich", 2 / 3, True),
        NumericColumn("pay", 2.0, False),
        TextColumn("town", ("a", "b"), False),
    )
    assert schema.feature_names == (
        *("age", "rich", "pay", "age is missing", "rich is missing"),
        *("sex=f", "sex=m", "sex is missing", "town=a", "town=b"),
    )
    expected = [
        [20, 1, 0.5, 0, 0, 0, 1, 0, 0, 1],
        [30, 0, 1.5, 1, 0, 1, 0, 0, 1, 0],
        [40, 2 / 3, 2.5, 0, 1, 0, 0, 1, 0, 1],
        [30, 1, 3.5, 0, 0, 0, 1, 0, 1, 0],
    ]
    np.testing.assert_array_equal(schema.transform(rows), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_matrix_is_c_contiguous_and_in_the_dtype_asked_for(dtype: Any) -> None:
    rows = table(**MIXED)
    X = Schema.fit(rows).transform(rows, dtype)
    assert X.dtype == dtype
    assert X.flags.c_contiguous
    np.testing.assert_allclose(X, Schema.fit(rows).transform(rows), rtol=1e-7)


def test_new_rows() -> None:
    schema = Schema.fit(table(**MIXED))
    new = table(
        town=["a", "z", None],
        extra=[1, 2, 3],
        pay=[None, 7, np.nan],
        rich=[1, 0, 1],
        sex=["x", None, "f"],
        age=pa.array([None, None, None]),
    )
    expected = [
        [30, 1, 2, 1, 0, 0, 0, 0, 1, 0],
        [30, 0, 7, 1, 0, 0, 0, 1, 0, 0],
        [30, 1, 2, 1, 0, 1, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(schema.transform(new), expected)
    nothing = table(**{name: pa.nulls(2) for name in MIXED})
    np.testing.assert_array_equal(schema.transform(nothing)[0], [30, 2 / 3, 2, 1, 1, 0, 0, 1, 0, 0])


def test_text_or_numbers_alone() -> None:
    rows = table(t=["x", "y", "x"])
    np.testing.assert_array_equal(Schema.fit(rows).transform(rows), [[1, 0], [0, 1], [1, 0]])
    rows = table(a=[1, 2], b=[3, 4])
    np.testing.assert_array_equal(Schema.fit(rows).transform(rows), [[1, 3], [2, 4]])


def test_more_rows_than_a_block() -> None:
    n = 50_001
    rng = np.random.default_rng(0)
    numbers, words = rng.normal(size=n), rng.integers(0, 7, n)
    numbers[rng.random(n) < 0.1] = np.nan
    chunks = pa.chunked_array([numbers[:7], numbers[7:30_000], numbers[30_000:]])
    rows = table(a=chunks, t=np.array([f"w{at}" for at in range(7)])[words])
    X = Schema.fit(rows).transform(rows)
    np.testing.assert_array_equal(X[:, 1], np.isnan(numbers))
    np.testing.assert_array_equal(X[:, 2:].argmax(axis=1), words)
    np.testing.assert_allclose(X[:, 0], np.where(np.isnan(numbers), np.nanmean(numbers), numbers))


def test_categories_are_sorted_whatever_the_order_of_the_rows() -> None:
    words = ["é", "Z", "a", "10", "9", "b"]
    for order in (words, words[::-1]):
        assert Schema.fit(table(t=order)).columns == (TextColumn("t", ("10", "9", "Z", "a", "b", "é")),)


def test_the_words_of_missing_cells_cannot_be_mistaken_for_a_category() -> None:
    rows = table(t=["missing", "None", "nan", " ", "x is missing"])
    assert Schema.fit(rows).columns == (TextColumn("t", ("missing", "x is missing"), True),)
    np.testing.assert_array_equal(Schema.fit(rows).transform(rows).sum(axis=1), np.ones(5))


def test_an_array_is_returned_as_it_is() -> None:
    values = np.arange(12, dtype=np.uint8).reshape(4, 3)
    schema = Schema.fit(matrix(values))
    assert schema.transform(matrix(values)) is values
    part = schema.transform(matrix(np.column_stack([values, values])))
    assert part.shape == (4, 3)
    assert part.base is not None
    assert schema.feature_names == ("c0", "c1", "c2")


def test_nan_in_an_array_is_not_imputed() -> None:
    values = np.array([[1.0, np.nan]])
    assert Schema.fit(matrix(values)).transform(matrix(values)) is values


def test_arrays_and_tables_read_for_each_other() -> None:
    rows = table(c0=[1.0, None, 4.0], c1=[1, 2, 3])
    X = Schema.fit(rows).transform(matrix([[np.nan, 5.0], [6.0, 7.0]]))
    np.testing.assert_array_equal(X, [[2.5, 5, 1], [6, 7, 0]])
    schema = Schema.fit(matrix([[1.0, 2.0]]))
    np.testing.assert_array_equal(schema.transform(table(c1=[2], c0=[1])), [[1, 2]])
    with pytest.raises(DataError, match=r"row 2: the cell of column 'c1' is missing.*trained on an array"):
        schema.transform(table(c0=[1, 2], c1=[1, None]))


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_the_output_setting_of_scikit_learn_does_not_matter(output: str) -> None:
    pytest.importorskip(output)
    rows = table(**MIXED)
    with sklearn.config_context(transform_output=output):
        X = Schema.fit(rows).transform(rows)
    np.testing.assert_array_equal(X, Schema.fit(rows).transform(rows))


def test_agrees_with_the_transformers_of_scikit_learn() -> None:
    pd = pytest.importorskip("pandas")
    rows, _ = load_training_data(real_data("adult.data.gz"), "c14", NO_HEADER)
    assert isinstance(rows, Table)
    schema = Schema.fit(rows)
    frame = pd.DataFrame({name: rows.arrow.column(name).to_pandas().astype(object) for name in rows.names})
    for column in schema.numeric:
        frame[column.name] = frame[column.name].astype(float)
    frame = frame.where(frame.notna(), None)
    peer = ColumnTransformer(
        [
            ("numbers", SimpleImputer(add_indicator=True), [column.name for column in schema.numeric]),
            ("text", OneHotEncoder(sparse_output=False), [column.name for column in schema.text]),
        ]
    ).fit(frame)
    np.testing.assert_array_equal(schema.transform(rows), peer.transform(frame))
    stored = Schema.from_json(schema.to_json())
    np.testing.assert_array_equal(stored.transform(rows), schema.transform(rows))


@pytest.mark.slow
def test_kddcup() -> None:
    rows, y = load_training_data(real_data("kddcup.data_10_percent.gz"), "c41", NO_HEADER)
    schema = Schema.fit(rows)
    X = schema.transform(rows, np.float32)
    assert X.shape == (494_021, 118)
    assert [len(column.categories) for column in schema.text] == [3, 66, 11]
    assert int((y == "normal.").sum()) == 97_278
    np.testing.assert_array_equal(X[:, 38:].sum(axis=1), 3)


def test_adult_at_predict_time() -> None:
    rows, _ = load_training_data(real_data("adult.data.gz"), "c14", NO_HEADER)
    schema = Schema.from_json(Schema.fit(rows).to_json())
    X = schema.transform(load_prediction_data(real_data("adult.test.gz"), schema, NO_HEADER))
    assert X.shape == (16_281, 108)
    assert set(X[:, 6:].sum(axis=1).tolist()) == {8.0}


def test_numbers_in_a_column_of_text_are_text() -> None:
    schema = Schema.fit(table(code=["1", "A", "2.5", "true"], x=[1, 2, 3, 4]))
    new = table(code=[1, 2, 2.5, None], x=[0, 0, 0, 0])
    expected = [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(schema.transform(new), expected)
    assert unseen_categories(new, schema) == {"code": (1, ["2"])}
    np.testing.assert_array_equal(schema.transform(table(code=[True, False], x=[0, 0]))[:, 4], [1, 0])
    numbered = Schema.fit(as_table(pa.table({"c0": ["1", "A"], "c1": [1, 2]})))
    np.testing.assert_array_equal(numbered.transform(matrix([[1, 7], [3, 8]])), [[7, 1, 0], [8, 0, 0]])
    assert unseen_categories(matrix([[1, 7], [3, 8]]), numbered) == {"c0": (1, ["3"])}


def test_unseen_categories_are_counted() -> None:
    schema = Schema.fit(table(**MIXED))
    assert unseen_categories(table(**MIXED), schema) == {}
    new = table(**(MIXED | {"sex": ["x", None, "d", "x"], "town": ["a", None, "b", "c"]}))
    assert unseen_categories(new, schema) == {"sex": (3, ["d", "x"]), "town": (1, ["c"])}
    nothing = table(**{name: pa.nulls(3) for name in MIXED})
    assert unseen_categories(nothing, schema) == {}
    many = table(**(MIXED | {"town": [f"t{at}" for at in range(4)]})).take_rows(np.arange(4).repeat([1, 2, 3, 4]))
    assert unseen_categories(many, schema)["town"] == (10, ["t0", "t1", "t2", "t3"])
    assert unseen_categories(table(a=[3]), Schema.fit(table(a=[1, 2]))) == {}
    with pytest.raises(DataError, match="lacks 1 column of the model: 'town'"):
        unseen_categories(table(**MIXED).drop(["town"]), schema)


# ------------------------------------------------------------------------------------------------ refused


def test_a_column_without_any_cell() -> None:
    for empty in (pa.nulls(2), pa.array([None, np.nan], pa.float64()), pa.array(["?", ""])):
        with pytest.raises(DataError, match=r"column 'a b' has no cell that is not missing; drop it \(--drop 'a b'\)"):
            Schema.fit(table(**{"a b": empty, "y": [1, 2]}))


def test_an_identifier() -> None:
    ids = [f"u{at}" for at in range(1500)]
    expected = r"column 'id' is text and has 1,500 different texts in 2,000 rows, 1,000 of them only once.*--drop id"
    with pytest.raises(DataError, match=expected):
        Schema.fit(table(id=ids + ids[:500]))
    assert Schema.fit(table(id=ids + ids[:501])).columns[0].name == "id"
    assert Schema.fit(table(id=ids * 2)).columns[0].name == "id"
    with pytest.warns(UserWarning, match=r"'id' is text with a value of its own in 900 of 900 rows.*\(--drop id\)"):
        assert Schema.fit(table(id=ids[:900])).columns[0].name == "id"


def test_numbers_with_a_word_among_them() -> None:
    numbers = [str(at) for at in range(1500)]
    with pytest.raises(DataError, match=r"because of cells like 'n/k' \(the table, row 1501\).*--missing n/k if"):
        Schema.fit(table(a=[*numbers, "n/k"]))
    with pytest.warns(UserWarning, match=r"column 'a' is text because of cells like 'n/k' \(the table, row 101\)"):
        Schema.fit(table(a=[*numbers[:100], "n/k"]))
    with pytest.warns(UserWarning, match="column 'a' is text because of cells like '0,5'.*write all its cells alike"):
        Schema.fit(table(a=[f"{number},5" for number in numbers[:50]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Schema.fit(table(a=[*numbers[:5], "n/k"], b=["250", "V27", "E9"] * 2))


def test_too_large_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(a=[1.0] * 300, t=[f"w{at % 100}" for at in range(300)])
    schema = Schema.fit(rows)
    monkeypatch.setattr(encoding, "free_memory", lambda: 20_000)
    assert sparse.issparse(schema.transform(rows))
    with pytest.raises(DataError, match=r"takes 0.0 GiB as a float64 matrix of 300 x 101.*without --device cuda"):
        schema.transform(rows, dense=True)
    monkeypatch.setattr(encoding, "free_memory", lambda: 10_000)
    with pytest.raises(DataError, match=r"takes 0.0 GiB to encode as sparse float64 rows.*use fewer rows or columns"):
        schema.transform(rows)
    monkeypatch.setattr(encoding, "free_memory", lambda: 1000)
    few = table(t=["a", "b", "c"] * 100)
    with pytest.raises(DataError, match=r"most of it is text column 't' with 3 categories: --drop t"):
        Schema.fit(few).transform(few)
    with pytest.raises(DataError, match="use fewer rows or columns"):
        Schema.fit(rows.take(["a"])).transform(rows.take(["a"]).take_rows(np.zeros(2000, int)))


def test_numbers_too_large() -> None:
    with pytest.raises(DataError, match="column 'a' are too large to average"):
        Schema.fit(table(a=[1.5e308, 1.7e308]))
    rows = table(b=[1.0, 2.0], a=[1.0, 1e39])
    schema = Schema.fit(rows)
    assert schema.transform(rows)[1, 1] == 1e39
    with pytest.raises(DataError, match="row 2: the number in column 'a' is too large for float32"):
        schema.transform(rows, np.float32)


def test_columns_that_are_missing_or_of_another_kind() -> None:
    schema = Schema.fit(table(**MIXED))
    with pytest.raises(DataError, match="lacks 2 columns of the model: 'age', 'sex'; it has rich, pay, town"):
        schema.transform(table(**MIXED).drop(["age", "sex"]))
    with pytest.raises(DataError, match="row 2: column 'age' held numbers in training, not 'x'"):
        schema.transform(table(**(MIXED | {"age": ["1", "x", None, None]})))
    with pytest.raises(
        DataError, match=r"lacks 2 columns of the model: 'c1', 'c2'; it has 1 column; if it has no header"
    ):
        Schema.fit(matrix([[1, 2, 3]])).transform(matrix([[1]]))


# ------------------------------------------------------------------------------------------------ stored


FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda mean: abs(mean) < 8e307)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
COLUMNS = st.lists(
    st.builds(NumericColumn, TEXTS, st.none() | FINITE, st.booleans())
    | st.builds(TextColumn, TEXTS, st.lists(TEXTS, min_size=1, max_size=5).map(tuple), st.booleans()),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(columns=COLUMNS, first_index=st.sampled_from([0, 1]))
def test_json_gives_the_same_schema(columns: list[Any], first_index: int) -> None:
    schema = Schema(tuple(columns), first_index)
    assert Schema.from_json(schema.to_json()) == schema
    assert isinstance(json.loads(schema.to_json()), dict)


CELL = st.none() | st.sampled_from(["x", "y", " x", "?", "ü", "1"])
NUMBER = st.none() | st.floats(-1e6, 1e6) | st.just(float("nan"))


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(NUMBER, CELL, NUMBER), min_size=1, max_size=20))
def test_a_stored_schema_gives_the_same_matrix(rows: list[Any]) -> None:
    a, t, b = zip(*rows, strict=True)
    data = table(a=pa.array([*a, 1.0], pa.float64()), t=pa.array([*t, "z"]), b=pa.array([*b, 2.0], pa.float64()))
    schema = Schema.fit(data)
    X = schema.transform(data)
    assert X.shape == (len(rows) + 1, len(schema.feature_names))
    assert np.isfinite(X).all()
    np.testing.assert_array_equal(Schema.from_json(schema.to_json()).transform(data), X)
    one_hot = X[:, -schema.text[0].width :]
    np.testing.assert_array_equal(one_hot.sum(axis=1), 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"schema_version": 1}',
        '{"schema_version": 1, "first_index": 0, "columns": [{"name": 1}]}',
    ],
)
def test_not_a_schema(text: str) -> None:
    with pytest.raises(DataError, match="not a schema of gpu-logreg"):
        Schema.from_json(text)


def test_columns_that_are_only_numbered_are_only_counted() -> None:
    schema = Schema.fit(matrix(np.zeros((2, 3))))
    assert json.loads(schema.to_json()) == {"schema_version": 2, "first_index": 0, "columns": 3}
    assert Schema.from_json(schema.to_json()) == schema
    named = '{"name": "c0", "kind": "numeric", "mean": null, "flagged": false}'
    before = f'{{"schema_version": 1, "first_index": 0, "columns": [{named}]}}'  # as written until then
    assert Schema.from_json(before) == Schema((NumericColumn("c0"),))
    others = Schema((NumericColumn("c1"), NumericColumn("c0")))
    assert json.loads(others.to_json())["schema_version"] == 1
    assert Schema.from_json(others.to_json()) == others


def test_a_newer_schema() -> None:
    with pytest.raises(DataError, match="newer gpu-logreg; upgrade"):
        Schema.from_json('{"schema_version": 4, "first_index": 0, "columns": [{"kind": "date"}]}')
