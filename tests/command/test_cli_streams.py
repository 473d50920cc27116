"""``gpu-logreg train`` on files larger than the memory budget."""

import re

import numpy as np
import pytest
from command_line import run, succeed
from scipy import sparse
from sklearn.datasets import dump_svmlight_file

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays import sparse_cut
from gpu_logreg.arrays.random import is_drawn
from gpu_logreg.command import predict_streamed
from gpu_logreg.files import libsvm_stream
from gpu_logreg.rows import block_store
from gpu_logreg.saved.model_file import load_model

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pa_csv = pytest.importorskip("pyarrow.csv")

N, D = 4000, 5
BUDGET = "120kB"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS", 2**11)
    monkeypatch.setattr(block_store, "STREAMED_ROWS", 2**8)
    monkeypatch.setattr(sparse_cut, "STREAMED_ELEMENTS", 2**10)
    monkeypatch.setattr("gpu_logreg.files.dataset_rows._COLUMN_BYTES", 0)
    monkeypatch.setenv("COLUMNS", "400")


def rows(n_classes=2):
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((N, D))
    y = (X @ rng.standard_normal((D, n_classes)) + rng.gumbel(size=(N, n_classes))).argmax(1)
    return X, np.array(["low", "high", "other"])[y], rng.random(N)


def table(X, y, s):
    return pa.table({f"x{k}": X[:, k] for k in range(D)} | {"income": y, "s": s, "id": np.arange(len(y))})


def train(capsys, path, *arguments):
    return succeed(capsys, "train", path, *arguments)


def same_model(one, other):
    one, other = load_model(one), load_model(other)
    np.testing.assert_array_equal(one.classes_, other.classes_)
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=0, atol=1e-7)
    return one


@pytest.mark.parametrize("hidden", [False, True])
def test_rows_bandwidth_and_the_time_left_are_told(capsys, monkeypatch, tmp_path, hidden):
    X, y, _ = rows()
    np.save(tmp_path / "rows.npy", X)
    np.save(tmp_path / "labels.npy", y)
    monkeypatch.setattr("gpu_logreg.command.report._SILENT_SECONDS", 0.0)
    given = ("--target", tmp_path / "labels.npy", "--memory-budget", BUDGET)
    ended = train(capsys, tmp_path / "rows.npy", *given, *(("--hidden", "4", "--max-iter", "2") if hidden else ()))
    told = [line for line in ended.err.splitlines() if line.startswith("read ")]
    assert {line.split(":")[0] for line in told} >= {"read 1", "read 2", "read 3"}
    assert any(re.fullmatch(r"read 2: \d,\d+ of 4,000 rows, \d+\.\d+ GB/s, \d s left", line) for line in told)
    assert any(re.fullmatch(r"read 2: 4,000 of 4,000 rows, \d+\.\d+ GB/s", line) for line in told)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("folder", [False, True])
def test_parquet(capsys, tmp_path, n_classes, folder):
    X, y, s = rows(n_classes)
    path = tmp_path / "d" if folder else tmp_path / "d.parquet"
    if folder:
        path.mkdir()
        for k in range(2):
            part = slice(2000 * k, 2000 * k + 2000)
            pq.write_table(table(X[part], y[part], s[part]), path / f"{k}.parquet")
    else:
        pq.write_table(table(X, y, s), path, row_group_size=700)
    options = ["--target", "income", "--weight", "s", "--drop", "id", "--tol", "1e-9"]
    streamed = train(capsys, path, *options, "--memory-budget", BUDGET, "--model", tmp_path / "s.model")
    memory = train(capsys, path, *options, "--model", tmp_path / "m.model")
    assert "4,000 rows, 5 columns; streamed in 10 blocks, of which" in streamed.err
    assert "GB/s" in streamed.out
    same_model(tmp_path / "s.model", tmp_path / "m.model")
    for name in ("accuracy", "log loss"):
        assert [line for line in streamed.out.splitlines() if line.startswith(name)] == [
            line for line in memory.out.splitlines() if line.startswith(name)
        ]
    predictions = [succeed(capsys, "predict", tmp_path / f"{k}.model", path) for k in "sm"]
    assert predictions[0].out == predictions[1].out
    assert predictions[0].err == predictions[1].err  # no warning


def test_a_pattern_of_names_and_a_folder_of_hive(capsys, tmp_path):
    X, y, s = rows()
    for k in range(2):
        (tmp_path / "d" / f"year={2020 + k}").mkdir(parents=True)
        part = slice(2000 * k, 2000 * k + 2000)
        pq.write_table(table(X[part], y[part], s[part]), tmp_path / "d" / f"year={2020 + k}" / "a.parquet")
    options = ["--target", "income", "--drop", "id", "--drop", "s"]
    assert "4,000 rows, 6 columns" in train(capsys, tmp_path / "d", *options).err
    assert "4,000 rows, 6 columns" in train(capsys, tmp_path / "d" / "*" / "*.parquet", *options).err
    ended = run(capsys, "train", tmp_path / "d" / "z*.parquet", *options)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "z*.parquet: no such file" in ended.err


def test_arrays_with_a_test_file_and_a_positive_label(capsys, tmp_path):
    X, y, _ = rows(3)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "d.npz", X=X, y=y)
    more = ["--positive", "high", "--tol", "1e-9"]
    target = ["--target", tmp_path / "y.npy"]
    valid = ["--valid", tmp_path / "d.npz", "--valid-target", "y", "--valid-features", "X"]
    streamed = train(
        capsys, tmp_path / "X.npy", *target, *more, *valid, "--memory-budget", BUDGET, "--model", tmp_path / "s.model"
    )
    train(capsys, tmp_path / "X.npy", *target, *more, *valid, "--model", tmp_path / "m.model")
    same_model(tmp_path / "s.model", tmp_path / "m.model")
    (accuracy,) = (line.split()[1:] for line in streamed.out.splitlines() if line.startswith("accuracy"))
    assert accuracy[0] == accuracy[1]
    archive = ["--target", "y", "--features", "X", *more, "--memory-budget", BUDGET, "--model", tmp_path / "z.model"]
    train(capsys, tmp_path / "d.npz", *archive)
    same_model(tmp_path / "z.model", tmp_path / "m.model")


def test_a_file_within_the_budget_is_read_into_memory(capsys, tmp_path):
    X, y, s = rows()
    pq.write_table(table(X, y, s), tmp_path / "d.parquet")
    options = ["--target", "income", "--drop", "id"]
    assert "streamed" not in train(capsys, tmp_path / "d.parquet", *options, "--memory-budget", "1GB").err


@pytest.mark.parametrize("n_classes", [2, 3])
def test_predictions_of_files_beyond_memory(capsys, tmp_path, monkeypatch, n_classes):
    X, y, s = rows(n_classes)
    pq.write_table(
        table(X, y, s).select(["id", "income", *(f"x{k}" for k in reversed(range(D)))]), tmp_path / "d.parquet"
    )
    pq.write_table(table(X, y, s), tmp_path / "t.parquet")
    np.save(tmp_path / "X.npy", X)
    np.savez(tmp_path / "d.npz", X=X, y=y)
    train(
        capsys, tmp_path / "t.parquet", "--target", "income", "--drop", "id", "--drop", "s", "--model", tmp_path / "m"
    )
    train(capsys, tmp_path / "d.npz", "--target", "y", "--features", "X", "--model", tmp_path / "a")
    (tmp_path / "parts").mkdir()
    for k in range(2):
        part = slice(2000 * k, 2000 * k + 2000)
        pq.write_table(table(X[part], y[part], s[part]), tmp_path / "parts" / f"{k}.parquet")
    of_many = succeed(capsys, "predict", tmp_path / "m", tmp_path / "parts" / "*.parquet", "--proba").out
    cases = [("m", "d.parquet"), ("a", "X.npy")]
    whole = [succeed(capsys, "predict", tmp_path / m, tmp_path / d, "--proba").out for m, d in cases]
    assert of_many == whole[0]
    made = []
    monkeypatch.setattr("gpu_logreg.command.predict_streamed.free_memory", lambda: made.append(1) or 100_000)
    for (m, d), expected in zip(cases, whole, strict=True):
        assert succeed(capsys, "predict", tmp_path / m, tmp_path / d, "--proba").out == expected
        ended = succeed(capsys, "predict", tmp_path / m, tmp_path / d, "--proba", "--output", tmp_path / "out.csv")
        assert (tmp_path / "out.csv").read_text() == expected
        assert "4,000 predictions written to" in ended.err
    assert made
    X[3000, 2] = np.nan
    np.save(tmp_path / "X.npy", X)
    ended = run(capsys, "predict", tmp_path / "a", tmp_path / "X.npy", "--output", tmp_path / "none.csv")
    assert ended.code == 2
    assert re.search(r"rows from 2,863 on: Input X contains NaN at row 137, column 2", ended.err), ended.err
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hidden", "8", "--early-stopping"], "early_stopping=True goes by rows in memory, and these are streamed"),
        (["--solver", "coordinate-descent", "--penalty", "l1"], "it takes all rows by columns, and they are streamed"),
        (["--storage", "uint8"], "storage='uint8' is for rows in memory"),
        (["--memory-budget", "much"], "memory_budget='much' is no size"),
        (["--memory-budget", "9kB"], "a memory budget of 0 MB is too small"),
        (["--target", "x0"], "Unknown label type|holds"),
    ],
)
def test_what_is_refused(capsys, tmp_path, arguments, message):
    X, y, s = rows()
    pq.write_table(table(X, y, s), tmp_path / "d.parquet")
    ended = run(
        capsys,
        "train",
        tmp_path / "d.parquet",
        "--target",
        "income",
        "--drop",
        "id",
        "--memory-budget",
        BUDGET,
        *arguments,
    )
    assert ended.code == 2
    assert re.search(message, ended.err), ended.err
    assert ended.err.count("\n") <= 2


def test_csv_is_decoded_once(capsys, tmp_path):
    X, y, s = rows()
    lines = [";".join([*map(repr, x.tolist()), label, repr(w)]) for x, label, w in zip(X, y, s.tolist(), strict=True)]
    path = tmp_path / "d.csv"
    path.write_text("\n".join(["a;b;c;d;e;income;s", *lines]).replace(".", ","))
    options = ["--target", "income", "--weight", "s", "--tol", "1e-9"]
    streamed = train(capsys, path, *options, "--memory-budget", "300kB", "--model", tmp_path / "s.model")
    train(capsys, path, *options, "--model", tmp_path / "m.model")
    assert "d.csv: is decoded once, into 0.0 GiB in a temporary file" in streamed.err
    same_model(tmp_path / "s.model", tmp_path / "m.model")
    assert len({succeed(capsys, "predict", tmp_path / f"{k}.model", path).out for k in "sm"}) == 1


@pytest.mark.parametrize(("density", "budget"), [(0.1, "85kB"), (0.6, "220kB")])
@pytest.mark.parametrize("weighted", [False, True])
def test_libsvm_text(capsys, tmp_path, monkeypatch, density, budget, weighted):
    rng = np.random.default_rng(0)
    X = sparse.random_array((3000, 30), density=density, rng=rng, format="csr")
    X.data[:] = X.data.round(4) + 0.001
    y = (X @ rng.standard_normal(30) + rng.logistic(size=3000) > 0).astype(int)
    s = rng.random(3000).round(4)
    path = tmp_path / "d.svm"
    lines = []
    for i in range(3000):
        row = slice(X.indptr[i], X.indptr[i + 1])
        cells = [f"{k + 1}:{v:.4f}" for k, v in zip(X.indices[row], X.data[row], strict=True)]
        lines.append(" ".join([f"{y[i]}:{s[i]:.4f}" if weighted else str(y[i]), *cells]))
    path.write_text("\n".join(lines))
    monkeypatch.setattr(libsvm_stream, "_BLOCK_BYTES", 2**12)
    streamed = train(capsys, path, "--tol", "1e-9", "--memory-budget", budget, "--model", tmp_path / "s.model")
    train(capsys, path, "--tol", "1e-9", "--model", tmp_path / "m.model")
    assert "d.svm: is decoded once, into 0.0 GiB in a temporary file" in streamed.err
    assert "3,000 rows, 30 columns; streamed in" in streamed.err
    same_model(tmp_path / "s.model", tmp_path / "m.model")
    whole = [succeed(capsys, "predict", tmp_path / f"{k}.model", path, "--proba").out for k in "sm"]
    monkeypatch.setattr("gpu_logreg.command.predict_streamed.free_memory", lambda: 1000)
    path.write_text("\n".join([*lines[:-1], lines[-1] + " 40:1"]))
    ended = succeed(capsys, "predict", tmp_path / "m.model", path, "--proba")
    assert [line.split(",")[0] for line in ended.out.splitlines()] == [
        line.split(",")[0] for line in whole[1].splitlines()
    ]
    assert "1 feature that the model does not have (40; its last is 30) in 1 row is ignored" in ended.err


def test_libsvm_text_that_cannot_be_streamed(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(libsvm_stream, "_BLOCK_BYTES", 2**12)
    path = tmp_path / "d.svm"
    budget = ["--memory-budget", "10kB"]
    for line, more, message in (
        ("1 1:2", ["--target", "y"], "LIBSVM text has its own labels; leave out the target 'y'"),
        ("1 1:2", ["--drop", "c0"], "--drop and --weight are for rows in memory and tables; leave them out"),
        ("nan 1:2", [], "row 8001: the label is not a finite number"),
        ("1 1:2 1:3", [], "line 8001 is not LIBSVM text .*: index 1 does not come after index 1"),
        ("1.5 1:2", [], "Unknown label type"),
    ):
        path.write_text("0 1:2\n1 2:3\n" * 4000 + line)
        ended = run(capsys, "train", path, *budget, *more)
        assert ended.code == 2
        assert re.search(message, ended.err), ended.err
    path.write_text("0\n1\n" * 4000)
    assert "holds no index:value pair" in run(capsys, "train", path, *budget).err


def words(n=N):
    rng = np.random.default_rng(5)
    town, day = rng.choice(["Bern", "Rome", "Oslo"], n), rng.integers(0, 400, n)
    x = np.where(rng.random(n) < 0.1, np.nan, rng.standard_normal(n).round(4))
    z = (town == "Rome") + np.nan_to_num(x) + day / 200 - 1.5
    y = np.where(z + rng.logistic(size=n) > 0, "high", "low")
    days = np.datetime64("2020-01-01") + day
    return {"town": town, "day": days, "x": x, "income": y, "s": rng.random(n).round(3)}


@pytest.mark.parametrize("kind", ["csv", "parquet", "folder"])
def test_text_missing_cells_and_dates(capsys, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("gpu_logreg.files.csv_blocks._BLOCK_BYTES", 2**14)
    monkeypatch.setattr("gpu_logreg.files.dataset_rows._BATCH_ELEMENTS", 2**11)
    columns = words()
    table = pa.table({name: pa.array(column, from_pandas=True) for name, column in columns.items()})
    path = tmp_path / ("d" if kind == "folder" else f"d.{kind}")
    if kind == "csv":
        pa_csv.write_csv(table, path)
    elif kind == "parquet":
        pq.write_table(table, path, row_group_size=900)
    else:
        path.mkdir()
        for k in range(2):
            pq.write_table(table.slice(2000 * k, 2000), path / f"{k}.parquet")
    options = ["--target", "income", "--weight", "s", "--tol", "1e-9"]
    budget = ["--memory-budget", "90kB"]
    streamed = train(capsys, path, *options, *budget, "--model", tmp_path / "s.model")
    memory = train(capsys, path, *options, "--model", tmp_path / "m.model")
    assert "4,000 rows, 3 columns, 6 after encoding; streamed in" in streamed.err
    assert re.search(f"{path}: is decoded once, into 0.0 GiB in a temporary file", streamed.err)
    if kind == "csv":
        assert "column 'day' is read as dates, in days since 1970-01-01" in streamed.err
    same_model(tmp_path / "s.model", tmp_path / "m.model")
    for name in ("accuracy", "log loss"):
        lines = [[line for line in out.splitlines() if line.startswith(name)] for out in (streamed.out, memory.out)]
        assert lines[0] == lines[1]
    whole = [succeed(capsys, "predict", tmp_path / f"{k}.model", path, "--proba") for k in "sm"]
    assert whole[0].out == whole[1].out
    if kind == "folder":
        return
    monkeypatch.setattr("gpu_logreg.command.predict_streamed.free_memory", lambda: 10_000)
    made = []
    real = predict_streamed.prediction_blocks
    monkeypatch.setattr(
        predict_streamed, "prediction_blocks", lambda *a: (made.append(rows) or rows for rows in real(*a))
    )
    blockwise = succeed(capsys, "predict", tmp_path / "m.model", path, "--proba")
    assert blockwise.out == whole[1].out
    assert len(made) > 2
    if kind == "csv":
        path.write_text(path.read_text().replace("Bern", "Paris"))
        ended = succeed(capsys, "predict", tmp_path / "m.model", path)
        n_paris = int((columns["town"] == "Bern").sum())
        assert f"{n_paris:,} of 4,000 rows hold a category that training did not see: 'Paris'" in ended.err


def test_a_table_of_text_with_a_test_file(capsys, tmp_path):
    table = pa.table({name: pa.array(column, from_pandas=True) for name, column in words().items()})
    pa_csv.write_csv(table, tmp_path / "d.csv")
    pa_csv.write_csv(table.slice(1000, 300), tmp_path / "v.csv")
    options = ["--target", "income", "--drop", "s", "--valid", tmp_path / "v.csv", "--memory-budget", "100kB"]
    ended = train(capsys, tmp_path / "d.csv", *options)
    assert re.search(r"rows +4,000 +300", ended.out)


def test_numbers_without_a_missing_cell_stay_in_their_file(capsys, tmp_path):
    X, y, s = rows()
    pq.write_table(table(X, y, s), tmp_path / "d.parquet", row_group_size=700)
    options = ["--target", "income", "--drop", "id", "--memory-budget", BUDGET, "--model", tmp_path / "s.model"]
    assert "is decoded once" not in train(capsys, tmp_path / "d.parquet", *options).err
    new = pa.table({f"x{k}": pa.array([None if k == 2 else 1.0]) for k in range(D)} | {"s": [1.0]})
    pq.write_table(new, tmp_path / "new.parquet")
    assert "prediction" in succeed(capsys, "predict", tmp_path / "s.model", tmp_path / "new.parquet").out


@pytest.mark.parametrize("kind", ["npy", "parquet", "svm"])
def test_a_network(capsys, tmp_path, kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 4)) * [1.0, 1e4, 1e-3, 5.0] + [0.0, 1e5, 0.0, 1.0]
    X[:, 3] *= rng.random(N) < 0.2
    u = (X - X.mean(0)) / X.std(0)
    y = (u[:, 0] * u[:, 1] + u[:, 2] > 0).astype(int)
    path, target = tmp_path / f"d.{kind}", ["--target", "y"]
    if kind == "npy":
        np.save(path, X)
        np.save(tmp_path / "y.npy", y)
        target = ["--target", tmp_path / "y.npy"]
    elif kind == "parquet":
        pq.write_table(pa.table({f"x{k}": X[:, k] for k in range(4)} | {"y": y}), path, row_group_size=700)
    else:
        dump_svmlight_file(X, y, str(path))
        target = []
    how = [*target, "--hidden", "16", "--max-iter", "60", "--learning-rate", "0.01"]
    streamed = train(capsys, path, *how, "--memory-budget", "120kB", "--model", tmp_path / "m")
    assert "streamed in" in streamed.err
    (accuracy,) = (line.split()[1] for line in streamed.out.splitlines() if line.startswith("accuracy"))
    assert float(accuracy) > 0.9
    if kind != "svm":
        assert float(accuracy) == pytest.approx(load_model(tmp_path / "m").score(X, y), abs=1e-4)
    assert succeed(capsys, "predict", tmp_path / "m", path).out.count("\n") == N + 1


@pytest.mark.parametrize("hidden", [[], ["--hidden", "4", "--max-iter", "20", "--learning-rate", "0.01"]])
def test_rows_that_are_held_back(capsys, tmp_path, hidden):
    X, y, s = rows(3)
    pq.write_table(table(X, y, s), tmp_path / "d.parquet", row_group_size=700)
    options = ["--target", "income", "--drop", "id", *hidden, "--test-size", "0.2", "--memory-budget", BUDGET]
    held = is_drawn(0, N, 0.2, 7)
    for weight in ([], ["--weight", "s"]):
        out = []
        for seed in (7, 7, 8):
            model = ["--model", tmp_path / f"{seed}", "--seed", seed]
            out.append(train(capsys, tmp_path / "d.parquet", *options, *weight, *model).out)
        drop = [] if weight else ["s"]
        (line,) = (line for line in out[0].splitlines() if line.startswith("rows"))
        assert line.split() == ["rows", f"{(~held).sum():,}", f"{held.sum():,}"]
        scores = [[line for line in text.splitlines() if line.startswith(("accuracy", "log loss"))] for text in out]
        assert scores[0] == scores[1] != scores[2]
        (accuracy,) = (line.split()[1:] for line in out[0].splitlines() if line.startswith("accuracy"))
        model = load_model(tmp_path / "7")
        columns = np.column_stack([X, s]) if drop else X
        assert float(accuracy[0]) == pytest.approx(model.score(columns[~held], y[~held]), abs=1e-4)
        assert float(accuracy[1]) == pytest.approx(model.score(columns[held], y[held]), abs=1e-4)
        if not hidden:
            alone = LogisticRegression().fit(columns[~held], y[~held], s[~held] if weight else None)
            np.testing.assert_allclose(model.coef_, alone.coef_, rtol=0, atol=1e-5)
