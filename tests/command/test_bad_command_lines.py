"""Bad command lines: each ends with one line on standard error and exit code 2, and leaves every file as it was."""

from __future__ import annotations

import gzip
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import listing, numbers, people, run, succeed

TRAIN = ("train", "people.csv", "--target", "income")
PREDICT = ("predict", "good.model")

OPTIONS = {
    "--test-size": ["0", "1", "-0.5", "1.5", "nan", "half", ""],
    "--C": ["0", "-1", "nan", "much", ""],
    "--l1-ratio": ["-0.1", "1.1", "x", "nan"],
    "--penalty": ["l3", "L2", ""],
    "--class-weight": ["even", "{0:1}"],
    "--hidden": ["0", "-3", "1.5", "many"],
    "--alpha": ["1", "x"],
    "--batch-size": ["0", "10"],
    "--activation": ["relu", "step"],
    "--learning-rate": ["x", "-1"],
    "--tol": ["-1", "nan", "small"],
    "--max-iter": ["-1", "1e3", "many"],
    "--solver": ["lbgfs", "adamw", ""],
    "--device": ["gpu", "cuda:x", ""],
    "--impl": ["fast", "CUDA"],
    "--storage": ["int8", "float31"],
    "--dtype": ["int8", "float16", ""],
    "--seed": ["-1", "x", "1.5"],
    "--format": ["xls", "CSV", "parquet", "npy", "npz", "libsvm"],
    "--sep": ["::", '"', "", "ü", ";"],
    "--skip-rows": ["-1", "x", "9999"],
    "--features": ["X", ""],
    "--decimal": ["x", "", ".."],
    "--thousands": ["x", "", "12"],
    "--text": ["incom", "nothing", ""],
    "--weight": ["incom", "income", "city", "hours,age", ""],
    "--drop": ["incom", "income", ""],
    "--positive": ["tall", ""],
    "--valid": ["people.csv", "none.csv", ".", "empty.csv", "junk.csv", "numbers.csv", "good.model"],
    "--valid-target": ["income"],
    "--valid-skip-rows": ["1", "-1"],
    "--valid-features": ["X"],
    "--model": [".", "none/m.model", "people.csv", "people.csv/m.model", ""],
    "--target": ["incom", "", "c3"],
    "--no-such-option": [""],
}
PREDICT_OPTIONS = {
    "--output": ["people.csv", "good.model", "none/o.csv", ".", "people.csv/o.csv", ""],
    "--keep": ["incom", "", "prediction"],
    "--format": ["xls", "npy", "libsvm"],
    "--sep": ["::", ";", ""],
    "--skip-rows": ["-1", "9999"],
    "--features": ["X"],
    "--decimal": ["x"],
    "--thousands": ["x"],
    "--target": ["income"],
    "--proba": ["yes"],
}
FILES = [
    "none.csv", "empty.csv", "blank.csv", "junk.csv", "junk.what", "header.csv", "ragged.csv", "zeros.csv",
    "numbers.csv", "people.csv.gz", "cut.csv.gz", "packed.csv", "good.model", ".", "none/people.csv", "people.csv/x",
    "rows.npy", "rows.npz", "cut.parquet", "text.parquet", "a.zip:b.csv", "text.svm", "one.csv", "utf16.csv",
    "latin.csv", "",
]  # fmt: skip


def files() -> None:
    """Good files, and files of every bad kind."""
    text = people(Path("people.csv")).read_text()
    random = np.random.default_rng(0)
    header, first, *rest = text.splitlines()
    junk = bytes(random.integers(0, 256, 3000, dtype=np.uint8))
    held = {
        "empty.csv": b"",
        "blank.csv": b"\n \n\n",
        "junk.csv": junk,
        "junk.what": junk,
        "header.csv": header.encode(),
        "ragged.csv": "\n".join([header, first, "1,2", *rest]).encode(),
        "zeros.csv": bytes(100),
        "numbers.csv": b"a,b,c\n1,2,3\n4,5,6\n",
        "people.csv.gz": text.encode(),
        "cut.csv.gz": gzip.compress(text.encode())[:-30],
        "packed.csv": gzip.compress(text.encode()),
        "text.parquet": text.encode(),
        "text.svm": text.encode(),
        "one.csv": b"income\nlow\nhigh\n",
        "utf16.csv": text.encode("utf-16"),
        "latin.csv": text.replace("Lima", "Málaga").encode("latin1"),
    }
    for name, data in held.items():
        Path(name).write_bytes(data)
    np.save("rows.npy", numbers()[0])
    np.savez("rows.npz", a=numbers()[0], b=numbers()[0])
    pq.write_table(pa.table({"a": numbers()[1], "income": numbers()[1]}), "whole.parquet")
    Path("cut.parquet").write_bytes(Path("whole.parquet").read_bytes()[:-20])


def command_lines() -> Iterator[tuple[str, ...]]:
    for option, values in OPTIONS.items():
        yield from ((*TRAIN, option, value) for value in values)
        yield (*TRAIN, option)
    for name in FILES:
        yield ("train", name, "--target", "income")
        yield (*PREDICT, name)
        if not name.startswith("text."):  # which are CSV under another name
            yield ("train", name, "--target", "income", "--format", "csv")
        if name != "good.model":
            yield ("predict", name, "people.csv")
            yield ("info", name)
    for option, values in PREDICT_OPTIONS.items():
        yield from ((*PREDICT, "people.csv", option, value) for value in values)
    for one, other in itertools.pairwise(["--valid", "--test-size", "--penalty", "--alpha"]):
        yield (*TRAIN, one, "0.2", other, "0.3")
    yield (*TRAIN, "--decimal", ",", "--thousands", ",")
    yield (*PREDICT, "people.csv", "--keep", "age", "--keep", "age")
    yield ("train", "rows.npy", "--target", "c2", "--no-header")
    yield ("train", "rows.npy", "--target", "c2", "--dtype", "float32")
    yield from (("train",), ("predict",), PREDICT, ("trian",), ("train", "people.csv"), ("--what",), ("demo", "x"))


def test_bad_command_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files()
    succeed(capsys, *TRAIN, "--model", "good.model")
    before, count = listing(Path()), 0
    wrong = []
    for command in command_lines():
        ended = run(capsys, *command)
        count += 1
        lines = ended.err.splitlines()
        fine = (
            ended.code == 2
            and ended.out == ""
            and bool(lines)
            and lines[-1].startswith("error: ")
            and len(lines[-1]) > len("error: 12345678")
            and not any(line.startswith(("error: ", "Traceback", "  ")) for line in lines[:-1])
            and "unforeseen" not in lines[-1]
        )
        if not fine:
            wrong.append((command, ended.code, ended.err[-300:]))
    assert not wrong, "\n".join(map(str, wrong))
    assert count > 250
    assert listing(Path()) == before


def test_a_file_that_may_not_be_read_or_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may read and write everything")
    monkeypatch.chdir(tmp_path)
    people(Path("people.csv")).chmod(0)
    assert run(capsys, *TRAIN).err == "error: people.csv: cannot be read: Permission denied\n"
