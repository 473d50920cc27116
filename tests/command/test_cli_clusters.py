"""``gpu-logreg train`` on the workers of a Dask cluster."""

import os
import sys

import numpy as np
import pytest
from command_line import run, succeed

from gpu_logreg.arrays.random import is_drawn
from gpu_logreg.files import pieces
from gpu_logreg.files.any_format import read_table
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.saved.model_file import load_model

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")

N = 1200


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 2**14)
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    town = np.array(["Bern", "Rome", "Oslo"])[rng.integers(0, 3, N)]
    age, x = rng.integers(18, 80, N).astype(float), rng.standard_normal(N)
    income = np.where(x + (town == "Rome") + rng.logistic(size=N) > 0.0, "high", "low")
    age[::50] = np.nan
    return pd.DataFrame({"age": age, "town": town, "x": x, "s": rng.random(N), "income": income})


def write(frame, folder, kind):
    """The path of the rows as a file, or a folder of files."""
    if kind == "csv":
        frame.to_csv(folder / "d.csv", index=False)
        return folder / "d.csv"
    if kind == "parquet":
        frame.to_parquet(folder / "d.parquet", row_group_size=500)
        return folder / "d.parquet"
    (folder / "d").mkdir()
    for k in range(3):
        some = frame[400 * k : 400 * k + 400]
        if kind == "csv files":
            some.to_csv(folder / "d" / f"{k}.csv", index=False)
        else:
            some.to_parquet(folder / "d" / f"{k}.parquet", row_group_size=500)
    return folder / "d"


@pytest.mark.parametrize("kind", ["csv", "parquet", "csv files", pytest.param("parquet files", marks=pytest.mark.slow)])
def test_the_model_is_that_of_one_process(client, capsys, tmp_path, frame, kind):
    whole = tmp_path / "whole.csv"
    frame.to_csv(whole, index=False)
    options = "--target", "income", "--weight", "s", "--tol", "1e-11", "--model", tmp_path / "model"
    succeed(capsys, "train", whole, *options)
    local, expected = load_model(tmp_path / "model"), succeed(capsys, "info", tmp_path / "model").out
    ended = succeed(capsys, "train", write(frame, tmp_path, kind), *options, "--scheduler", client.scheduler.address)
    model = load_model(tmp_path / "model")
    assert type(model) is type(local)
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(model.classes_, local.classes_)
    assert model.get_params() == local.get_params()
    assert "1,200 rows, 3 columns in " in ended.err
    assert " parts on 2 workers; " in ended.err
    assert " in 1 parts" not in ended.err
    described = succeed(capsys, "info", tmp_path / "model").out
    assert [line for line in described.splitlines() if "column" in line] == [
        line for line in expected.splitlines() if "column" in line
    ]
    predicted = succeed(capsys, "predict", tmp_path / "model", whole).out.splitlines()
    assert len(predicted) == N + 1


def test_a_label_set_apart_and_a_file_to_test_on(client, capsys, tmp_path, frame):
    path = write(frame, tmp_path, "csv files")
    frame[:300].to_csv(tmp_path / "other.csv", index=False)
    options = (
        "--target",
        "town",
        "--drop",
        "s",
        "--positive",
        "Rome",
        "--valid",
        tmp_path / "other.csv",
        "--tol",
        "1e-10",
    )
    ended = succeed(
        capsys, "train", path, *options, "--scheduler", client.scheduler.address, "--model", tmp_path / "model"
    )
    model = load_model(tmp_path / "model")
    assert model.classes_.tolist() == [False, True]
    assert "share of Rome" in ended.out
    assert "test" in ended.out
    frame.to_csv(tmp_path / "whole.csv", index=False)
    told = succeed(capsys, "train", tmp_path / "whole.csv", *options).out
    for name in ("accuracy", "AUC", "log loss"):
        numbers = [
            next(line for line in out.splitlines() if line.startswith(name)).split()[-2:] for out in (ended.out, told)
        ]
        assert numbers[0] == numbers[1]


@pytest.mark.parametrize("categories", [3, pytest.param(300, marks=pytest.mark.slow)])
def test_a_network_is_that_of_one_process(client, capsys, tmp_path, frame, categories):
    """L-BFGS sees all rows at once; of many categories rows are sparse."""
    frame = frame.assign(x=1e4 * frame.x + 1e5, one=1.0)
    if categories > 3:
        frame["town"] = [f"t{k % categories}" for k in range(N)]
    frame.to_csv(tmp_path / "whole.csv", index=False)
    options = "--target", "income", "--hidden", 3, "--solver", "lbfgs", "--max-iter", 12
    models = []
    for path, more in (
        (tmp_path / "whole.csv", ()),
        (write(frame, tmp_path, "csv files"), ("--scheduler", client.scheduler.address)),
    ):
        succeed(capsys, "train", path, *options, *more, "--model", tmp_path / "model")
        models.append(load_model(tmp_path / "model"))
    assert type(models[0]) is type(models[1])
    for one, other in zip(models[0].coefs_, models[1].coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("kind", ["csv files", pytest.param("parquet", marks=pytest.mark.slow)])
def test_rows_held_back_are_those_of_their_numbers(client, capsys, tmp_path, frame, kind):
    options = "--target", "income", "--drop", "town", "--drop", "s", "--tol", "1e-10", "--seed", 5
    frame, drawn = frame.fillna({"age": 40.0}), is_drawn(0, N, 0.3, 5)
    frame[~drawn].to_csv(tmp_path / "train.csv", index=False)
    frame[drawn].to_csv(tmp_path / "test.csv", index=False)
    expected = succeed(
        capsys, "train", tmp_path / "train.csv", *options, "--valid", tmp_path / "test.csv", "--model", tmp_path / "a"
    )
    on_cluster = "--test-size", 0.3, "--scheduler", client.scheduler.address, "--model", tmp_path / "b"
    ended = succeed(capsys, "train", write(frame, tmp_path, kind), *options, *on_cluster)
    assert table_of(ended.out) == table_of(expected.out)
    np.testing.assert_allclose(load_model(tmp_path / "a").coef_, load_model(tmp_path / "b").coef_, rtol=0, atol=1e-8)


def table_of(out):
    lines = [line.split() for line in out.splitlines()]
    return [line for line in lines if line and line[0] in ("rows", "accuracy", "AUC", "log", "share")]


@pytest.mark.parametrize("kind", ["csv files", pytest.param("parquet", marks=pytest.mark.slow)])
def test_predictions_are_those_of_one_process(client, capsys, tmp_path, frame, kind):
    """In the order of the rows, from pieces that are read by two workers, a few at a time."""
    whole, model = tmp_path / "whole.csv", tmp_path / "model"
    frame.to_csv(whole, index=False)
    succeed(capsys, "train", whole, "--target", "income", "--drop", "s", "--model", model)
    other = frame.assign(town=np.where(np.arange(N) % 40 == 7, "Nice", frame.town))
    other.to_csv(whole, index=False)
    expected = succeed(capsys, "predict", model, whole, "--proba")
    ended = succeed(
        capsys, "predict", model, write(other, tmp_path, kind), "--proba", "--scheduler", client.scheduler.address
    )
    found, known = (np.array([line.split(",") for line in out.splitlines()]) for out in (ended.out, expected.out))
    np.testing.assert_array_equal(found[:, 0], known[:, 0])
    np.testing.assert_allclose(found[1:, 1:].astype(float), known[1:, 1:].astype(float), rtol=1e-7)
    assert ended.err.split(": ", 1)[1] == expected.err.split(": ", 1)[1]
    assert "30 of 1,200 rows hold a category that training did not see: 'Nice'" in ended.err


def test_predictions_that_cannot_be_made_leave_no_file(client, capsys, tmp_path, frame):
    path, model = write(frame, tmp_path, "csv files"), tmp_path / "model"
    succeed(capsys, "train", path / "0.csv", "--target", "income", "--drop", "s", "--model", model)
    options = "--scheduler", client.scheduler.address, "--output", tmp_path / "out.csv"
    refused(capsys, "--keep is for rows on this machine", model, path, *options, "--keep", "age", command="predict")
    refused(capsys, "--scheduler is a cluster that runs", model, path, *options, "--workers", 2, command="predict")
    frame.assign(x=[*frame.x[1:], "odd"])[900:].to_csv(path / "2.csv", index=False)
    message = "2.csv, line 301: column 'x' held numbers in training, not 'odd'"
    refused(capsys, message, model, path, *options, command="predict")
    assert not (tmp_path / "out.csv").exists()


def refused(capsys, message, *arguments, command="train"):
    ended = run(capsys, command, *arguments)
    assert ended.code == 2, ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ended.err
    assert message in lines[0], lines[0]


def test_refusals_of_options(capsys, tmp_path, frame, monkeypatch):
    path = write(frame, tmp_path, "csv")
    rows = path, "--target", "income"
    refused(
        capsys,
        "--scheduler is a cluster that runs, and --workers starts one",
        *rows,
        "--scheduler",
        "a:1",
        "--workers",
        2,
    )
    network = "--hidden", 4, "--early-stopping", "--valid", tmp_path / "other.csv"
    refused(capsys, "--early-stopping by the rows of --valid is for rows on this", *rows, "--workers", 2, *network)
    refused(capsys, "--solver adam steps over rows", *rows, "--workers", 2, "--solver", "adam")
    refused(capsys, "--memory-budget is for rows on this machine", *rows, "--workers", 2, "--memory-budget", "1GB")
    refused(capsys, "-: is read by this process alone", "-", "--target", "income", "--workers", 2)
    refused(capsys, "no such file", tmp_path / "none.csv", "--target", "income", "--workers", 2)
    np.save(tmp_path / "a.npy", np.zeros((4, 2)))
    refused(capsys, "holds npy; rows on a cluster are read from CSV alone", tmp_path / "a.npy", "--workers", 2)
    (tmp_path / "mixed").mkdir()
    frame.to_csv(tmp_path / "mixed" / "a.csv")
    frame.to_parquet(tmp_path / "mixed" / "b.parquet")
    refused(capsys, "holds csv, parquet; rows", tmp_path / "mixed", "--target", "income", "--workers", 2)
    (tmp_path / "hive" / "year=2024").mkdir(parents=True)
    frame.to_parquet(tmp_path / "hive" / "year=2024" / "a.parquet")
    refused(capsys, "has folders such as 'year=2024'", tmp_path / "hive", "--target", "income", "--workers", 2)
    refused(capsys, "--no-header are for CSV", tmp_path / "mixed" / "b.parquet", "--no-header", "--workers", 2)
    monkeypatch.setattr("gpu_logreg.estimators.distributed.connection.CONNECT_SECONDS", 0.5)
    refused(capsys, "no scheduler answers at 127.0.0.1:9 within", *rows, "--scheduler", "127.0.0.1:9")
    for address in ("", "127.0.0.1", "http://a:1", "a:b"):  # without a port, as is often forgotten
        refused(capsys, f"{address!r} is no address of a scheduler; give HOST:8786", *rows, "--scheduler", address)
    refused(capsys, "tls://a:1 needs certificates", *rows, "--scheduler", "tls://a:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    refused(capsys, "--workers needs Dask's scheduler; pip install 'gpu-logreg[dask]'", *rows, "--workers", 2)


def test_a_file_that_workers_do_not_see(client, capsys, tmp_path, frame):
    path = write(frame, tmp_path, "csv")
    with open(path, "rb") as file:
        os.dup2(file.fileno(), 900)
    try:
        options = "--format", "csv", "--target", "income", "--scheduler", client.scheduler.address
        refused(capsys, "/proc/self/fd/900: the worker tcp://", "/proc/self/fd/900", *options)
    finally:
        os.close(900)


@pytest.mark.parametrize("fault", ["text", "lacks", "infinity", "labels", "label", "decimal", "target"])
def test_files_that_do_not_fit_together(client, capsys, tmp_path, frame, fault):
    (tmp_path / "d").mkdir()
    some, other = frame[["age", "x", "income"]][:400].copy(), frame[["age", "x", "income"]][400:800].copy()
    changed, message = {
        "text": (other.assign(x=[*other.x[1:], "odd"]), "column 'x' holds text, 'odd', and numbers in "),
        "lacks": (other.drop(columns="age"), "has no column 'age', which "),
        "infinity": (other.assign(x=[*other.x[1:], np.inf]), "line 401: column 'x' holds an infinity"),
        "labels": (other.assign(income=3), "give labels of one type"),
        "label": (other.assign(income=[None, *other.income[1:]]), "the cell of column 'income' is missing"),
        "decimal": (other, "numbers have the decimal mark "),
        "target": (other.drop(columns="income"), "income"),
    }[fault]
    some.to_csv(tmp_path / "d" / "0.csv", index=False)
    if fault == "decimal":
        changed.to_csv(tmp_path / "d" / "1.csv", index=False, sep=";", decimal=",")
        some.to_csv(tmp_path / "d" / "0.csv", index=False, sep=";", decimal=".")
    else:
        changed.to_csv(tmp_path / "d" / "1.csv", index=False)
    refused(capsys, message, tmp_path / "d", "--target", "income", "--scheduler", client.scheduler.address)


def test_workers_that_are_started(capsys, tmp_path, frame):
    path = write(frame.drop(columns=["town", "s"]), tmp_path, "parquet")
    ended = succeed(capsys, "train", path, "--target", "income", "--workers", 1, "--model", tmp_path / "model")
    assert " parts on 1 workers; " in ended.err
    assert load_model(tmp_path / "model").converged_


# ---- how files are cut


def read_piece(piece):
    with pieces.opened_piece(piece) as path:
        return read_table(path, piece.options)


def test_lines_of_csv_are_cut_where_no_cell_is(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{k},{k % 7}" for k in range(3000)]
    path.write_text("\n".join(["first line", "a,b", *rows]) + "\n\n")
    options = FileOptions(skip_rows=1)
    cut = pieces.cut_files(path, options, 4000)
    tables = [read_piece(piece) for piece in cut]
    assert len(cut) == 5
    np.testing.assert_array_equal(np.concatenate([table.numbers("a") for table in tables]), np.arange(3000))
    assert cut[1].place == "part 2 of 5: "


@pytest.mark.parametrize("ending", ["\r\n", "\r", "quoted", "gz"])
def test_text_that_is_cut_and_text_that_is_not(tmp_path, ending):
    frame = pd.DataFrame({"a": np.arange(3000), "b": 1.5})
    path = tmp_path / ("a.csv.gz" if ending == "gz" else "a.csv")
    quoting = {"quoting": 2} if ending == "quoted" else {}
    frame.to_csv(path, index=False, lineterminator=ending if "\r" in ending else "\n", **quoting)
    cut = pieces.cut_files(path, FileOptions(), 4000)
    assert (len(cut) > 1) == (ending == "\r\n")
    tables = [read_piece(piece) for piece in cut]
    np.testing.assert_array_equal(np.concatenate([table.numbers("a") for table in tables]), np.arange(3000))
