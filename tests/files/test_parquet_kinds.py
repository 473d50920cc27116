"""Parquet columns of every kind: bytes that are text, lists and structs, decimals, half floats, spans of time."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import succeed

from gpu_logreg.errors import DataError
from gpu_logreg.files.load import (
    Table,
    as_table,
    load_labelled_data,
    load_prediction_data,
    load_training_data,
    read_table,
)
from gpu_logreg.files.schema import Schema

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str = "d.parquet", **columns: Any) -> Path:
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    return write


def cells(table: Any, name: str = "a") -> list[Any]:
    assert isinstance(table, Table)
    return list(table.arrow.column(name).to_pylist())


def embeddings(n: int = 40, d: int = 4, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(np.float32)
    return X, (X[:, 1] + rng.normal(size=n) > 0).astype(int)


# ------------------------------------------------------------------------------------------------ one value a cell


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary(2), pa.dictionary(pa.int8(), pa.binary())], ids=str
)
def test_bytes_that_are_utf8_are_text(kind: Any, write: Write) -> None:
    text = pa.array(["é".encode(), b"uv", None], pa.binary())
    rows, y = load_training_data(
        write(
            a=text.cast(kind) if not pa.types.is_dictionary(kind) else text.dictionary_encode(),
            y=pa.array([b"no", b"yes", b"no"]),
        ),
        "y",
    )
    assert rows.kind("a") == "text"
    assert cells(rows) == ["é", "uv", None]
    assert y.tolist() == ["no", "yes", "no"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(1)], ids=str)
def test_bytes_that_are_not_text_are_refused(kind: Any, write: Write) -> None:
    with pytest.raises(DataError, match=r"d.parquet, row 2: column 'a' is not UTF-8 text; .*drop it \(--drop a\)"):
        load_training_data(write(a=pa.array([b"x", b"\xff"], kind), y=[0, 1]), "y")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([decimal.Decimal("1.25"), None], pa.decimal128(9, 2)), [1.25, None]),
        (pa.array([decimal.Decimal("-3")], pa.decimal256(50, 2)), [-3]),
        (pa.array(np.array([0.5, 7], np.float16)), [0.5, 7]),
        (pa.array([1, 2, 1]).dictionary_encode(), [1, 2, 1]),
        (pa.array(["u", "v", "u"], pa.large_string()), ["u", "v", "u"]),
        (pa.array(["u", None], pa.string_view()), ["u", None]),
        (pa.array(["v", "u"], pa.large_string()).dictionary_encode(), ["v", "u"]),
        (pa.array([43_200, None, -86_400], pa.duration("s")), [0.5, None, -1]),
        (pa.array([10**9 * 43_200], pa.duration("ns")), [0.5]),
        (pa.nulls(2), [None, None]),
        (pa.array([True, None]), [True, None]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_columns_of_one_value(column: Any, expected: list[Any], write: Write) -> None:
    assert cells(read_table(write(a=column))) == expected
    assert cells(as_table(pa.table({"a": column}))) == expected


# ------------------------------------------------------------------------------------------------ lists


def list_types() -> list[Any]:
    return [pa.list_(pa.float32(), 4), pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16(), 4)]


@pytest.mark.parametrize("kind", list_types(), ids=str)
def test_embeddings_are_columns(kind: Any, write: Write, tmp_path: Path) -> None:
    X, y = embeddings()
    X = X.astype(np.float16)
    path = write(id=np.arange(40) % 7, emb=pa.array(list(X), kind), y=y)
    rows, labels = load_training_data(path, "y")
    assert rows.names == ("id", "emb[0]", "emb[1]", "emb[2]", "emb[3]")
    schema = Schema.from_json(Schema.fit(rows).to_json())
    np.testing.assert_array_equal(schema.transform(rows)[:, 1:], X)
    assert labels.tolist() == y.tolist()
    np.testing.assert_array_equal(schema.transform(load_prediction_data(path, schema))[:, 1:], X)
    np.testing.assert_array_equal(load_labelled_data(path, schema, "y")[1], y)
    assert load_training_data(path, "y", drop=["emb[1]", "id"])[0].names == ("emb[0]", "emb[2]", "emb[3]")
    assert load_training_data(path, "y", drop=["emb"])[0].names == ("id",)
    assert read_table(path, columns=["emb", "y"]).names == ("emb[0]", "emb[1]", "emb[2]", "emb[3]", "y")
    narrow = write("n.parquet", id=[1], emb=pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)))
    with pytest.raises(DataError, match=r"lacks 2 columns of the model: 'emb\[2\]', 'emb\[3\]'; it has id, emb\[0\]"):
        load_prediction_data(narrow, schema)


def test_missing_lists_and_elements(write: Write) -> None:
    for kind in (pa.list_(pa.int64(), 2), pa.list_(pa.int64())):
        lists = [None] * 1500 + [[1, 2], [3, None]]
        table = read_table(write(a=pa.array(lists, kind)))
        assert table.names == ("a[0]", "a[1]")
        assert cells(table, "a[0]")[-3:] == [None, 1, 3]
        assert cells(table, "a[1]")[-3:] == [None, 2, None]


def test_lists_in_lists_structs_and_tensors(write: Write) -> None:
    squares = pa.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], pa.list_(pa.list_(pa.int64(), 2), 2))
    places = pa.array([{"city": "x", "at": [1.0, 2.0]}, None])
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(4.0).reshape(2, 2))
    path = write(s=squares, p=places, t=tensors, y=[0, 1])
    rows, _ = load_training_data(path, "y")
    names = ["s[0][0]", "s[0][1]", "s[1][0]", "s[1][1]", "p.city", "p.at[0]", "p.at[1]", "t[0]", "t[1]"]
    assert list(rows.names) == names
    assert [cells(rows, name) for name in names] == [
        *([1, 5], [2, 6], [3, 7], [4, 8]),
        *(["x", None], [1, None], [2, None], [0, 2], [1, 3]),
    ]
    assert as_table(pq.read_table(path)).names == (*names, "y")
    assert load_training_data(path, "y", drop=["p", "s", "t[1]"])[0].names == ("t[0]",)
    assert read_table(path, columns=["p.at[1]"]).names == ("p.at[1]",)


def test_lists_of_several_lengths_or_of_text_are_refused_where_they_are_read(write: Write) -> None:
    path = write(tags=[["u"], ["v", "w"]], some=[[1, 2], [3]], y=[0, 1], x=[5, 6])
    assert load_training_data(path, "y", drop=["tags", "some"])[0].names == ("x",)
    with pytest.raises(DataError, match=r"column 'tags' holds list<.*string> values; .*drop it \(--drop tags\)"):
        load_training_data(path, "y", drop=["some"])
    expected = r"row 2: column 'some' holds a list of 1 numbers, and the lists before it hold 2; .*\(--drop some\)"
    with pytest.raises(DataError, match=expected):
        load_training_data(path, "y", drop=["tags"])
    late = write("late.parquet", a=[[1, 2]] * 2000 + [[1]])
    with pytest.raises(DataError, match=r"late.parquet, row 2001: column 'a' holds a list of 1 numbers"):
        read_table(late)
    with pytest.raises(DataError, match="has no column 'other'"):
        load_training_data(path, "y", drop=["other"])
    with pytest.raises(DataError, match="column 'm' holds map<"):
        read_table(write("m.parquet", m=pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))))


def test_names_that_a_struct_has_too(write: Write) -> None:
    with pytest.raises(DataError, match="several of its columns have one name"):
        read_table(write(**{"p": pa.array([{"u": 1}]), "p.u": [1]}))


def test_embeddings_on_the_command_line(write: Write, tmp_path: Path, capsys: Any) -> None:
    X, y = embeddings(80)
    path, model = write(emb=pa.array(list(X), pa.list_(pa.float32(), 4)), y=y), tmp_path / "m"
    assert "80 rows, 4 columns" in succeed(capsys, "train", path, "--target", "y", "--model", model).err
    assert len(succeed(capsys, "predict", model, path).out.split()) == 81
    assert "emb[1]" in succeed(capsys, "info", model).out
