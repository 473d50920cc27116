"""Networks on the command line: the same files, the same model file, the same predict and info."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from command_line import numbers, people, run, sparse_text, succeed
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression, MLPClassifier, load_model, save_model
from gpu_logreg.command.estimator_choice import make_estimator
from gpu_logreg.command.scaling import fit_on_standardised
from gpu_logreg.errors import DataError
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.load import load_training_data
from gpu_logreg.files.schema import Schema
from gpu_logreg.saved.model_file import load_model_file


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return people(tmp_path / "people.csv")


def test_train_predict_and_info(capsys, table, tmp_path):
    model = tmp_path / "income.model"
    ended = succeed(
        capsys,
        *("train", table, "--target", "income", "--hidden", 8, "--hidden", 4, "--max-iter", 400, "--test-size", 0.2),
        *("--learning-rate", 0.01, "--batch-size", 32, "--alpha", 0.01, "--activation", "relu", "--model", model),
    )
    assert "of adam" in ended.out
    assert "epoch    1  objective " in ended.err
    stored = load_model_file(model)
    network = stored.estimator
    assert stored.kind == "neural-network"
    assert isinstance(network, MLPClassifier)
    assert [W.shape[1] for W in network.coefs_] == [8, 4, 1]
    assert (network.activation, network.alpha, network.batch_size) == ("relu", 0.01, 32)
    assert (network.learning_rate, network.learning_rate_init) == ("constant", 0.01)

    header, *rows = csv.reader(io.StringIO(succeed(capsys, "predict", model, table, "--proba").out))
    assert header == ["prediction", "probability of high", "probability of low"]
    p = np.array([[float(cell) for cell in row[1:]] for row in rows])
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-8)
    assert [row[0] for row in rows] == [("high", "low")[k] for k in p.argmax(axis=1)]
    truth = [line.rsplit(",", 1)[1] for line in table.read_text().splitlines()[1:]]
    right = np.mean([row[0] == label for row, label in zip(rows, truth, strict=True)])
    assert right > 0.6  # a guess is right for 0.525 of the rows

    out = succeed(capsys, "info", model).out
    assert out.startswith("model       neural-network, written by gpu-logreg")
    layers = [line.split() for line in out.splitlines() if line.startswith("layer ")]
    assert [(cells[1], cells[2], cells[3]) for cells in layers] == [
        ("1", "8", "relu"),
        ("2", "4", "relu"),
        ("3", "1", "logistic"),
    ]
    assert "largest weight" in out


def test_a_label_against_the_rest_and_float32(capsys, table, tmp_path):
    model = tmp_path / "rome.model"
    succeed(
        capsys,
        *("train", table, "--target", "city", "--positive", "Rome", "--hidden", 4, "--dtype", "float32"),
        *("--solver", "lbfgs", "--max-iter", 20, "--model", model),
    )
    assert load_model(model).coefs_[0].dtype == np.float32
    assert succeed(capsys, "predict", model, table).out.splitlines()[1] in ("Rome", "not Rome")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--hidden", 4, "--penalty", "l1"), "--penalty is not for networks, which --hidden asks for; use --alpha"),
        (("--hidden", 4, "--l1-ratio", 0.5), "--l1-ratio is not for networks, which --hidden asks for; use --alpha"),
        (("--penalty", "elasticnet"), "--penalty elasticnet needs the share of L1 in it; give --l1-ratio too"),
        (("--penalty", "l1", "--l1-ratio", 0.5), "--penalty l1 and --l1-ratio 0.5 contradict each other"),
        (("--penalty", "none", "--C", 3), "--penalty none leaves nothing for --C and --l1-ratio to weigh"),
        (("--penalty", "l1", "--solver", "lbfgs"), "Solver lbfgs supports only 'l2' or None penalties, got l1 penalty"),
        (("--penalty", "ridge"), "--penalty"),
        (("--hidden", 4, "--C", 3), "--C is not for networks, which --hidden asks for; use --alpha"),
        (("--hidden", 4, "--class-weight", "balanced"), "--class-weight is not for networks"),
        (("--hidden", 4, "--no-intercept"), "--no-intercept is not for networks"),
        (
            ("--hidden", 4, "--storage", "uint8"),
            "--storage uint8 is not for networks, whose columns are standardised; use",
        ),
        (
            ("--hidden", 4, "--solver", "subsampled-newton"),
            "--solver subsampled-newton is not for training with --hidden",
        ),
        (("--solver", "adamw"), "--solver adamw is not for training without --hidden"),
        (("--alpha", 1), "--alpha is for networks; give --hidden UNITS too"),
        (("--activation", "relu"), "--activation is for networks"),
        (("--batch-size", 8), "--batch-size is for networks"),
        (("--hidden", 0), "Invalid value for '--hidden'"),
        (("--hidden", "many"), "Invalid value for '--hidden'"),
        (("--hidden", 4, "--alpha", -1), "alpha"),
        (("--hidden", 4, "--learning-rate", 0), "learning_rate_init"),
    ],
)
def test_options_that_do_not_go_together(capsys, table, options, said):
    ended = run(capsys, "train", table, "--target", "income", *options)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert said in line


def test_defaults_are_those_of_the_estimators():
    network = make_estimator({"hidden": (5,)}).get_params()
    defaults = MLPClassifier().get_params()
    assert {name for name in network if network[name] != defaults[name]} == {"hidden_layer_sizes", "activation"}
    assert make_estimator({}).get_params() == LogisticRegression().get_params()
    assert make_estimator({"solver": "sgd"}).get_params() == LogisticRegression(solver="sgd", tol=1e-4).get_params()
    with pytest.raises(DataError, match="--alpha is for networks"):
        make_estimator({"alpha": 1.0})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_network_of_the_command_line_does_not_mind_the_units_of_the_columns(dtype):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((800, 3))
    X = (Z * [1e-3, 1.0, 1e5] + [0.0, 2000.0, 3e5]).astype(dtype)
    X = np.column_stack([X, np.full(800, 7.0, dtype)])  # a constant column has no scale
    y = (Z[:, 0] * Z[:, 2] > 0).astype(int)  # beyond a linear model, and beyond a network on such units
    options = {"activation": "tanh", "max_iter": 150, "learning_rate_init": 0.01, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        raw = MLPClassifier((16,), **options).fit(X, y)
        model = fit_on_standardised(MLPClassifier((16,), **options), X, y)
    assert raw.score(X, y) < 0.7
    assert model.score(X, y) > 0.95
    assert model.coefs_[0].dtype == dtype
    mean, scale = X.mean(axis=0, dtype=float), X.std(axis=0, dtype=float)
    scale[scale == 0] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        apart = MLPClassifier((16,), **options).fit(((X - mean) / scale).astype(dtype), y)
    folded = model.predict_proba(X)
    np.testing.assert_allclose(
        folded, apart.predict_proba(((X - mean) / scale).astype(dtype)), atol={"float64": 1e-10, "float32": 5e-3}[dtype]
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_network_on_sparse_rows_scales_the_columns_and_keeps_their_zeros(tmp_path, dtype):
    units = np.array([1e-3, 1.0, 1e5] * 20)
    units[7] = 0.0  # a column of zeros has no scale
    X = sparse.csr_array(sparse_text(tmp_path / "few.svm") * units).astype(dtype)
    before = X.copy()
    y = X.toarray()[:, 3] > 0
    scale = np.sqrt((X.toarray().astype(float) ** 2).mean(axis=0))
    scale[7] = 1
    options = {"activation": "tanh", "max_iter": 60, "learning_rate_init": 0.01, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        raw = MLPClassifier((8,), **options).fit(X, y)
        model = fit_on_standardised(MLPClassifier((8,), **options), X, y)
        scaled = sparse.csr_array(X / scale).astype(dtype)
        apart = MLPClassifier((8,), **options).fit(scaled, y)
    assert model.score(X, y) > 0.97 > raw.score(X, y)
    assert model.coefs_[0].dtype == dtype
    assert (before != X).nnz == 0
    np.testing.assert_allclose(
        model.predict_proba(X), apart.predict_proba(scaled), atol={"float64": 1e-10, "float32": 1e-4}[dtype]
    )


def test_train_and_predict_on_sparse_rows(capsys, tmp_path):
    data, model = tmp_path / "few.svm", tmp_path / "few.model"
    X = sparse_text(data, classes=3)
    ended = succeed(
        capsys,
        *("train", data, "--hidden", 8, "--test-size", 0.2, "--learning-rate", 0.01, "--tol", 0.01, "--model", model),
    )
    assert "240 rows, 60 columns, sparse (11 % stored); " in ended.err
    assert float(ended.out.split("accuracy")[1].split()[0]) > 0.8
    out = succeed(capsys, "predict", model, data).out
    assert out.splitlines() == ["prediction", *map(str, load_model(model).predict(X.toarray()))]


def test_a_network_of_many_classes(capsys, tmp_path):
    X, _ = numbers(90)
    np.save(tmp_path / "rows.npy", X)
    model = MLPClassifier((3,), solver="lbfgs").fit(X, np.arange(90) % 3)
    schema = Schema.fit(table_of(tmp_path / "rows.npy"))
    save_model(model, tmp_path / "three.model", schema=schema.to_json())
    out = succeed(capsys, "predict", tmp_path / "three.model", tmp_path / "rows.npy").out
    assert out.splitlines() == ["prediction", *map(str, model.predict(X))]


def test_a_network_of_several_labels_is_refused(capsys, tmp_path):
    X, _ = numbers(90)
    np.save(tmp_path / "rows.npy", X)
    model = MLPClassifier((3,), solver="lbfgs").fit(X, np.random.default_rng(0).integers(0, 2, (90, 3)))
    save_model(model, tmp_path / "m.model", schema=Schema.fit(table_of(tmp_path / "rows.npy")).to_json())
    code, out, err = run(capsys, "predict", tmp_path / "m.model", tmp_path / "rows.npy")
    assert (code, out) == (2, "")
    assert "m.model: gives a row several labels, and a CSV has one; use it from Python" in err


def table_of(path: Path):
    X = np.load(path)
    np.savez(path.with_suffix(".npz"), X=X, y=np.arange(len(X)) % 2)
    return load_training_data(path.with_suffix(".npz"), "y", FileOptions())[0]


def test_early_stopping_goes_by_the_file_of_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, other = people(tmp_path / "a.csv", 300), people(tmp_path / "b.csv", 100, seed=1)
    arguments = "train", data, "--target", "income", "--hidden", 4, "--early-stopping"
    told = succeed(capsys, *arguments, "--valid", other, "--model", tmp_path / "m")
    assert "validation" in told.out.splitlines()[0]
    assert "validation score" in " ".join(told.out.split())
    model = load_model(tmp_path / "m")
    assert model.best_validation_score_ == max(model.validation_scores_)
    held_back = succeed(capsys, *arguments)
    assert "validation score" in " ".join(held_back.out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [((), "--early-stopping is for networks"), (("--hidden", 4, "--solver", "lbfgs"), "is for sgd, adam, adamw")],
)
def test_early_stopping_is_refused_where_nothing_stops(
    options: tuple[object, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run(capsys, "train", people(tmp_path / "a.csv"), "--target", "income", "--early-stopping", *options)
    assert ended.code != 0
    assert message in ended.err
