"""Options of the command line on how files are read, and what it says of odd rows, labels and categories."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import numbers, run, succeed

from gpu_logreg import LogisticRegression
from gpu_logreg.saved.model_file import load_model, load_model_file


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, header: str, rows: list[tuple[object, ...]]) -> str:
    with open(name, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return name


def error(ended) -> str:
    assert ended.code == 2, ended.err
    return ended.err.splitlines()[-1].removeprefix("error: ")


X, Y = numbers(60, 2)


def test_words_that_are_missing(capsys):
    labels = ["None" if at % 7 == 3 else str(label) for at, label in enumerate(Y)]
    rows = [
        (f"{x:.3f}" if at % 5 else "unknown", label) for at, (x, label) in enumerate(zip(X[:, 0], labels, strict=True))
    ]
    path = write("d.csv", "a,y", rows)
    assert error(run(capsys, "train", path, "--target", "y")) == (
        "d.csv, line 5: the cell of column 'y' is missing ('None' counts as missing), and labels cannot be; delete the "
        "line, or if 'None' is a class, name the words that are missing, without it: --missing NA"
    )
    ended = succeed(capsys, "train", path, "--target", "y", "--missing", "unknown", "--model", "m.model")
    assert "1 columns, 2 after encoding" in ended.err
    model = load_model_file(Path("m.model"))
    assert model.estimator.classes_.tolist() == ["0", "1", "None"]
    assert model.notes["missing"] == ["unknown"]
    ended = succeed(capsys, "predict", "m.model", path)  # reads them as training did
    assert len(ended.out.splitlines()) == 61
    assert "held numbers in training, not 'unknown'" in error(run(capsys, "predict", "m.model", path, "--missing", "x"))
    pq.write_table(pa.table({"a": ["u", "none", "v", "u"], "y": [0, 1, 1, 0]}), "d.parquet")
    ended = succeed(capsys, "train", "d.parquet", "--target", "y", "--missing", "none", "--model", "p.model")
    assert "1 columns, 3 after encoding" in ended.err


def test_columns_as_text(capsys):
    path = write("d.csv", "code,y", [(f"{at % 3:02d}", label) for at, label in enumerate(Y)])
    assert "1 columns;" in succeed(capsys, "train", path, "--target", "y").err
    ended = succeed(capsys, "train", path, "--target", "y", "--text", "code", "--text", "y", "--model", "m.model")
    assert "1 columns, 3 after encoding" in ended.err
    assert load_model("m.model").classes_.tolist() == ["0", "1"]
    pq.write_table(pa.table({"code": [at % 3 for at in range(60)], "y": Y}), "d.parquet")
    assert "3 after encoding" in succeed(capsys, "train", "d.parquet", "--target", "y", "--text", "code").err
    assert "has no column 'cod'; did you mean 'code'?" in error(
        run(capsys, "train", path, "--target", "y", "--text", "cod")
    )


@pytest.mark.parametrize("kind", ["csv", "npy"])
def test_weights(kind, capsys):
    w = np.arange(60) % 4
    if kind == "csv":
        path, names = (
            write("d.csv", "a,w,b,y", [(*row,) for row in np.column_stack([X[:, 0], w, X[:, 1], Y])]),
            ("w", "y"),
        )
    else:
        path, names = "d.npy", ("c1", "c3")
        np.save(path, np.column_stack([X[:, 0], w, X[:, 1], Y]))
    options = ["train", path, "--target", names[1], "--weight", names[0], "--model", "m.model"]
    assert "60 rows, 2 columns" in succeed(capsys, *options).err
    expected = LogisticRegression().fit(X, Y, w)
    np.testing.assert_allclose(load_model("m.model").coef_, expected.coef_, rtol=1e-6)
    assert np.abs(LogisticRegression().fit(X, Y).coef_ - expected.coef_).max() > 1e-3
    assert len(succeed(capsys, "predict", "m.model", path).out.splitlines()) == 61
    assert "training" in succeed(capsys, *options, "--test-size", 0.3, "--seed", 1).out
    train_at = load_model("m.model").coef_
    assert np.abs(train_at - expected.coef_).max() > 1e-3
    ended = succeed(capsys, *options[:-2], "--hidden", 2, "--max-iter", 2, "--learning-rate", 0.1)
    assert "training" in ended.out


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("-1", "d.csv, line 4: the weight in column 'w' is -1; weights are 0 or more"),
        ("", "d.csv, line 4: the weight in column 'w' is missing; weights are 0 or more"),
        ("x", "d.csv, line 4: column 'w' is to hold row weights, not 'x'"),
    ],
)
def test_weights_that_are_none(cell, what, capsys):
    rows = [(x, cell if at == 2 else 1, label) for at, (x, label) in enumerate(zip(X[:, 0], Y, strict=True))]
    path = write("d.csv", "a,w,y", rows)
    assert error(run(capsys, "train", path, "--target", "y", "--weight", "w")) == what
    path = write("d.csv", "a,w,y", [(x, 0, label) for x, label in zip(X[:, 0], Y, strict=True)])
    assert "all weights in column 'w' are 0" in error(run(capsys, "train", path, "--target", "y", "--weight", "w"))
    assert "is the target as well" in error(run(capsys, "train", path, "--target", "y", "--weight", "y"))


def test_columns_that_are_kept(capsys):
    rows = [(f"{at:03d}", f"${x:,.2f}", f'say "{at % 3}", {at}', at % 3, label) for at, (x, label) in enumerate(zip(X[:, 0] * 1e4, Y, strict=True))]  # fmt: skip  # noqa: E501
    path = write("d.csv", "id,price,text,kind,y", rows)
    succeed(
        capsys, "train", path, "--target", "y", "--drop", "id", "--drop", "text", "--text", "kind", "--model", "m.model"
    )
    out = succeed(
        capsys, "predict", "m.model", path, "--keep", "id", "--keep", "price", "--keep", "text", "--proba"
    ).out
    lines = list(csv.reader(out.splitlines()))
    assert lines[0] == ["id", "price", "text", "prediction", "probability of 0", "probability of 1"]
    assert [line[:3] for line in lines[1:]] == [list(row[:3]) for row in rows]
    assert "no column 'ip'; its 5 columns are id, price, text" in error(
        run(capsys, "predict", "m.model", path, "--keep", "ip")
    )
    pq.write_table(pa.table({"a": X[:, 0], "id": [None, *range(1, 60)], "y": Y}), "d.parquet")
    succeed(capsys, "train", "d.parquet", "--target", "y", "--drop", "id", "--model", "p.model")
    lines = succeed(capsys, "predict", "p.model", "d.parquet", "--keep", "id", "--keep", "a").out.splitlines()
    assert lines[0] == "id,a,prediction"
    assert [line.split(",")[0] for line in lines[1:]] == ["", *map(str, range(1, 60))]
    assert float(lines[1].split(",")[1]) == X[0, 0]
    np.save("d.npy", np.column_stack([X, Y]))
    succeed(capsys, "train", "d.npy", "--target", "c2", "--model", "n.model")
    lines = succeed(capsys, "predict", "n.model", "d.npy", "--keep", "c2").out.splitlines()
    assert [float(line.split(",")[0]) for line in lines[1:]] == Y.tolist()


def test_marks_of_numbers_are_kept_with_the_model(capsys):
    text = "a;y\n" + "".join(f"{x:.3f}".replace(".", ",") + f";{label}\n" for x, label in zip(X[:, 0], Y, strict=True))
    Path("d.csv").write_text(text)
    ended = succeed(capsys, "train", "d.csv", "--target", "y", "--model", "m.model")
    assert "d.csv: numbers are read with a decimal comma" in ended.err
    Path("one.csv").write_text("a;b\n1,500;x\n")
    one = succeed(capsys, "predict", "m.model", "one.csv", "--proba").out
    Path("two.csv").write_text("a,b\n1.5,x\n")
    assert succeed(capsys, "predict", "m.model", "two.csv", "--proba").out == one
    thousands = succeed(capsys, "predict", "m.model", "one.csv", "--proba", "--thousands", ",").out
    assert thousands != one


def test_categories_that_training_did_not_see(capsys):
    rows = [(x, "uvw"[at % 3], label) for at, (x, label) in enumerate(zip(X[:, 0], Y, strict=True))]
    path = write("d.csv", "a,c,y", rows)
    new = write("new.csv", "a,c,y", [(x, ["u", "7", "x", "", "x"][at % 5], Y[at]) for at, x in enumerate(X[:, 0])])
    told = (
        "new.csv: column 'c': 36 of 60 rows hold 2 categories that training did not see: '7', 'x'; they count as none"
    )
    ended = succeed(capsys, "train", path, "--target", "y", "--valid", new, "--model", "m.model")
    assert told in ended.err.splitlines()
    ended = succeed(capsys, "predict", "m.model", new)
    assert ended.err.splitlines() == [told]
    assert succeed(capsys, "predict", "m.model", path).err == ""
    pq.write_table(pa.table({"a": X[:, 0], "c": np.arange(60)}), "d.parquet")
    ended = succeed(capsys, "predict", "m.model", "d.parquet")
    assert "60 of 60 rows hold 60 categories that training did not see: '0', '1', '10', '11', ...;" in ended.err


# ------------------------------------------------------------------------------------------------------------- labels


def test_labels_that_are_no_classes(capsys):
    advice = (
        "these are no classes: name another column with --target, or set one label against the rest with --positive"
    )
    many = write("many.csv", "a,y", [(at % 7, f"t{at % 1500}") for at in range(3300)])
    assert f"holds 1,500 texts in 3,300 rows: 't0', 't1', 't10'" in error(run(capsys, "train", many, "--target", "y"))  # noqa: F541
    names = write("names.csv", "a,y", [(at % 7, f"t{at}") for at in range(30)])
    assert advice in error(run(capsys, "train", names, "--target", "y"))
    counted = write("counted.csv", "a,y", [(at % 7, at * 3) for at in range(30)])
    assert advice in error(run(capsys, "train", counted, "--target", "y"))
    succeed(capsys, "train", names, "--target", "y", "--positive", "t3")
    few = write("few.csv", "a,y", [(at % 7, f"t{at}") for at in range(5)])
    succeed(capsys, "train", few, "--target", "y")


def test_a_class_of_one_row(capsys):
    rows = [(x, "no" if at != 41 else "maybe" if label else "perhaps") for at, (x, label) in enumerate(zip(X[:, 0], Y, strict=True))]  # fmt: skip  # noqa: E501
    path = write("d.csv", "a,y", [*rows, (1.5, "yes"), (2.5, "yes")])
    word = rows[41][1]
    warning = f"warning: d.csv: 'y': the class '{word}' is in one row only (d.csv, line 43); is it a class?"
    assert warning in succeed(capsys, "train", path, "--target", "y").err.splitlines()
    assert error(run(capsys, "train", path, "--target", "y", "--test-size", 0.5)) == (
        f"d.csv: too few rows for --test-size 0.5 (the class '{word}' is in one row only (d.csv, line 43))"
    )
