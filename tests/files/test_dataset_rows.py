"""Rows of Parquet and Arrow files, of folders and of data sets of pyarrow's, read a batch at a time."""

import os
from decimal import Decimal

import numpy as np
import pytest

from gpu_logreg.errors import DataError
from gpu_logreg.files import dataset_rows
from gpu_logreg.files.dataset_rows import DatasetRows
from gpu_logreg.files.datasets import open_dataset

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
ds = pytest.importorskip("pyarrow.dataset")

N = 1000


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(dataset_rows, "_BATCH_ELEMENTS", 1)


def table(n=N, seed=0):
    rng = np.random.default_rng(seed)
    numbers = {"a": rng.standard_normal(n), "b": rng.standard_normal(n).astype("f4"), "c": rng.integers(0, 9, n)}
    return pa.table({**numbers, "flag": rng.random(n) < 0.5, "y": rng.choice(["no", "yes"], n), "s": rng.random(n)})


def all_rows(rows, wanted=None):
    out = np.full((rows.n_rows, rows.n_columns), np.nan, rows.dtype, order="F")
    for first, piece in rows.pieces(wanted or [slice(0, rows.n_rows)]):
        piece.write(slice(0, piece.shape[0]), out[first : first + piece.shape[0]])
    return out


def matrix(t):
    return np.column_stack([t[name].to_numpy().astype(np.float64) for name in ("a", "b", "c", "flag")])


def check(rows, t):
    assert rows.names == ("a", "b", "c", "flag")
    assert (rows.n_rows, rows.dtype) == (t.num_rows, np.float64)
    np.testing.assert_array_equal(all_rows(rows), matrix(t))
    labels = [label for column in rows.column("y") for label in column.to_pylist()]
    assert labels == t["y"].to_pylist()


@pytest.mark.parametrize("groups", [1, 300, N, 2 * N])
def test_a_parquet_file(tmp_path, groups):
    t = table()
    pq.write_table(t, tmp_path / "d.parquet", row_group_size=groups if groups > 1 else 7)
    check(DatasetRows(open_dataset(tmp_path / "d.parquet"), "y", "s"), t)


def test_only_row_groups_that_are_wanted_are_read(tmp_path):
    t = table()
    pq.write_table(t, tmp_path / "d.parquet", row_group_size=100)
    rows = DatasetRows(open_dataset(tmp_path / "d.parquet"), "y", "s")
    wanted = [slice(150, 160), slice(690, 710)]
    pieces = [(first, piece.shape[0]) for first, piece in rows.pieces(wanted)]
    assert pieces == [(100, 100), (600, 100), (700, 100)]
    got = all_rows(rows, wanted)
    for part in wanted:
        np.testing.assert_array_equal(got[part], matrix(t)[part])


@pytest.mark.parametrize("ending", [".arrow", ".feather", ".ipc"])
def test_an_arrow_file(tmp_path, ending):
    t, path = table(), tmp_path / f"d{ending}"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, t.schema) as writer:
        writer.write_table(t, max_chunksize=130)
    check(DatasetRows(open_dataset(path), "y", "s"), t)


def test_a_folder_and_a_pattern_in_the_order_of_names(tmp_path):
    parts = [table(70, seed) for seed in range(3)]
    for k, t in enumerate(parts):
        pq.write_table(t, tmp_path / f"part-{k}.parquet", row_group_size=40)
    (tmp_path / "_SUCCESS").write_text("")
    check(DatasetRows(open_dataset(tmp_path), "y", "s"), pa.concat_tables(parts))
    check(DatasetRows(open_dataset(tmp_path / "part-[02].parquet"), "y", "s"), pa.concat_tables(parts[::2]))


def test_a_folder_partitioned_as_hive_does(tmp_path):
    t = table()
    ds.write_dataset(t, tmp_path / "d", format="parquet", partitioning=["c"], partitioning_flavor="hive")
    rows = DatasetRows(open_dataset(tmp_path / "d"), "y", "s")
    assert rows.names == ("a", "b", "flag", "c")
    expected = t.sort_by("c")
    got = all_rows(rows)
    np.testing.assert_array_equal(got[:, 3], expected["c"].to_numpy())
    np.testing.assert_array_equal(np.sort(got[:, 0]), np.sort(t["a"].to_numpy()))
    by_c = DatasetRows(open_dataset(tmp_path / "d"), "c", "s", drop=["y"])
    labels = np.concatenate([column.to_numpy() for column in by_c.column("c")])
    np.testing.assert_array_equal(labels, expected["c"].to_numpy())


def test_any_data_set_of_pyarrow(tmp_path):
    t = table()
    check(DatasetRows(ds.dataset(t), "y", "s"), t)
    pa.csv = pytest.importorskip("pyarrow.csv")
    pa.csv.write_csv(t, tmp_path / "d.csv")
    rows = DatasetRows(ds.dataset(tmp_path / "d.csv", format="csv"), "y", "s")
    np.testing.assert_allclose(all_rows(rows), matrix(t), rtol=1e-6)
    with pytest.raises(DataError, match="the data set has a filter, and its rows are not counted"):
        DatasetRows(ds.dataset(t).filter(ds.field("a") > 0), "y", "s")


def test_dtypes():
    t = pa.table({"a": pa.array([1.0, 2.0], pa.float32()), "b": pa.array([1, 2], pa.int16()), "y": [0, 1]})
    assert DatasetRows(ds.dataset(t), "y").dtype == np.float32
    decimal = pa.table({"a": pa.array([Decimal(1), Decimal(2)]), "y": [0, 1]})
    np.testing.assert_array_equal(all_rows(DatasetRows(ds.dataset(decimal), "y")), [[1.0], [2.0]])


def refused(message, path, *names, **options):
    with pytest.raises(DataError, match=message) as raised:
        all_rows(DatasetRows(open_dataset(path), *names, **options))
    assert "\n" not in str(raised.value)


def test_columns_that_cannot_be_used(tmp_path):
    path = tmp_path / "d.parquet"
    pq.write_table(table(), path)
    refused("d.parquet: column 'y' holds string values; encode them as numbers, or drop it", path)
    refused("has no column 'z'", path, "z")
    refused("d.parquet: has no column but 'a'", path, "a", drop=["b", "c", "flag", "y", "s"])
    a = [1.0] * 2500
    a[2003] = None
    pq.write_table(pa.table({"a": a, "y": [0] * 2500}), path, row_group_size=1000)
    refused("d.parquet: column 'a' holds a null at row 2003 of the file; remove or impute it", path, "y")


def test_one_bad_file_of_a_folder_is_named(tmp_path):
    for k in range(4):
        pq.write_table(table(300, k), tmp_path / f"part-{k}.parquet", compression="none", use_dictionary=False)
    bad = tmp_path / "part-2.parquet"
    whole = bad.read_bytes()
    for damaged in (whole[:-200], b"", b"not a Parquet file at all"):
        bad.write_bytes(damaged)
        refused(r"part-2\.parquet: is truncated or damaged \(", tmp_path, "y", "s")
    bad.write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])  # in the first page
    refused(r"part-2\.parquet: is truncated or damaged \(", tmp_path, "y", "s")
    pq.write_table(table(300).drop_columns(["b"]), bad)
    refused(r"part-2\.parquet: has no column 'b', which other files have", tmp_path, "y", "s")


def test_a_file_that_changes_or_goes_while_it_is_read(tmp_path):
    for k in range(2):
        pq.write_table(table(300, k), tmp_path / f"part-{k}.parquet")
    rows = DatasetRows(open_dataset(tmp_path), "y", "s")
    pq.write_table(table(301, 5), tmp_path / "part-1.parquet")
    with pytest.raises(DataError, match=r"part-1.parquet: was changed while it is read; train on files that nobody"):
        all_rows(rows)
    os.remove(tmp_path / "part-1.parquet")
    with pytest.raises(DataError, match=r"part-1.parquet: (was changed|is no longer there)"):
        all_rows(rows)


def test_paths_that_are_no_files(tmp_path):
    refused("nothing.parquet: no such file", tmp_path / "nothing.parquet")
    refused(r"\*.parquet: no such file", tmp_path / "*.parquet")
    refused("holds no Parquet or Arrow files of one format", tmp_path)
    (tmp_path / "a.txt").write_text("x")
    refused("holds other files than Parquet or Arrow files of one format", tmp_path)


def test_the_place_of_a_row(tmp_path):
    for k in range(2):
        pq.write_table(table(300, k), tmp_path / f"part-{k}.parquet")
    rows = DatasetRows(open_dataset(tmp_path), "y", "s")
    assert rows.place(299).endswith("part-0.parquet: ")
    assert rows.place(300).endswith("part-1.parquet: ")
