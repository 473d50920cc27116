"""Bad input: one line on standard error that names the culprit, exit code 2, and every file as it was."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import COMMAND, listing, numbers, people, run, run_alone, succeed

from gpu_logreg.arrays.device import cuda_problem


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Names of files are short: they lie in the current directory."""
    monkeypatch.chdir(tmp_path)


def refuse(capsys, *arguments: object, code: int = 2) -> str:
    """The error of a command that must fail, without ``error: ``."""
    before = listing(Path())
    ended = run(capsys, *arguments)
    *notes, last = ended.err.splitlines()
    assert ended.code == code, ended.err
    assert last.startswith("error: ")
    assert not any(line.startswith(("error: ", "Traceback", "warning: ")) for line in notes)
    assert ended.out == ""
    assert listing(Path()) == before
    return last.removeprefix("error: ")


def save_arrays(X: object = None, y: object = None, name: str = "rows.npz") -> str:
    good_X, good_y = numbers()
    np.savez(name, X=good_X if X is None else X, y=good_y if y is None else y)
    return name


def with_cell(value: float) -> np.ndarray:
    X, _ = numbers()
    X[7, 1] = value
    return X


# ------------------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
@pytest.mark.parametrize("solver", ["auto", "lbfgs", "gradient-descent"])
def test_rows_that_are_not_finite(capsys, value, word, solver):
    save_arrays(with_cell(value))
    error = refuse(capsys, "train", "rows.npz", "--target", "y", "--model", "m.model", "--solver", solver)
    assert error == f"rows.npz, row 8: column 'c1' holds {word}; remove or replace it"


def test_rows_to_test_on_or_to_predict_that_are_not_finite(capsys):
    save_arrays()
    save_arrays(with_cell(np.nan), name="bad.npz")
    error = refuse(capsys, "train", "rows.npz", "--target", "y", "--valid", "bad.npz", "--model", "m.model")
    assert error == "bad.npz, row 8: column 'c1' holds NaN; remove or replace it"
    succeed(capsys, "train", "rows.npz", "--target", "y", "--model", "m.model")
    assert refuse(capsys, "predict", "m.model", "bad.npz", "--output", "out.csv") == error


def test_the_row_is_that_of_the_file_when_some_are_held_back(capsys):
    save_arrays(with_cell(np.nan))
    error = refuse(capsys, "train", "rows.npz", "--target", "y", "--test-size", 0.4)
    assert error == "rows.npz, row 8: column 'c1' holds NaN; remove or replace it"


def test_a_label_that_is_not_finite(capsys):
    X, y = numbers()
    np.save("rows.npy", np.column_stack([X, np.where(np.arange(200) == 4, np.nan, y)]))
    assert refuse(capsys, "train", "rows.npy", "--target", "c3") == (
        "rows.npy, row 5: the label in 'c3' is not a finite number"
    )


def test_lengths_that_differ(capsys):
    save_arrays(y=numbers()[1][:-1])
    assert refuse(capsys, "train", "rows.npz", "--target", "y", "--features", "X") == (
        "rows.npz: array 'X' has 200 rows and 'y' has 199 labels"
    )
    error = refuse(capsys, "train", "rows.npz", "--target", "y")
    assert "no array with two or more dimensions and 199 rows, as 'y' has; it holds X (200, 3), y (199,)" in error


def test_arrays_that_are_not_there(capsys):
    save_arrays()
    assert refuse(capsys, "train", "rows.npz") == "rows.npz: name the labels with --target; it has X, y"
    assert refuse(capsys, "train", "rows.npz", "--target", "z") == (
        "rows.npz: has no array 'z'; it holds X (200, 3), y (200,)"
    )


# ------------------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("labels", "options", "error"),
    [
        (np.ones(200), [], "rows.npz: 'y' holds only one class: 1; at least 2 classes are needed"),
        (
            np.arange(200.0) / 7,
            [],
            "rows.npz: 'y' holds 200 numbers that are not whole: 0.0, 0.14285714285714285, 0.2857142857142857, "
            "0.42857142857142855, 0.5714285714285714, 0.7142857142857143, 0.8571428571428571, 1.0, ...; classes are "
            "text or whole numbers",
        ),
        (
            np.arange(200),
            [],
            "rows.npz: 'y' holds 200 numbers in 200 rows: 0, 1, 2, 3, 4, 5, 6, 7, ...; these are no classes: name "
            "another column with --target, or set one label against the rest with --positive LABEL",
        ),
        (
            np.arange(202) % 101,
            [],
            "rows.npz: 'y' holds 101 numbers: 0, 1, 2, 3, 4, 5, 6, 7, ...; more than 100 classes are to be written as "
            "text in a table, or set one against the rest with --positive LABEL",
        ),
        (np.arange(200) % 3, ["--positive", 3], "rows.npz: 'y' never holds the positive label '3'; it holds 0, 1, 2"),
        (np.arange(200) % 3, ["--positive", "x"], "rows.npz: 'y' never holds the positive label 'x'; it holds 0, 1, 2"),
        (np.ones(200), ["--positive", 1], "rows.npz: 'y' holds only one class: '1'; at least 2 classes are needed"),
        (
            np.arange(200) % 2 + 0.5,
            [],
            "rows.npz: 'y' holds 2 numbers that are not whole: 0.5, 1.5; classes are text or whole numbers",
        ),
        (
            np.arange(200) < 1,
            ["--test-size", 0.1],
            "rows.npz: too few rows for --test-size 0.1 (the class True is in one row only (rows.npz, row 1))",
        ),
    ],
)
def test_labels_of_the_rows_to_train_on(capsys, labels, options, error):
    save_arrays(numbers(len(labels))[0], labels)
    assert refuse(capsys, "train", "rows.npz", "--target", "y", "--model", "m.model", *options) == error


def test_labels_of_the_rows_to_test_on(capsys):
    table = people(Path("people.csv"))
    text = table.read_text()
    Path("strange.csv").write_text(text.replace("high", "tall"))
    Path("dots.csv").write_text(text.replace("high", "high.", 3))
    Path("low.csv").write_text(text.replace("high", "low"))
    args = ["train", table, "--target", "income", "--model", "m.model"]
    assert refuse(capsys, *args, "--valid", "strange.csv") == (
        "strange.csv: 'income' holds 'tall', which training did not see; it saw 'high', 'low'"
    )
    assert refuse(capsys, *args, "--valid", "dots.csv") == (
        "dots.csv: 'income' holds 'high.', which training did not see; it saw 'high', 'low'"
    )
    assert refuse(capsys, *args, "--valid", "low.csv", "--positive", "high") == (
        "low.csv: 'income' never holds the positive label 'high'; it holds 'low'"
    )
    succeed(capsys, *args[:4], "--valid", "strange.csv", "--positive", "low")  # the rest may hold what it likes
    assert refuse(capsys, *args, "--valid", "people.csv").startswith("--valid people.csv is the file trained on")


# ------------------------------------------------------------------------------------------------------- files of data


def test_an_unknown_target_gives_the_nearest_names(capsys):
    people(Path("people.csv"))
    assert refuse(capsys, "train", "people.csv", "--target", "incone") == (
        "people.csv: has no column 'incone'; did you mean 'income'?"
    )
    assert refuse(capsys, "train", "people.csv") == (
        "people.csv: name the labels with --target; it has age, city, hours, income"
    )


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Name, content and error of files that cannot be read."""
    rows = people(Path("good.csv")).read_bytes()
    header, first, *rest = rows.splitlines(keepends=True)
    pq.write_table(pa.table({"a": numbers()[0][:, 0], "income": numbers()[1]}), "good.parquet")
    parquet = Path("good.parquet").read_bytes()
    save_arrays(name="good.npz")
    np.save("good.npy", numbers()[0])
    infinity = b"inf,Rome,30,low\n"
    return {
        "empty.csv": (b"", "empty.csv: is empty"),
        "header.csv": (header, "header.csv: has a header but no rows (use --no-header if its only line is a row)"),
        "cut.csv.gz": (gzip.compress(rows)[:-30], "cut.csv.gz: is truncated or damaged (Compressed file ended before"),
        "plain.csv.gz": (rows, "plain.csv.gz: ends in .gz but holds something else"),
        "packed.csv": (gzip.compress(rows), "packed.csv: holds gzip data where text was expected"),
        "ragged.csv": (header + first + b"1,2\n" + b"".join(rest), "ragged.csv: line 3 has 2 fields where 4 were"),
        "inf.csv": (header + first + infinity + b"".join(rest), "inf.csv, line 3: column 'age' holds an infinity"),
        "cut.parquet": (parquet[:-20], "cut.parquet: is truncated or damaged"),
        "csv.parquet": (rows, "csv.parquet: is not a Parquet file"),
        "cut.npz": (Path("good.npz").read_bytes()[:-100], "cut.npz: is truncated or damaged"),
        "cut.npy": (Path("good.npy").read_bytes()[:-100], "cut.npy: is truncated or damaged"),
        "csv.npy": (rows, "csv.npy: is not a NumPy .npy file"),
        "csv.svm": (rows, "csv.svm"),
        "rows.what": (b"\0\1\2\3" * 50, "rows.what: its ending does not tell its format, and it is not text"),
        "none.csv": (header + b"40,Rome,30,\n" + first, "none.csv, line 2: the cell of column 'income' is missing"),
    }  # fmt: skip


def test_files_that_cannot_be_read(capsys):
    for name, (content, error) in bad_files().items():
        Path(name).write_bytes(content)
        target = [] if name.endswith(".svm") else ["--target", "income"]
        assert refuse(capsys, "train", name, *target, "--model", "m.model").startswith(error)
    assert refuse(capsys, "train", "no.csv", "--target", "income") == "no.csv: no such file"
    assert refuse(capsys, "train", ".", "--target", "income") == ".: is a directory; give one file"


def test_columns_that_predict_needs(capsys):
    text = people(Path("people.csv")).read_text()
    succeed(capsys, "train", "people.csv", "--target", "income", "--model", "m.model")
    Path("lacks.csv").write_text("\n".join(line.split(",", 1)[1] for line in text.splitlines()))
    Path("text.csv").write_text("age,city,hours\n30,Rome,12\n30,Rome,many\n")
    Path("number.csv").write_text("age,city,hours\n30,12,12\n")
    np.save("rows.npy", numbers()[0])
    predict = ["predict", "m.model"]
    assert refuse(capsys, *predict, "lacks.csv", "--output", "out.csv").startswith(
        "lacks.csv: lacks 1 column of the model: 'age'; it has city, hours"
    )
    assert (
        refuse(capsys, *predict, "text.csv") == "text.csv, line 3: column 'hours' held numbers in training, not 'many'"
    )
    assert refuse(capsys, *predict, "rows.npy").startswith("rows.npy: lacks 3 columns of the model: 'age', 'city', ")
    np.save("train.npy", np.column_stack(numbers()))
    succeed(capsys, "train", "train.npy", "--target", "c3", "--model", "n.model")
    assert refuse(capsys, "predict", "n.model", "people.csv").startswith(
        "people.csv: lacks 3 columns of the model: 'c0'"
    )


# -------------------------------------------------------------------------------------------------- models and outputs


def test_model_files_that_cannot_be_read(capsys):
    people(Path("people.csv"))
    succeed(capsys, "train", "people.csv", "--target", "income", "--model", "good.model")
    good = Path("good.model").read_bytes()
    length = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + length])
    header["__metadata__"] |= {"format_version": "99", "gpu_logreg": "9.0"}
    newer = json.dumps(header).encode()
    newer += b" " * (-len(newer) % 8)
    cases = {
        "flipped.model": (good[:-3] + bytes([good[-3] ^ 1]) + good[-2:], "flipped.model: is damaged (its checksum"),
        "cut.model": (good[:-20], "cut.model: is truncated or damaged"),
        "empty.model": (b"", "empty.model: is empty"),
        "table.model": (Path("people.csv").read_bytes(), "table.model: is not a model file"),
        "newer.model": (
            len(newer).to_bytes(8, "little") + newer + good[8 + length :],
            "newer.model: was written by a newer gpu-logreg (9.0, format 99; this one reads up to 1)",
        ),
    }
    for name, (content, error) in cases.items():
        Path(name).write_bytes(content)
        assert refuse(capsys, "predict", name, "people.csv", "--output", "out.csv").startswith(error)
        assert refuse(capsys, "info", name).startswith(error)
    assert refuse(capsys, "info", "none.model") == "none.model: no such file"


def test_places_that_cannot_be_written(capsys):
    people(Path("people.csv"))
    train = ["train", "people.csv", "--target", "income", "--model"]
    assert refuse(capsys, *train, "none/m.model").startswith("none/m.model: its directory none does not exist")
    assert refuse(capsys, *train, ".") == ".: is a directory; give the name of a file"
    assert refuse(capsys, *train, "people.csv").startswith("--model people.csv is a file of data")
    succeed(capsys, *train, "m.model")
    predict = ["predict", "m.model", "people.csv", "--output"]
    assert refuse(capsys, *predict, "none/out.csv").startswith("none/out.csv: its directory none does not exist")
    for name in ("people.csv", "m.model"):
        assert refuse(capsys, *predict, name).startswith(f"--output {name} is read as well and would be overwritten")


# ------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["trian"], "No such command 'trian'."),
        (["train"], "Missing argument 'DATA'. See gpu-logreg train --help"),
        (["train", "people.csv", "--targte", "x"], "No such option: --targte"),
        (["train", "people.csv", "--solver", "lbgfs"], "'lbgfs' is not one of 'auto', 'subsampled-newton', "),
        (["train", "people.csv", "--impl", "fast"], "'fast' is not one of 'auto', 'reference', 'cpu', 'cuda'"),
        (["train", "people.csv", "--dtype", "int8"], "'int8' is not one of 'float32', 'float64'"),
        (["train", "people.csv", "--class-weight", "even"], "'even' is not "),
        (["train", "people.csv", "--format", "xls"], "'xls' is not one of 'csv', 'parquet', 'npy', 'npz', 'libsvm'"),
        (["train", "people.csv", "--max-iter", "-1"], "Invalid value for '--max-iter'"),
        (["train", "people.csv", "--max-iter", "many"], "Invalid value for '--max-iter'"),
        (["train", "people.csv", "--C", "0"], "The 'C' parameter of LogisticRegression must be a float in the range"),
        (["train", "people.csv", "--C", "nan"], "The 'C' parameter"),
        (["train", "people.csv", "--tol", "-1"], "The 'tol' parameter of LogisticRegression must be a float in the"),
        (["train", "people.csv", "--device", "gpu"], "device='gpu' is not known; use 'auto', 'cpu', 'cuda'"),
        (["train", "people.csv", "--test-size", "1"], "--test-size 1 is not a share between 0 and 1"),
        (["train", "people.csv", "--test-size", "0.2", "--valid", "x"], "--valid and --test-size exclude each other"),
        (["train", "people.csv", "--sep", "::"], "separator '::' cannot be used; give one character"),
        (["train", "people.csv", "--target", "income", "--drop", "income"], "'income' is the target and cannot be"),
        (["train", "people.csv", "--target", "income", "--drop", "agee"], "has no column 'agee'; did you mean 'age'?"),
        (["predict", "m.model"], "Missing argument 'DATA'. See gpu-logreg predict --help"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(capsys, arguments, error):
    people(Path("people.csv"))
    assert error in refuse(capsys, *arguments)


def test_a_gpu_that_is_not_there(capsys):
    if cuda_problem() is None:
        pytest.skip("a GPU is present")
    people(Path("people.csv"))
    error = refuse(capsys, "train", "people.csv", "--target", "income", "--device", "cuda", "--model", "m.model")
    assert error.startswith("device='cuda' cannot be used: CuPy")
    assert error.endswith("or use device='cpu'")
    error = refuse(capsys, "train", "people.csv", "--target", "income", "--impl", "cuda", "--model", "m.model")
    assert error.startswith("impl='cuda' needs rows on a GPU")


def test_what_nobody_foresaw_is_one_line_too(capsys, monkeypatch):
    people(Path("people.csv"))

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("gpu_logreg.command.train.load_training_data", fail)
    error = refuse(capsys, "train", "people.csv", "--target", "income", code=1)
    assert error.startswith("unforeseen ZeroDivisionError: division by zero. For a report, set GPU_LOGREG_TRACEBACK=1")
    monkeypatch.setenv("GPU_LOGREG_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run(capsys, "train", "people.csv", "--target", "income")


def test_memory_that_is_not_there(capsys, monkeypatch):
    people(Path("people.csv"))

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr("gpu_logreg.command.train.Schema.transform", fail)
    error = refuse(capsys, "train", "people.csv", "--target", "income")
    assert error == "out of memory (Unable to allocate 3 TiB); use fewer columns, or --dtype float32"


# ------------------------------------------------------------------------------------------- full disks, interruptions


def one_line(ended, code: int) -> str:
    assert ended.code == code, ended
    assert ended.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in ended.err
    assert ended.err.count("error: ") == 1
    return ended.err.splitlines()[-1].removeprefix("error: ")


@pytest.mark.slow
def test_full_disk(capsys):
    people(Path("people.csv"), 2000)
    succeed(capsys, "train", "people.csv", "--target", "income", "--model", "m.model")
    Path("out.csv").write_text("old")
    before = listing(Path())

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    ended = run_alone("train", "people.csv", "--target", "income", "--model", "m.model", preexec_fn=limit)
    assert one_line(ended, 2) == "m.model: cannot be written: File too large; nothing was saved"
    ended = run_alone("predict", "m.model", "people.csv", "--output", "out.csv", preexec_fn=limit)
    assert one_line(ended, 2) == "out.csv: cannot be written: File too large; nothing was saved"
    if Path("/dev/full").exists():
        ended = run_alone("predict", "m.model", "people.csv", "--output", "/dev/full")
        assert one_line(ended, 2) == "/dev/full: cannot be written: No space left on device; nothing was saved"
        with open("/dev/full", "w") as full:
            ended = run_alone("predict", "m.model", "people.csv", stdout=full)
        assert one_line(ended, 2) == "standard output: No space left on device"
    assert listing(Path()) == before


def test_interruption(capsys):
    X, y = numbers(200_000, 20)
    save_arrays(X, y)
    Path("m.model").write_text("old")
    before = listing(Path())
    endless = ["--solver", "gradient-descent", "--tol", "0", "--max-iter", "1000000"]
    process = subprocess.Popen(
        [*COMMAND, "train", "rows.npz", "--target", "y", "--model", "m.model", *endless],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    told = ""
    while "iteration    2 " not in told:  # in the midst of it
        line = process.stderr.readline()
        assert line, told
        told += line
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "error: interrupted; nothing was saved"
    assert all(line.startswith("iteration ") for line in err.splitlines()[:-1])
    assert listing(Path()) == before


def test_interruption_by_whoever_turns_it_into_an_exception(capsys, monkeypatch):
    people(Path("people.csv"))

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpu_logreg.command.train.save_model", interrupt)
    error = refuse(capsys, "train", "people.csv", "--target", "income", "--model", "m.model", code=130)
    assert error == "interrupted; nothing was saved"
