from __future__ import annotations

import bz2
import gzip
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import Write, refusal, train, writer
from real_data import real_data
from scipy import sparse
from sweeps import slow

from gpu_logreg.errors import DataError, MissingDependencyError
from gpu_logreg.files import libsvm
from gpu_logreg.files.load import (
    FileOptions,
    Matrix,
    Table,
    as_table,
    load_labelled_data,
    load_prediction_data,
    read_table,
)
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.unseen import unseen_categories

NO_HEADER = FileOptions(header=False)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return writer(tmp_path)


def cells(table: Any) -> dict[str, list[Any]]:
    assert isinstance(table, Table)
    return table.arrow.to_pydict()


# ---------------------------------------------------------------------------------------------------- CSV that reads


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_the_separator_is_found(sep: str, write: Any) -> None:
    table, y = train(write("d.csv", "a,b,y\n1,x,0\n2.5,u v,1\n".replace(",", sep)))
    assert cells(table) == {"a": [1.0, 2.5], "b": ["x", "u v"]}
    assert y.tolist() == [0, 1]
    assert y.dtype == np.int64


def test_another_separator_may_be_given(write: Any) -> None:
    table, _ = train(write("d.csv", "1 2 0\n3 4 1\n"), "c2", FileOptions(header=False, sep=" "))
    assert cells(table) == {"c0": [1, 3], "c1": [2, 4]}
    table, _ = train(write("d.csv", "a\tb, c\ty\n1\t2\t0\n"), options=FileOptions(sep="\\t"))
    assert table.names == ("a", "b, c")


def test_blanks_around_names_and_cells_do_not_count(write: Any) -> None:
    table, y = train(write("d.csv", "a, b , y\n 1, x ,no\n 2 ,  x, no \n"))
    assert cells(table) == {"a": [1, 2], "b": ["x", "x"]}
    assert y.tolist() == ["no", "no"]
    assert y.dtype.kind == "U"


@pytest.mark.parametrize("word", ["", " ", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", " ?", "   ?  "])
def test_missing_cells(word: str, write: Any) -> None:
    table, _ = train(write("d.csv", f"a,b,f,y\n1,x,.5,0\n{word},{word},{word},1\n"))
    assert cells(table) == {"a": [1, None], "b": ["x", None], "f": [0.5, None]}
    assert [table.kind(name) for name in table.names] == ["numeric", "text", "numeric"]


def test_numbers_in_every_form(write: Any) -> None:
    table, _ = train(write("d.csv", "a,b,c,y\n+1,1e3,true,0\n-.5,-2E-1,false,1\n 3. ,0,true,0\n"))
    assert table.numbers("a").tolist() == [1, -0.5, 3]
    assert table.numbers("b").tolist() == [1000, -0.2, 0]
    assert table.numbers("c").tolist() == [1, 0, 1]


def test_quotes_line_ends_and_marks(write: Any) -> None:
    table, _ = train(write("d.csv", 'a,"b\nc",y\r\n1,"x,\n""y""",0\r\n\r\n2,z,1'))
    assert cells(table) == {"a": [1, 2], "b c": ['x,\n"y"', "z"]}
    table, _ = train(write("d.csv", b"\xef\xbb\xbfa,y\r1,0\r2,1\r"))
    assert cells(table) == {"a": [1, 2]}


def test_without_a_header_columns_are_numbered(write: Any) -> None:
    table, y = train(write("d.csv", "1,2,0\n3,4,1\n"), "c1", NO_HEADER)
    assert cells(table) == {"c0": [1, 3], "c2": [0, 1]}
    assert y.tolist() == [2, 4]


def test_a_column_without_a_name_is_numbered(write: Any) -> None:
    assert train(write("d.csv", ",a,y\n0,1,0\n"))[0].names == ("c0", "a")


def test_lines_are_skipped(write: Any) -> None:
    path = write("d.csv", "# a title, of sorts\n\na,b,y\n1,2,0\n3,4,1\n")
    assert cells(train(path, options=FileOptions(skip_rows=2))[0]) == {"a": [1, 3], "b": [2, 4]}
    assert "3 lines" not in refusal(lambda: train(path, options=FileOptions(skip_rows=9)), path)


@pytest.mark.parametrize(
    "name", ["d.csv", "d.data", "d.txt", "d.csv.gz", "d.data.bz2", "d.zip", "d_10_percent.gz", "d"]
)
def test_endings_of_csv(name: str, tmp_path: Path) -> None:
    path, data = tmp_path / name, b"1,x,0\n2,y,1\n"
    if name == "d.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/", "")
            archive.writestr("folder/d.csv", data)
    else:
        path.write_bytes({".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)(data))
    table, y = train(path, "c2", NO_HEADER)
    assert cells(table) == {"c0": [1, 2], "c1": ["x", "y"]}
    assert y.tolist() == [0, 1]


def test_columns_are_chosen_before_their_cells_are_read(write: Any) -> None:
    path = write("d.csv", "a,when,b,y\n1,2020-01-01,x,0\n2,2020-01-02,z,1\n")
    assert train(path, drop=["when"])[0].names == ("a", "b")
    assert read_table(path, columns=["b", "a"]).names == ("b", "a")
    assert cells(read_table(path, columns=["a"], text_columns=["a"])) == {"a": ["1", "2"]}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("no,yes,no", np.array(["no", "yes", "no"])),
        ("0,1,0", np.array([0, 1, 0])),
        ("0.5,1,0.5", np.array([0.5, 1, 0.5])),
        ("true,false,true", np.array([True, False, True])),
    ],
)
def test_labels_keep_their_type(column: str, expected: np.ndarray, write: Any) -> None:
    path = write("d.csv", "a,y\n" + "".join(f"1,{cell}\n" for cell in column.split(",")))
    _, y = train(path)
    assert y.dtype == expected.dtype
    assert y.tolist() == expected.tolist()


@pytest.mark.slow
def test_wide_rows_and_many_rows(write: Any) -> None:
    wide = ",".join(str(at) for at in range(50_000))
    matrix, _ = train(write("wide.csv", f"{wide}\n{wide}\n"), "c0", NO_HEADER)
    assert len(matrix.names) == 49_999
    path = write("long.csv", "a,y\n" + "".join(f"{at},{at % 2}\n" for at in range(30_000)) + "x,1\n")
    assert train(path)[0].kind("a") == "text"


# ---------------------------------------------------------------------------------------------------- CSV refused


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", ": is empty"),
        ("\n\n", ": is empty"),
        ("a,y\n", ": has a header but no rows"),
        ("a,b,y\n1,2,0\n1,2\n", ": line 3 has 2 fields where 3 were expected"),
        ("a,b,y\n1,2,0\n\n1,2,3,4\n3,4,5\n", ": line 4 has 4 fields where 3 were expected"),
        ('a,b,y\n1,"2\n\n",0\n1\n', ": line 5 has 1 field where 3 were expected"),
        ('a,b,y\n1,"2,0\n1,2,3\n', ": line 2 has 2 fields where 3 were expected"),
        (
            "a,b\n1,2,0\n3,4,1\n",
            ": line 1, the header, has 2 fields, and the rows have 3; give each column a name in the",
        ),
        ("a,a,y\n1,2,3\n", ": the header names 2 columns 'a'"),
        ("a,y\n1,0\n\ninf,1\n", ", line 4: column 'a' holds an infinity"),
        ("a,y\n1,0\n-1e999,1\n", ", line 3: column 'a' holds an infinity"),
        ("a,y\n1,0\n  inf  ,1\n  NA  ,1\n", ", line 3: column 'a' holds an infinity"),
        ("a,y\n1,0\n2,NA\n", ", line 3: the cell of column 'y' is missing"),
        ("a,y\n1,x\n2,?\n", ", line 3: the cell of column 'y' is missing"),
        ("y\n1\n2\n", ": has no column but the target 'y'"),
        ("a\0b,y\n1,2\n", ": holds binary data where text was expected"),
        (b"\x00\xff\x13" * 99, ": holds binary data where text was expected"),
        ("a,y\n1,2\n".encode("utf-16"), ": is UTF-16 text; convert it"),
        ("a,y\nZoë,0\nx,1\n".encode("latin1"), ", line 2: column 'a' is not UTF-8 text"),
        (b"PK\x03\x04" + bytes(60), ": holds zip data where text was expected"),
        (gzip.compress(b"a,y\n1,2\n", mtime=0), ": holds gzip data where text was expected"),
        ("1 1:0.5 3:2\n-1 2:1\n", ": holds LIBSVM text, not CSV; read it with --format libsvm"),
        ("so it is\nand so on\n", "such as 'so it is'; give the one character between cells with --sep"),
        ('a,y\n"' + "x" * 200_000 + "\n", 'is a quote (") never closed?'),
    ],
)
def test_bad_csv(data: str | bytes, expected: str, write: Any) -> None:
    path = write("d.csv", data)
    assert expected in refusal(lambda: train(path), path)


def test_a_ragged_line_far_down(write: Any) -> None:
    path = write("d.csv", "a,y\n" + "1,0\n" * 300_000 + "1\n")
    assert ": line 300002 has 1 field where 2 were expected" in refusal(lambda: train(path), path)


def test_a_comment_before_the_rows(write: Any) -> None:
    path = write("adult.test.gz", gzip.compress(b"|1x3 Cross validator\n" + b"25, Private, <=50K.\n" * 40))
    message = refusal(lambda: train(path, "c2", NO_HEADER), path)
    assert message == (
        ": line 1 has 1 field where 3 were expected; if it is not a row, pass over it with --skip-rows 1"
    )
    assert len(train(path, "c2", FileOptions(header=False, skip_rows=1))[1]) == 40


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("incom", ": has no column 'incom'; did you mean 'Income'?"),
        ("INCOME", ": has no column 'INCOME'; did you mean 'Income'?"),
        ("zzz", ": has no column 'zzz'; its 3 columns are age, Income, Outcome"),
        (None, ": name the labels with --target; it has age, Income, Outcome"),
    ],
)
def test_unknown_target(target: str | None, expected: str, write: Any) -> None:
    path = write("d.csv", "age,Income,Outcome\n1,2,3\n")
    assert refusal(lambda: train(path, target), path) == expected


def test_unknown_target_of_a_file_without_a_header(write: Any) -> None:
    path = write("d.csv", "39,State-gov,<=50K\n50,Private,<=50K\n")
    assert "use --no-header" in refusal(lambda: train(path, "c2"), path)
    assert refusal(lambda: train(path, "c3", NO_HEADER), path) == ": has no column 'c3'; its columns are c0 to c2"


def test_columns_to_drop(write: Any) -> None:
    path = write("d.csv", "age,y\n1,2\n")
    assert "did you mean 'age'?" in refusal(lambda: train(path, drop=["agee"]), path)
    assert "cannot be dropped as well" in refusal(lambda: train(path, drop=["y"]), path)
    assert "no column but the target" in refusal(lambda: train(path, drop=["age"]), path)


@pytest.mark.parametrize(
    "options",
    [{"sep": ",,"}, {"sep": '"'}, {"sep": "ü"}, {"sep": ""}, {"skip_rows": -1}, {"format": "xlsx"}],
    ids=lambda options: str(options),
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        FileOptions(**options)


# ---------------------------------------------------------------------------------------------------- any file


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "zip", "parquet", "npy", "npz", "svm", "svm.bz2", "unknown"])
def test_missing_empty_and_directory(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"d.{ending}"
    assert refusal(lambda: train(path), path) == ": no such file"
    path.mkdir()
    assert refusal(lambda: train(path), path) == ": is a directory; give one file"
    path.rmdir()
    path.touch()
    assert refusal(lambda: train(path), path) == ": is empty"


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("csv", ": holds binary data"),
        ("csv.gz", ": ends in .gz but holds something else"),
        ("data.bz2", ": ends in .bz2 but holds something else"),
        ("zip", ": ends in .zip but holds something else"),
        ("parquet", ": is not a Parquet file"),
        ("npy", ": is not a NumPy .npy file"),
        ("npz", ": is not a NumPy .npz archive"),
        ("svm", ": line 1 is not LIBSVM text"),
        (
            "unknown",
            ": its ending does not tell its format, and it is not text; name its format: --format csv, parquet,",
        ),
    ],
)
def test_junk_under_every_ending(ending: str, expected: str, write: Any) -> None:
    path = write(f"d.{ending}", bytes(np.random.default_rng(0).integers(0, 256, 3000, dtype=np.uint8)))
    assert expected in refusal(lambda: train(path, None if ending == "svm" else "y"), path)


@pytest.mark.parametrize("data", ["hello\nworld\n", "hello my, dear\nworld, how are, you\nfine thanks\n"])
def test_text_of_no_format(data: str, write: Any) -> None:
    path = write("d.unknown", data)
    assert "neither its ending nor its first lines tell its format; name" in refusal(lambda: train(path), path)


@pytest.mark.parametrize("ending", ["csv.gz", "csv.bz2", "zip", "parquet", "npy", "npz", "svm.gz"])
def test_truncated_and_damaged(ending: str, tmp_path: Path) -> None:
    path, rng = tmp_path / f"d.{ending}", np.random.default_rng(0)
    text = "a,y\n" + "".join(f"{value},0\n" for value in rng.random(2000))
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("d.csv", text)
    elif ending == "parquet":
        pq.write_table(pa.table({"a": rng.random(2000), "y": rng.random(2000)}), path)
    elif ending == "npy":
        np.save(path, rng.random((2000, 2)))
    elif ending == "npz":
        np.savez_compressed(path, X=rng.random((2000, 2)), y=np.arange(2000))
    else:
        text = text if "csv" in ending else "".join(f"1 1:{value}\n" for value in rng.random(2000))
        path.write_bytes({"gz": gzip.compress, "bz2": bz2.compress}[ending.split(".")[1]](text.encode()))
    target = {"npy": "c1", "svm.gz": None}.get(ending, "y")
    whole = path.read_bytes()
    train(path, target)
    for length in (len(whole) // 2, len(whole) - 5, 40):
        path.write_bytes(whole[:length])
        assert "truncated or damaged" in refusal(lambda: train(path, target), path)
    if ending != "npy":  # which has no checksum
        flipped = bytearray(whole)
        flipped[len(whole) // 3] ^= 0xFF
        path.write_bytes(flipped)
        if ending != "parquet":  # which has one only where its writer was told so
            assert "truncated or damaged" in refusal(lambda: train(path, target), path)


def test_an_archive_of_several_files(tmp_path: Path) -> None:
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "a,y\n1,0\n")
        archive.writestr("b/b.csv", "a,y\n1,0\n")
    assert refusal(lambda: train(path), path) == f": holds 2 files (a.csv, b/b.csv); name one of them: {path}:a.csv"


def test_a_file_that_may_not_be_read(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("d.csv", "a,y\n1,0\n")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    assert refusal(lambda: train(path), path) == ": cannot be read: Permission denied"


def test_without_pyarrow(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gpu-logreg\[cli\]'"):
        train(write("d.csv", "a,y\n1,0\n"))
    matrix, _ = train(write("d.svm", "1 1:2\n-1 1:3\n"), None)
    assert isinstance(matrix, Matrix)


# ---------------------------------------------------------------------------------------------------- Parquet, frames


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    held = {
        "a": pa.array([1, None], pa.uint8()),
        "f": pa.array([0.5, np.nan], pa.float32()),
        "t": pa.array([" x", "?"], pa.large_string()),
        "d": pa.array(["u", "v"]).dictionary_encode(),
        "b": [True, None],
        "y": ["no", "yes"],
    }
    pq.write_table(pa.table(held), path)
    table, y = train(path)
    assert [table.kind(name) for name in table.names] == ["numeric", "numeric", "text", "text", "numeric"]
    assert cells(table)["t"] == ["x", None]
    np.testing.assert_array_equal(table.numbers("f"), [0.5, np.nan])
    np.testing.assert_array_equal(table.numbers("b"), [1, np.nan])
    assert y.tolist() == ["no", "yes"]
    assert read_table(path, columns=["d", "a"]).names == ("d", "a")
    assert "its 6 columns are" in refusal(lambda: train(path, "zzz"), path)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([["u"], ["v"]]), ": column 'a' holds list<"),
        (pa.array([1.0, -np.inf]), ", row 2: column 'a' holds an infinity"),
        (pa.array([b"x", b"\xff"]), ", row 2: column 'a' is not UTF-8 text"),
    ],
    ids=str,
)
def test_bad_parquet(column: Any, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"a": column, "y": [0, 1]}), path)
    assert expected in refusal(lambda: train(path), path)


def test_parquet_compressed_once_more(write: Any) -> None:
    path = write("d.parquet.gz", gzip.compress(b"PAR1"))
    assert "a compressed parquet file cannot be read; unpack it first" in refusal(lambda: train(path), path)


def test_data_frames() -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    held = {"a": [1, 2], "t": ["x", None], "b": [True, False]}
    expected = {"a": [1, 2], "t": ["x", None], "b": [True, False]}
    for frame in (pd.DataFrame(held, index=[5, 6]), pl.DataFrame(held), pa.table(held)):
        assert cells(as_table(frame)) == expected
    assert cells(as_table(pd.DataFrame({"t": pd.Categorical(["x", "u"])}))) == {"t": ["x", "u"]}
    with pytest.raises(DataError, match="neither numbers nor text"):
        as_table(pd.DataFrame({"a": [1, "x"]}))
    with pytest.raises(DataError, match="several of its columns have one name"):
        as_table(pa.table([[1], [2]], names=["a", "a"]))
    with pytest.raises(DataError, match="holds no rows"):
        as_table(pa.table({"a": []}))


# ---------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64, bool])
def test_npy_keeps_its_dtype(dtype: Any, tmp_path: Path) -> None:
    X = (np.arange(12).reshape(4, 3) % 2).astype(dtype)
    np.save(tmp_path / "d.npy", X)
    matrix, y = train(tmp_path / "d.npy", "c2")
    assert matrix.names == ("c0", "c1")
    assert matrix.values.dtype == dtype
    assert np.shares_memory(matrix.values, matrix.values.base)
    np.testing.assert_array_equal(matrix.values, X[:, :2])
    np.testing.assert_array_equal(y, X[:, 2])
    assert y.dtype == (np.int64 if np.dtype(dtype).kind == "f" else dtype)
    matrix, _ = train(tmp_path / "d.npy", "c1")
    assert matrix.names == ("c0", "c2")
    np.testing.assert_array_equal(matrix.values, X[:, [0, 2]])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.arange(5.0), ": holds an array of shape (5,)"),
        (np.zeros((2, 2, 2)), ": holds an array of shape (2, 2, 2)"),
        (np.zeros((0, 3)), ": holds no rows"),
        (np.array([[1, "x"]], dtype=object), ": the array holds Python objects, which are not read for safety"),
        (np.array([["a", "b"]]), ": holds an array of dtype <U1; the rows must be real numbers"),
        (np.zeros((2, 2), complex), ": holds an array of dtype complex128"),
        (np.array([[1.0, np.nan], [0, 1]]), ", row 1: the label in 'c1' is not a finite number"),
    ],
)
def test_bad_npy(array: np.ndarray, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    np.save(path, array, allow_pickle=True)
    assert expected in refusal(lambda: train(path, "c1"), path)


def test_npz(tmp_path: Path) -> None:
    path, images = tmp_path / "d.npz", np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2)
    np.savez(path, X_train=images, y_train=np.array([b"a", b"b"] * 2 + [b"a"]), X_test=images[:2], y_test=np.zeros(2))
    matrix, y = train(path, "y_train")
    assert matrix.values.dtype == np.uint8
    np.testing.assert_array_equal(matrix.values, images.reshape(5, 4))
    assert y.tolist() == ["a", "b", "a", "b", "a"]
    assert train(path, "y_train", FileOptions(features="X_train"))[0].values.shape == (5, 4)
    held = "it holds X_train (5, 2, 2), y_train (5,), X_test (2, 2, 2), y_test (2,)"
    assert refusal(lambda: train(path, "label"), path) == f": has no array 'label'; {held}"
    assert "has 2 labels" in refusal(lambda: train(path, "y_test", FileOptions(features="X_train")), path)
    assert "X_test, y_test" in refusal(lambda: train(path, None), path)
    schema = Schema.fit(matrix)
    assert load_prediction_data(path, schema, FileOptions(features="X_test")).values.shape == (2, 4)
    message = refusal(lambda: load_prediction_data(path, schema), path)
    assert message == f": has 2 arrays with two or more dimensions; {held}; name the rows with --features"
    assert len(load_labelled_data(path, schema, "y_test")[1]) == 2


def test_npz_with_python_objects(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, X=np.zeros((2, 2)), y=np.array([1, "a"], dtype=object), allow_pickle=True)
    assert "not read for safety" in refusal(lambda: train(path), path)


# ---------------------------------------------------------------------------------------------------- LIBSVM


@pytest.mark.parametrize("name", ["d.svm", "d.libsvm", "d.svm.gz", "d.t.bz2", "d.data", "d.txt", "d"])
def test_libsvm(name: str, tmp_path: Path) -> None:
    path, text = tmp_path / name, b"+1 1:0.5 3:2 # a comment\n-1 2:1\n"
    path.write_bytes({".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)(text))
    matrix, y = train(path, None, dtype=np.float32)
    assert matrix.values.dtype == np.float32
    np.testing.assert_array_equal(matrix.values, [[0.5, 0, 2], [0, 1, 0]])
    assert matrix.names == ("c0", "c1", "c2")
    assert y.tolist() == [1, -1]
    assert y.dtype == np.int64


def test_libsvm_for_a_model_of_more_columns(write: Any) -> None:
    schema = Schema.fit(train(write("train.svm", "1 1:1 5:2\n-1 2:1\n"), None)[0])
    path = write("test.svm", "1 2:7\n")
    np.testing.assert_array_equal(load_prediction_data(path, schema).values.toarray(), [[0, 7, 0, 0, 0]])
    np.testing.assert_array_equal(load_labelled_data(path, schema)[1], [1])
    path = write("test.svm", "1 0:7\n")
    assert "features of the model start at 1" in refusal(lambda: load_prediction_data(path, schema), path)


def test_libsvm_that_counts_from_zero(write: Any) -> None:
    matrix, _ = train(write("train.svm", "1 0:1 2:2\n-1 1:1\n"), None)
    np.testing.assert_array_equal(matrix.values, [[1, 0, 2], [0, 1, 0]])
    schema = Schema.from_json(Schema.fit(matrix).to_json())
    np.testing.assert_array_equal(load_prediction_data(write("test.svm", "1 1:7\n"), schema).values, [[0, 7, 0]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 1:2\n-1 x:3\n", ": line 2 is not LIBSVM text (label index:value ...): 'x:3' is not index:value"),
        ("1 1:2\n-1 1:y\n", ": line 2 is not LIBSVM text (label index:value ...): '1:y' is not index:value"),
        ("1 3:2 1:3\n", "index 1 does not come after index 3"),
        ("1,2 1:3\n", "'1,2' is not a label (several labels a row are not supported)"),
        ("a 1:3\n", "'a' is not a label"),
        ("1 99999999999:2\n", "index 99999999999 is too large"),
        ("a,y\n1,2\n", ": line 1 is not LIBSVM text"),
        ("1\n2\n", ": holds no index:value pair; is it LIBSVM text?"),
    ],
)
def test_bad_libsvm(text: str, expected: str, write: Any) -> None:
    path = write("d.svm", text)
    assert expected in refusal(lambda: train(path, None), path)


def test_libsvm_has_its_own_target(write: Any) -> None:
    path = write("d.svm", "1 1:2\n")
    assert "leave out the target 'c3'" in refusal(lambda: train(path, "c3"), path)


SPARSE = "1 2:0.5 9:2\n-1\n1 1:1 2:3\n"
SPARSE_ROWS = [[0, 0.5, 0, 0, 0, 0, 0, 0, 2], [0] * 9, [1, 3, 0, 0, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_libsvm_of_few_elements_stays_sparse(dtype: Any, write: Any) -> None:
    matrix, y = train(write("d.svm", SPARSE), None, dtype=dtype)
    X = matrix.values
    assert isinstance(X, sparse.csr_array)
    assert (X.dtype, X.indices.dtype, X.indptr.dtype) == (dtype, np.int32, np.int32)
    assert X.has_canonical_format
    np.testing.assert_array_equal(X.toarray(), SPARSE_ROWS)
    assert (matrix.n_rows, y.tolist()) == (3, [1, -1, 1])
    assert Schema.fit(matrix).transform(matrix) is X
    dense = train(write("d.svm", SPARSE), None, FileOptions(dense=True), dtype=dtype)[0].values
    assert isinstance(dense, np.ndarray)
    np.testing.assert_array_equal(dense, SPARSE_ROWS)


@pytest.mark.parametrize(("columns", "is_sparse"), [(4, False), (5, True)])
def test_libsvm_is_sparse_below_a_quarter(columns: int, is_sparse: bool, write: Any) -> None:
    matrix, _ = train(write("d.svm", f"1 {columns}:1\n-1 1:1\n"), None)
    assert sparse.issparse(matrix.values) == is_sparse


def test_columns_and_rows_of_sparse_libsvm(write: Any) -> None:
    path, X = write("d.svm", SPARSE), np.array(SPARSE_ROWS)
    matrix, _ = train(path, None, drop=("c0", "c3"))
    assert matrix.names == ("c1", "c2", "c4", "c5", "c6", "c7", "c8")
    np.testing.assert_array_equal(matrix.values.toarray(), np.delete(X, [0, 3], axis=1))
    np.testing.assert_array_equal(matrix.take(["c1", "c2"]).values.toarray(), X[:, 1:3])
    part = matrix.take_rows(np.array([2, 0]))
    np.testing.assert_array_equal(part.take(["c8", "c1"]).values.toarray(), X[[2, 0]][:, [8, 1]])
    assert part.labels is not None
    assert part.labels.tolist() == [1, 1]
    assert part.source.at(0).endswith("d.svm, row 3")
    assert isinstance(read_table(path, columns=["c8"]), Matrix)


def test_sparse_libsvm_for_a_model_of_a_table(write: Any) -> None:
    schema = Schema.fit(train(write("d.csv", "0,,0\n5,6,1\n1,,0\n"), "c2", NO_HEADER)[0])
    assert schema.feature_names == ("c0", "c1", "c1 is missing")
    rows = load_prediction_data(write("d.svm", "1\n" * 4 + "1 1:5\n"), schema)
    assert sparse.issparse(rows.values)
    np.testing.assert_array_equal(schema.transform(rows), [[0, 0, 0]] * 4 + [[0, 5, 0]])


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_sparse_libsvm_that_is_not_finite_is_named(value: str, write: Any) -> None:
    path = write("d.svm", SPARSE + f"1 2:1 8:{value}\n")
    matrix, _ = train(path, None)
    assert sparse.issparse(matrix.values)
    kind = {"nan": "NaN", "inf": "infinity"}[value]
    assert refusal(matrix.refuse_not_finite, path) == f", row 4: column 'c7' holds {kind}; remove or replace it"
    assert "row 4" in refusal(matrix.take_rows(np.array([0, 3])).refuse_not_finite, path)


def test_libsvm_too_large_for_memory_as_dense_rows_stays_sparse(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("d.svm", "1 1:2 3:1\n-1 2:1\n" + "1 1:1 2:1 3:1\n" * 1000)
    monkeypatch.setattr(libsvm, "free_memory", lambda: 24_000)
    assert sparse.issparse(train(path, None)[0].values)
    assert refusal(lambda: train(path, None, FileOptions(dense=True)), path) == (
        ": its 1002 x 3 rows take 0.0 GiB as a dense float64 matrix, and 0.0 GiB of memory are available; "
        "without --device cuda, --impl cuda and --storage they are read sparse"
    )


def test_libsvm_of_more_columns_than_a_model_can_have(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("d.svm", "1 1:2 2000000000:1\n-1 2:1\n")
    monkeypatch.setattr(libsvm, "free_memory", lambda: 2**33)
    assert refusal(lambda: train(path, None), path) == (
        ": has a feature 2000000000, and a model of 2000000000 columns takes about 93.1 GiB to train; "
        "8.0 GiB of memory are available; number the features anew, without gaps"
    )


# ---------------------------------------------------------------------------------------------------- for a model


@pytest.fixture
def schema(write: Any) -> Schema:
    return Schema.fit(train(write("train.csv", "code,age,y\n01,1,no\nA,2,yes\n7,,no\n"))[0])


def test_text_columns_stay_text_at_predict_time(schema: Schema, write: Any) -> None:
    table = load_prediction_data(write("d.csv", "age,extra,code\n3,2020-01-01,01\n4,?,7\n"), schema)
    assert cells(table) == {"code": ["01", "7"], "age": [3, 4]}


def test_labels_stay_text_for_a_model_of_text(schema: Schema, write: Any) -> None:
    path = write("d.csv", "age,code,y\n3,1,0\n")
    assert load_labelled_data(path, schema, "y", text_labels=True)[1].tolist() == ["0"]
    assert load_labelled_data(path, schema, "y")[1].tolist() == [0]
    assert "has no column 'z'" in refusal(lambda: load_labelled_data(path, schema, "z"), path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("code,y\n1,2\n", ": lacks 1 column of the model: 'age'; it has code, y"),
        ("x,y\n1,2\n", ": lacks 2 columns of the model: 'code', 'age'; it has x, y"),
        ("code,age\n1,2\n\n2,abc\n", ", line 4: column 'age' held numbers in training, not 'abc'"),
        ("code,age\n1,2\n2,inf\n", ", line 3: column 'age' holds an infinity"),
        ("code,age\n1,2020-01-01\n", ": column 'age' held numbers in training, and holds dates here"),
        ("code,age\n1,2\n2\n", ": line 3 has 1 field where 2 were expected"),
    ],
)
def test_bad_rows_at_predict_time(data: str, expected: str, schema: Schema, write: Any) -> None:
    path = write("d.csv", data)
    assert expected in refusal(lambda: load_prediction_data(path, schema), path)
    if "y" not in data:
        path = write("d.csv", "".join(f"{line},y\n" if line else "\n" for line in data.splitlines()))
        named = expected.replace("1 field where 2", "2 fields where 3")
        assert named in refusal(lambda: load_labelled_data(path, schema, "y"), path)


def test_labels_that_the_model_reads(schema: Schema, write: Any) -> None:
    path = write("d.csv", "code,age\n1,2\n")
    expected = ": 'age' is a column that the model reads, so it cannot hold the labels"
    assert refusal(lambda: load_labelled_data(path, schema, "age"), path) == expected


def test_columns_of_another_kind_in_parquet(schema: Schema, tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"code": [1, 2], "age": [1, 2]}), path)
    assert cells(load_prediction_data(path, schema)) == {"code": ["1", "2"], "age": [1, 2]}
    assert unseen_categories(load_prediction_data(path, schema), schema) == {"code": (2, ["1", "2"])}
    pq.write_table(pa.table({"code": ["1", "A"], "age": ["2", "old"]}), path)
    expected = ", row 2: column 'age' held numbers in training, not 'old'"
    assert refusal(lambda: load_prediction_data(path, schema), path) == expected


def test_a_header_too_many_at_predict_time(write: Any) -> None:
    schema = Schema.fit(train(write("train.csv", "1,x,0\n2,y,1\n"), "c2", NO_HEADER)[0])
    path = write("d.csv", "1,x\n2,y\n")
    assert cells(load_prediction_data(path, schema, NO_HEADER)) == {"c0": [1, 2], "c1": ["x", "y"]}
    assert refusal(lambda: load_prediction_data(path, schema), path) == (
        ": lacks 2 columns of the model: 'c0', 'c1'; it has 2 columns; if it has no header, use --no-header"
    )


def test_a_model_of_one_format_reads_another(write: Any, tmp_path: Path) -> None:
    X = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    np.save(tmp_path / "d.npy", np.column_stack([X, [1, -1]]))
    npy = train(tmp_path / "d.npy", "c3")[0]
    svm = train(write("d.svm", "1 1:1 3:2\n-1 2:3\n"), None)[0]
    csv = train(write("d.csv", "1,0,2,1\n0,3,0,-1\n"), "c3", NO_HEADER)[0]
    for rows in (npy, svm, csv):
        for other in (npy, svm, csv):
            np.testing.assert_array_equal(Schema.fit(rows).transform(other), X)


def test_rows_of_a_part_keep_their_place(write: Any) -> None:
    table, y = train(write("d.csv", "a,b,y\n1,u,0\n2,v,1\n3,w,0\n"))
    part = table.take_rows(np.array([2, 1]))
    assert cells(part) == {"a": [3, 2], "b": ["w", "v"]}
    assert part.texts("b") == ["v", "w"]
    assert part.source.at(0).endswith("d.csv, line 4")
    matrix, _ = train(write("d.svm", "1 1:2\n-1 1:3\n"), None)
    assert matrix.take_rows(np.array([1])).values.tolist() == [[3]]
    assert len(y) == 3


# ---------------------------------------------------------------------------------------------------- real data


def test_adult() -> None:
    table, y = train(real_data("adult.data.gz"), "c14", NO_HEADER)
    assert table.n_rows == len(y) == 32561
    assert {name: int((y == name).sum()) for name in np.unique(y).tolist()} == {"<=50K": 24720, ">50K": 7841}
    assert [name for name in table.names if table.kind(name) == "text"] == [
        f"c{at}" for at in (1, 3, 5, 6, 7, 8, 9, 13)
    ]
    missing = {name: table.arrow.column(name).null_count for name in table.names}
    assert {name: count for name, count in missing.items() if count} == {"c1": 1836, "c6": 1843, "c13": 583}
    test = load_prediction_data(real_data("adult.test.gz"), Schema.fit(table), NO_HEADER)
    assert test.n_rows == 16281


@pytest.mark.parametrize(
    ("name", "shape", "positive", "stored"),
    [
        ("a9a.gz", (32561, 123), 7841, 451_592),
        ("ijcnn1.trn.bz2", (49990, 22), 4853, None),
        slow(("reuters.trn.bz2", (7770, 8315), 538, 339_837)),
    ],
)
def test_real_libsvm(name: str, shape: tuple[int, int], positive: int, stored: int | None) -> None:
    matrix, y = train(real_data(name), None, dtype=np.float32)
    assert matrix.values.shape == shape
    assert int((y == 1).sum()) == positive
    assert sparse.issparse(matrix.values) == (stored is not None)
    assert stored in (None, matrix.values.size)


def test_real_arrays_and_archives() -> None:
    matrix, y = train(real_data("mnist.npz"), "y_test")
    assert matrix.values.shape == (10000, 784)
    assert matrix.values.dtype == np.uint8
    assert np.unique(y).tolist() == list(range(10))
    path = real_data("bank-additional.zip")
    assert "holds 4 files (bank-additional/bank-additional-full.csv, " in refusal(lambda: train(path), path)


def test_bank(tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data("bank-additional.zip")) as archive:
        (tmp_path / "bank.csv").write_bytes(archive.read("bank-additional/bank-full.csv"))
    table, y = train(tmp_path / "bank.csv")
    assert (table.n_rows, len(table.names)) == (45211, 16)
    assert int((y == "yes").sum()) == 5289
