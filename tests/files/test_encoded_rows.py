"""Tables that are read a few rows at a time: the columns and the numbers of the table in memory."""

import csv
import gzip
import os
import tempfile
import warnings
from collections import namedtuple

import numpy as np
import pytest

from gpu_logreg.errors import DataError
from gpu_logreg.estimators.table_sources import read_dataset, read_table
from gpu_logreg.files import column_facts, csv_blocks, row_cache
from gpu_logreg.files.csv_blocks import CsvBlocks
from gpu_logreg.files.dataset_blocks import DatasetBlocks
from gpu_logreg.files.datasets import open_dataset
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.load import load_prediction_data, load_training_data
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.prediction_blocks import prediction_blocks
from gpu_logreg.files.row_weights import take_weights
from gpu_logreg.files.schema import Schema

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

N = 5000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 2**15)
    monkeypatch.setattr("gpu_logreg.files.dataset_rows._BATCH_ELEMENTS", 2**10)


def text(sep=",", n=N):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, 3)).round(6), rng.choice(["no", "yes"], n)
    lines = [sep.join([*map(repr, x.tolist()), label]) for x, label in zip(X, y, strict=True)]
    return "\n".join([sep.join("abcy"), *lines]) + "\n", X, y


PLAIN = FileOptions()


def read(path, target="y", weight=None, drop=(), options=PLAIN):
    blocks = DatasetBlocks(open_dataset(path), str(path)) if path.suffix == ".parquet" else CsvBlocks(path, options)
    return read_table(blocks, target, weight, drop, options)


def numbers(rows):
    if not rows.fills:
        return np.concatenate([X.toarray() for _, X in rows.pieces(rows.parts)])
    out = np.empty((rows.n_rows, rows.n_columns))
    rows.fill(slice(0, rows.n_rows), out)
    return out


@pytest.mark.parametrize("sep", [",", ";", "\t", " "])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_numbers_and_labels(tmp_path, sep, ending):
    content, X, y = text(sep)
    path = tmp_path / f"d{ending}"
    with (gzip.open if ending.endswith("gz") else open)(path, "wt") as file:
        file.write(content)
    rows, learned, labels = read(path)
    np.testing.assert_array_equal(numbers(rows), X)
    classes, codes = labels.encoded()
    assert classes[codes].tolist() == y.tolist()
    assert rows.names == ("a", "b", "c")
    assert learned.schema.is_plain
    assert rows.nbytes == X.nbytes
    assert rows.place(0) == f"{path}: "


def test_options_and_columns_that_are_left_out(tmp_path):
    content, X, _ = text(";", 50)
    path = tmp_path / "d.csv"
    path.write_text("a line\n" + content.replace(".", ","))
    rows, _, _ = read(path, drop=["b"], options=FileOptions(skip_rows=1, sep=";"))
    assert rows.names == ("a", "c")
    np.testing.assert_array_equal(numbers(rows), X[:, [0, 2]])


def test_the_temporary_file_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    path = tmp_path / "d.csv"
    path.write_text(text(n=50)[0])
    rows = read(path).rows
    assert os.listdir(tmp_path / "t") == []
    os.remove(path)
    rows.fill(slice(0, 50), np.empty((50, 3)))


def refused(path, message, **options):
    with pytest.raises(DataError, match=message) as raised:
        read(path, **options)
    assert "\n" not in str(raised.value)


def messy(n=3000):
    """Columns of every kind that tables in memory are read for, some of which the first rows do not show."""
    rng = np.random.default_rng(0)
    columns = {
        "": [str(i) for i in range(n)],
        "num": [f"{v:.4f}" for v in rng.standard_normal(n)],
        "int": [str(v) for v in rng.integers(0, 9, n)],
        "late": [str(i % 7) if i < n - 500 else f"{i % 7}.5" for i in range(n)],
        "miss": ["" if rng.random() < 0.1 else f"{rng.random():.3f}" for _ in range(n)],
        "late_miss": ["NA" if i == n - 100 else f"{rng.random():.3f}" for i in range(n)],
        "town": rng.choice(["Bern", " Rome ", "Oslo", ""], n).tolist(),
        "late_town": ["Bern"] * (n - 1) + ["Oslo"],
        "late_text": [str(i % 5) for i in range(n - 1)] + ["many"],
        "bool": rng.choice(["true", "false"], n).tolist(),
        "date": [f"20{rng.integers(10, 20)}-0{rng.integers(1, 9)}-1{rng.integers(0, 9)}" for _ in range(n)],
        "dmy": [f"{rng.integers(13, 28)}.0{rng.integers(1, 9)}.20{rng.integers(10, 20)}" for _ in range(n)],
        "percent": [f"{rng.integers(0, 99)}%" for _ in range(n)],
        "amount": [f"${rng.integers(1, 9)},{rng.integers(100, 999)}.50" for _ in range(n)],
        "null_first": ["" if i < n // 2 else f"{rng.random():.3f}" for i in range(n)],
        "y": rng.choice(["no", "yes"], n).tolist(),
        "s": [f"{v:.3f}" for v in rng.random(n)],
    }
    return columns


def write_csv(path, columns):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def same_columns(schema, other):
    assert len(schema.columns) == len(other.columns)
    for one, two in zip(schema.columns, other.columns, strict=True):
        if getattr(one, "mean", None) is not None:
            assert one.mean == pytest.approx(two.mean, rel=1e-12)
            one, two = (column.__class__(column.name, 0.0, column.had_missing, column.form) for column in (one, two))
        assert one == two


def same_as_in_memory(path, weight="s", target="y", **options):
    """What is read a few rows at a time, held to the code for tables in memory."""
    options = FileOptions(**options)
    whole, labels = load_training_data(path, target, options, weight=weight)
    remarks, marks = whole.remarks, whole.marks
    if weight is not None:
        whole, weights = take_weights(whole, weight)
    schema = Schema.fit(whole)
    rows, learned, collected = read(path, target, weight, options=options)
    same_columns(schema, learned.schema)
    X = schema.transform(whole)
    is_sparse = not isinstance(X, np.ndarray)
    assert rows.kind.is_sparse == is_sparse
    np.testing.assert_allclose(numbers(rows), X.toarray() if is_sparse else X, rtol=1e-12, atol=0)
    assert rows.names == tuple(schema.feature_names)
    assert learned.remarks == remarks
    assert learned.marks == marks
    classes, codes = collected.encoded()
    np.testing.assert_array_equal(classes[codes], labels)
    assert classes.dtype == np.unique(labels).dtype
    if weight is not None:
        np.testing.assert_array_equal(collected.weights, weights)
    kind = "parquet" if path.suffix == ".parquet" else "csv"
    blocks = list(prediction_blocks(path, kind, schema, options, marks))
    assert len(blocks) > 1
    found = [schema.transform(block) for block in blocks]
    found = np.concatenate([part.toarray() if is_sparse else part for part in found])
    again = schema.transform(load_prediction_data(path, schema, options, marks=marks))
    np.testing.assert_array_equal(found, again.toarray() if is_sparse else again)
    return learned


def test_csv_with_columns_of_every_kind(tmp_path):
    path = tmp_path / "d.csv"
    write_csv(path, messy())
    learned = same_as_in_memory(path)
    assert "column 1, which has no name, is the index of the rows, and is left out" in learned.remarks[-1]
    same_as_in_memory(path, text=("int",))
    same_as_in_memory(path, missing=("3", "Bern", "NA"))


def test_many_categories_are_sparse(tmp_path):
    columns = messy()
    columns["word"] = [f"w{i % 400}" for i in range(len(columns["y"]))]
    write_csv(tmp_path / "d.csv", columns)
    same_as_in_memory(tmp_path / "d.csv")


@pytest.mark.parametrize("labels", [["0", "1"], ["true", "false"], ["a", "2"], ["10", "9", "11"]])
def test_labels_are_those_of_a_table_in_memory(tmp_path, labels):
    columns = messy()
    columns["y"] = [labels[i % len(labels)] for i in range(len(columns["y"]))]
    write_csv(tmp_path / "d.csv", columns)
    same_as_in_memory(tmp_path / "d.csv")


def test_a_decimal_comma(tmp_path):
    columns = {name: [cell.replace(".", ",") for cell in cells] for name, cells in messy().items()}
    del columns["dmy"], columns["amount"], columns["null_first"]
    write_csv(tmp_path / "d.csv", columns)
    same_as_in_memory(tmp_path / "d.csv")


def test_parquet_with_columns_of_every_kind(tmp_path):
    n, columns = 3000, messy()
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "x": rng.standard_normal(n),
            "none": pa.array([None if i % 9 == 0 else float(i) for i in range(n)]),
            "nan": np.where(rng.random(n) < 0.1, np.nan, 1.0),
            "town": pa.array([cell.strip() or None for cell in columns["town"]]),
            "code": pa.array([cell.strip() for cell in columns["town"]]).dictionary_encode(),
            "digits": [str(i % 3) for i in range(n)],
            "day": pa.array(columns["date"]).cast("date32"),
            "time": pa.array(rng.integers(0, 10**9, n), pa.timestamp("s")),
            "wide": pa.array(rng.random((n, 3)).tolist(), pa.list_(pa.float64())),
            "flag": rng.random(n) < 0.5,
            "y": columns["y"],
            "s": rng.random(n),
        }
    )
    path = tmp_path / "d.parquet"
    pq.write_table(table, path, row_group_size=700)
    same_as_in_memory(path)
    table = table.set_column(10, "y", pa.array(columns["date"]).cast("date32"))
    pq.write_table(table, path, row_group_size=700)
    same_as_in_memory(path, weight=None)


def test_parquet_of_numbers_stays_in_its_file(tmp_path):
    rng = np.random.default_rng(1)
    table = pa.table({"a": rng.random(3000), "b": rng.random(3000), "y": rng.integers(0, 2, 3000)})
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=700)
    blocks = DatasetBlocks(open_dataset(tmp_path / "d.parquet"))
    found = read_dataset(blocks, "y", None)
    assert found.rows is None
    assert [column.mean for column in found.learned.schema.numeric] == pytest.approx(
        [np.mean(table[name]) for name in "ab"]
    )
    table = table.set_column(1, "b", pa.array([None, *table["b"].to_pylist()[1:]]))
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=700)
    found = read_dataset(DatasetBlocks(open_dataset(tmp_path / "d.parquet")), "y", None)
    assert found.rows.names == ("a", "b", "b is missing")


def test_what_is_refused(tmp_path):
    path, lines = tmp_path / "d.csv", text()[0].splitlines()

    def written(line, at=4000):
        path.write_text("\n".join([*lines[:at], line, *lines[at + 1 :]]))

    written("1.0,2.0,no")
    refused(path, r"d.csv: line 4001 has 3 fields where 4 were expected")
    refused(path, "has no column 'z'", drop=["z"])
    refused(path, "has no column 'z'", target="z")
    written("1.0,2.0,3.0,")
    refused(path, r"d.csv, line 4001: the cell of column 'y' is missing, and labels cannot be")
    refused(path, r"d.csv, line 2: column 'y' is to hold row weights, not text", target=None, weight="y")
    written("1.0,,2.0,no")
    refused(path, r"d.csv, line 4001: the weight in column 'b' is missing", weight="b")
    written("1.0,inf,2.0,no")
    refused(path, r"d.csv, line 4001: column 'b' holds an infinity")
    written("1.0,oops,2.0,no")
    refused(path, r"column 'b' is text because of cells like 'oops' \(.*d.csv, line 4001\) and has 4,997 different")
    path.write_text("y\nno\n")
    refused(path, "d.csv: has no column but 'y'")
    columns = messy()
    columns["num"] = [""] * len(columns["y"])
    write_csv(path, columns)
    refused(path, "column 'num' has no cell that is not missing; drop it")
    words = {"a": ["u", "v"] * 2000 + ["Total"], "b": ["u", "v"] * 2000 + ["w"], "y": ["no", "yes"] * 2000 + ["no"]}
    write_csv(path, words)
    refused(path, r"d.csv, line 4002: holds 'Total' in column 'a', like a row of totals")
    words = {name: [*cells[:100], name, *cells[100:-1]] for name, cells in words.items()}
    write_csv(path, words)
    refused(path, r"d.csv, line 102: repeats the header; delete the line")


def test_rows_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 2**10)
    monkeypatch.setattr(csv_blocks, "_LONG_BLOCK_BYTES", 2**14)
    columns = {"x": messy()["num"], "word": ["a", "b"] * 1500, "y": ["no", "yes"] * 1500}
    for at, length in ((400, 3000), (0, 3000), (400, 30_000)):
        words = list(columns["word"])
        words[at] = "long" * (length // 4)
        write_csv(tmp_path / "d.csv", columns | {"word": words})
        if length > 2**14:
            refused(tmp_path / "d.csv", "d.csv: a row is longer than 16 MiB; is a quote")
        else:
            same_as_in_memory(tmp_path / "d.csv", weight=None)


def test_too_many_texts(tmp_path, monkeypatch):
    monkeypatch.setattr(column_facts, "MOST_TEXTS", 500)
    monkeypatch.setattr(column_facts, "_COMPACTED", 100)
    monkeypatch.setattr("gpu_logreg.files.schema_by_block.MOST_TEXTS", 500)
    rng = np.random.default_rng(0)
    columns = {"a": [f"w{i}" for i in rng.integers(0, 700, 4000)], "y": ["no", "yes"] * 2000}
    write_csv(tmp_path / "d.csv", columns)
    refused(tmp_path / "d.csv", "column 'a' is text and has more than 500 different texts; drop it")
    columns["a"] = ["", *map(str, rng.random(3999))]  # numbers below an empty first block
    columns["a"][:1000] = [""] * 1000
    write_csv(tmp_path / "d.csv", columns)
    same_as_in_memory(tmp_path / "d.csv", weight=None)


def test_a_column_that_counts_the_rows_is_told(tmp_path):
    columns = {"id": [str(i) for i in range(3000)], "day": [f"201512{10 + i % 9}" for i in range(3000)]}
    columns |= {"x": messy()["num"], "y": messy()["y"]}
    write_csv(tmp_path / "d.csv", columns)
    with warnings.catch_warnings(record=True) as one:
        warnings.simplefilter("always")
        load_training_data(tmp_path / "d.csv", "y")
    with warnings.catch_warnings(record=True) as two:
        warnings.simplefilter("always")
        read(tmp_path / "d.csv")
    assert len(one) == 2
    assert [str(warning.message) for warning in two] == [str(warning.message) for warning in one]


def test_new_rows_of_another_kind(tmp_path):
    columns = messy()
    write_csv(tmp_path / "d.csv", columns)
    learned = read(tmp_path / "d.csv", weight="s").learned
    columns["num"][2900] = "1,234.5"
    columns["town"][2900] = "Paris"
    write_csv(tmp_path / "new.csv", columns)
    schema, marks = learned.schema, learned.marks
    found = np.concatenate(
        [
            schema.transform(rows)
            for rows in prediction_blocks(tmp_path / "new.csv", "csv", schema, FileOptions(), marks)
        ]
    )
    whole = load_prediction_data(tmp_path / "new.csv", schema, marks=marks)
    np.testing.assert_array_equal(found, schema.transform(whole))
    columns["num"][2900] = "oops"
    write_csv(tmp_path / "new.csv", columns)
    with pytest.raises(DataError, match=r"new.csv, line 2902: column 'num' held numbers in training, not 'oops'"):
        list(prediction_blocks(tmp_path / "new.csv", "csv", schema, PLAIN, marks))
    del columns["num"]
    write_csv(tmp_path / "new.csv", columns)
    with pytest.raises(DataError, match=r"new.csv: .*'num'"):
        list(prediction_blocks(tmp_path / "new.csv", "csv", schema, PLAIN, Marks()))


def test_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "d.csv"
    path.write_text(text()[0])
    usage = namedtuple("usage", "free")
    message = "d.csv: is decoded into numbers in the temporary folder .*, which has no room for .*; set TMPDIR"
    monkeypatch.setattr(row_cache.shutil, "disk_usage", lambda folder: usage(2**28 + 1000))
    refused(path, message)
    checks = []
    monkeypatch.setattr(row_cache, "_CHECKED_BYTES", 2**14)
    monkeypatch.setattr(row_cache.shutil, "disk_usage", lambda _: checks.append(1) or usage(2**30 // len(checks)))
    refused(path, message)
    assert len(checks) > 2

    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(row_cache.shutil, "disk_usage", lambda folder: usage(2**40))
    monkeypatch.setattr(row_cache.tempfile, "TemporaryFile", Full)
    refused(path, message)
