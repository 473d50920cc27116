from __future__ import annotations

import csv
import io
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import COMMAND, listing, numbers, people, run, run_alone, sparse_text, succeed
from real_data import real_data
from rich.console import Console

import gpu_logreg
from gpu_logreg.command import report
from gpu_logreg.command.demonstration import run_demo, table_like_problem
from gpu_logreg.command.estimator_choice import needs_dense_rows
from gpu_logreg.command.predict import _probabilities
from gpu_logreg.files.schema import Schema
from gpu_logreg.saved.model_file import load_model_file
from gpu_logreg.solvers import Iteration


def read_csv(text: str) -> tuple[list[str], list[list[str]]]:
    header, *rows = csv.reader(io.StringIO(text))
    return header, rows


def facts(out: str) -> dict[str, str]:
    """Name and value of every line of two or more cells."""
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines() if len(line.split()) > 1}


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """So wide that no path is folded."""
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return people(tmp_path / "people.csv")


# ------------------------------------------------------------------------------------------------------- the commands


def test_no_command_shows_the_commands(capsys):
    out = succeed(capsys).out
    for command in ("train", "predict", "export", "info", "demo", "bench"):
        assert f"  {command}  " in out


@pytest.mark.parametrize("command", [[], ["train"], ["predict"], ["export"], ["info"], ["demo"], ["bench"]])
def test_help_fits_80_columns(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    out = succeed(capsys, *command, "--help").out
    assert out.startswith("Usage: gpu-logreg")
    assert max(len(line) for line in out.splitlines()) <= 82  # the examples are not folded


def test_version(capsys):
    assert succeed(capsys, "--version").out == f"gpu-logreg {gpu_logreg.__version__}\n"


def test_info_describes_the_machine(capsys):
    out = succeed(capsys, "info").out
    assert facts(out)["gpu-logreg"] == gpu_logreg.__version__
    assert "scikit-learn" in out
    assert "GPU" in out


# ------------------------------------------------------------------------------------------------------------- train


def test_train_tells_scores_time_and_reads(capsys, tmp_path, table):
    model = tmp_path / "people.model"
    ended = succeed(capsys, "train", table, "--target", "income", "--model", model)
    told = facts(ended.out)
    assert told["rows"] == "200"
    assert 0.6 < float(told["accuracy"]) < 1
    assert 0.6 < float(told["AUC"]) < 1
    assert 0 < float(told["log"].removeprefix("loss")) < 0.7
    assert told["time"].count("s to") == 2
    assert told["converged"].startswith("yes: max |grad| = ")
    assert "reads of the data" in told["iterations"]
    assert told["device"] == "cpu (the rows are few)"
    assert told["pass"].startswith("reference (")
    assert told["model"] == f"saved to {model}"
    assert f"{table}: 200 rows, 3 columns, 6 after encoding; " in ended.err
    assert max(len(line) for line in ended.out.replace(str(tmp_path), "").splitlines()) <= 80
    assert listing(tmp_path).keys() == {"people.csv", "people.model"}


def test_a_model_is_saved_only_where_asked_for(capsys, tmp_path, table):
    assert facts(succeed(capsys, "train", table, "--target", "income").out)["model"].startswith("not saved")
    assert listing(tmp_path).keys() == {"people.csv"}


def test_a_fit_that_did_not_converge_is_seen(capsys, tmp_path, table):
    ended = succeed(capsys, "train", table, "--target", "income", "--max-iter", 1, "--solver", "lbfgs")
    assert facts(ended.out)["converged"].startswith("NO: max_iter = 1 reached")
    assert "warning: lbfgs failed to converge" in ended.err
    model = tmp_path / "people.model"
    succeed(capsys, "train", table, "--target", "income", "--max-iter", 1, "--solver", "lbfgs", "--model", model)
    assert facts(succeed(capsys, "info", model).out)["converged"].startswith("NO: ")


def test_parameters_reach_the_estimator(capsys, tmp_path, table):
    model = tmp_path / "people.model"
    succeed(
        capsys, "train", table, "--target", "income", "--model", model, "--C", 0.25, "--class-weight", "balanced",
        "--no-intercept", "--tol", 1e-5, "--solver", "gradient-descent", "--device", "cpu", "--impl", "reference",
        "--max-iter", 7, "--seed", 3, "--drop", "city",
    )  # fmt: skip
    stored = load_model_file(model).estimator
    parameters = stored.get_params()
    wanted = {
        "C": 0.25, "class_weight": "balanced", "fit_intercept": False, "tol": 1e-5, "solver": "gradient-descent",
        "device": "cpu", "impl": "reference", "max_iter": 7, "random_state": 3, "verbose": 0,
    }  # fmt: skip
    assert {name: parameters[name] for name in wanted} == wanted
    assert stored.n_features_in_ == 3  # age, hours, age is missing


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), (1.0, 0.0)),
        (("--penalty", "l2", "--C", 0.5), (0.5, 0.0)),
        (("--penalty", "l1"), (1.0, 1.0)),
        (("--l1-ratio", 0.5), (1.0, 0.5)),
        (("--penalty", "elasticnet", "--l1-ratio", 0.25), (1.0, 0.25)),
        (("--penalty", "none"), (math.inf, 0.0)),
    ],
)
def test_penalties_by_name(capsys, tmp_path, table, options, wanted):
    model = tmp_path / "people.model"
    ended = succeed(capsys, "train", table, "--target", "income", "--model", model, *options)
    assert "warning" not in ended.err
    stored = load_model_file(model).estimator
    assert (stored.C, stored.l1_ratio) == wanted
    assert stored.solver_ == ("proximal" if wanted[1] else "subsampled-newton")


def test_rows_held_back_teach_nothing(capsys, tmp_path, table):
    lines = table.read_text().splitlines()
    table.write_text(
        "\n".join([lines[0], *(f"{at},town {at},1,{line.split(',')[-1]}" for at, line in enumerate(lines[1:]))])
    )
    model = tmp_path / "people.model"
    args = ["train", table, "--target", "income", "--test-size", 0.25, "--model", model]
    ended = succeed(capsys, *args)
    assert facts(ended.out)["rows"].split() == ["150", "50"]
    assert len(facts(ended.out)["share"].split("%")) == 3
    assert f"{table}: 150 rows, 3 columns, 152 after encoding" in ended.err  # a town for each row trained on
    first = model.read_bytes()
    assert succeed(capsys, *args, "--seed", 0).out.split("time")[0] == ended.out.split("time")[0]
    assert model.read_bytes() == first
    succeed(capsys, *args, "--seed", 1)
    assert model.read_bytes() != first


def test_positive_sets_one_label_against_the_rest(capsys, tmp_path):
    X, y = numbers()
    labels = np.where(y == 1, 2, np.where(X[:, 1] > 0, 5, 7))
    np.savez(tmp_path / "rows.npz", X=X, label=labels)
    model = tmp_path / "rows.model"
    out = succeed(
        capsys, "train", tmp_path / "rows.npz", "--target", "label", "--positive", "2.0", "--model", model
    ).out
    assert facts(out)["share"] == f"of 2   {100 * (labels == 2).mean():.2f} %"
    assert "classes     not 2 | 2\n" in succeed(capsys, "info", model).out
    np.save(tmp_path / "rows.npy", X)
    header, rows = read_csv(succeed(capsys, "predict", model, tmp_path / "rows.npy", "--proba").out)
    assert header == ["prediction", "probability of not 2", "probability of 2"]
    assert {row[0] for row in rows} == {"not 2", "2"}
    agreeing = np.mean([(row[0] == "2") == (label == 2) for row, label in zip(rows, labels, strict=True)])
    assert agreeing > 0.6


@pytest.mark.parametrize(("positive", "share"), [("true", 0.25), ("FALSE", 0.75)])
def test_positive_of_booleans(capsys, tmp_path, positive, share):
    np.savez(tmp_path / "rows.npz", X=np.eye(8), label=np.arange(8) < 2)
    out = succeed(capsys, "train", tmp_path / "rows.npz", "--target", "label", "--positive", positive).out
    assert f"share of {positive.title()}" in out
    assert f"{100 * share:.2f} %" in out


# ------------------------------------------------------------------------------------------------------ rows to test


def test_valid_file_with_other_leading_lines_and_full_stops(capsys, tmp_path):
    train = people(tmp_path / "train.data", header=False)
    valid = people(tmp_path / "test.data", 80, seed=1, header=False, full_stop=".")
    valid.write_text("|1x3 Cross validator\n" + valid.read_text())
    args = ["train", train, "--no-header", "--target", "c3", "--valid", valid]
    refused = run(capsys, *args)
    assert refused.code == 2
    assert refused.err.rstrip().endswith("pass over it with --valid-skip-rows 1")
    ended = succeed(capsys, *args, "--valid-skip-rows", 1)
    assert "the labels 'high.', 'low.' are taken as 'high', 'low'" in ended.err
    assert facts(ended.out)["rows"].split() == ["200", "80"]
    one_against_rest = succeed(capsys, *args, "--valid-skip-rows", 1, "--positive", "low")
    assert facts(one_against_rest.out)["accuracy"] == facts(ended.out)["accuracy"]


def test_valid_arrays_of_the_same_archive(capsys, tmp_path):
    X, y = numbers()
    np.savez(tmp_path / "rows.npz", X_train=X[:150], y_train=y[:150], X_test=X[150:], y_test=y[150:])
    args = ["train", tmp_path / "rows.npz", "--target", "y_train", "--valid", tmp_path / "rows.npz"]
    ended = succeed(capsys, *args, "--valid-target", "y_test", "--valid-features", "X_test")
    assert facts(ended.out)["rows"].split() == ["150", "50"]
    assert "is the file trained on; hold rows back with --test-size" in run(capsys, *args).err


def test_valid_rows_of_one_class_have_no_auc(capsys, tmp_path, table):
    lines = table.read_text().splitlines()
    valid = tmp_path / "valid.csv"
    valid.write_text("\n".join([lines[0], *(line for line in lines if line.endswith("low"))]))
    out = succeed(capsys, "train", table, "--target", "income", "--valid", valid).out
    assert facts(out)["AUC"].endswith("one class")


# ----------------------------------------------------------------------------------------------------------- predict


def test_predictions_are_those_of_the_model(capsys, tmp_path, table):
    model, output = tmp_path / "people.model", tmp_path / "predicted.csv"
    succeed(capsys, "train", table, "--target", "income", "--model", model)
    ended = succeed(capsys, "predict", model, table, "--proba", "--output", output)
    assert ended.out == ""
    assert ended.err == f"200 predictions written to {output}\n"
    stored = load_model_file(model)
    from gpu_logreg.files.load import load_prediction_data

    schema = Schema.from_json(stored.schema)
    X = schema.transform(load_prediction_data(table, schema))
    header, rows = read_csv(output.read_text())
    assert header == ["prediction", "probability of high", "probability of low"]
    assert [row[0] for row in rows] == stored.estimator.predict(X).tolist()
    written = np.array([row[1:] for row in rows], dtype=float)
    np.testing.assert_allclose(written, stored.estimator.predict_proba(X), rtol=1e-8)
    assert succeed(capsys, "predict", model, table, "--proba").out == output.read_text()
    assert succeed(capsys, "predict", model, table).out.splitlines() == [
        "prediction",
        *(row[0] for row in rows),
    ]


def test_only_what_needs_quotes_is_quoted(capsys, tmp_path):
    X, y = numbers()
    arrow = pa.table({"a": X[:, 0], "label": np.where(y == 1, 'yes, "sure"', "no way")})
    pq.write_table(arrow, tmp_path / "rows.parquet")
    model = tmp_path / "rows.model"
    succeed(capsys, "train", tmp_path / "rows.parquet", "--target", "label", "--model", model)
    out = succeed(capsys, "predict", model, tmp_path / "rows.parquet", "--proba").out
    assert out.startswith('prediction,probability of no way,"probability of yes, ""sure"""\n')
    assert {line.rsplit(",", 2)[0] for line in out.splitlines()[1:]} == {"no way", '"yes, ""sure"""'}


def test_the_larger_probability_written_is_that_of_the_class_predicted():
    tiny = np.array([5e-324, 1e-300, 1e-17, 1e-16, 2.3e-16, 1e-12, 9.9e-9, 1e-8, 1.1e-8, 1e-4, 1.0, 36.0, 800.0])
    z = np.concatenate([-tiny, tiny])
    first, second = _probabilities(z)
    for logit, p, q in zip(z.tolist(), first, second, strict=True):
        assert (float(q) > float(p)) == (logit > 0)
        assert float(p) + float(q) == pytest.approx(1, abs=2e-9)
    assert _probabilities(np.zeros(1)) == (["0.5"], ["0.5"])
    assert _probabilities(np.array([np.log(3.0)]))[1] == ["0.75"]
    assert float(next(iter(_probabilities(np.array([-700.0]))[1]))) == pytest.approx(np.exp(-700), rel=1e-8)


def test_output_replaces_a_file_and_not_a_link_or_a_device(capsys, tmp_path, table):
    model = tmp_path / "people.model"
    succeed(capsys, "train", table, "--target", "income", "--model", model)
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    succeed(capsys, "predict", model, table, "--output", link)
    assert link.is_symlink()
    assert target.read_text().startswith("prediction\n")
    succeed(capsys, "predict", model, table, "--output", "/dev/null")
    assert not Path("/dev/null").is_file()
    refused = run(capsys, "train", table, "--target", "income", "--model", "/dev/null")
    assert (refused.code, refused.err) == (2, "error: /dev/null: is a device or a pipe; give the name of a file\n")


def test_info_describes_a_model(capsys, tmp_path, table):
    model = tmp_path / "people.model"
    succeed(capsys, "train", table, "--target", "income", "--model", model, "--C", 2)
    told = facts(succeed(capsys, "info", model).out)
    assert told["classes"] == "high | low"
    assert told["target"] == "income"
    assert told["columns"] == "2 of numbers, 1 of text; 6 after encoding"
    assert told["parameters"] == "C=2.0, random_state=0"
    assert float(told["city=Rome"]) < 0
    assert "speak for low" in told["Coefficients,"]


# ------------------------------------------------------------------------------------------------- what a person sees


def iteration(n_iter: int, last: bool = False) -> Iteration:
    return Iteration(n_iter, np.zeros(2), 0.5, 1e-3, 1.0, last)


def test_progress_elsewhere_is_a_line_now_and_then(capsys):
    with report.fit_progress() as observer:
        for n_iter in range(1, 124):
            observer(iteration(n_iter, last=n_iter == 123))
    err = capsys.readouterr().err
    assert [int(line.split()[1]) for line in err.splitlines()] == [1, 2, 5, 10, 20, 50, 100, 123]
    assert err.startswith("iteration    1  objective 0.50000000  max |gradient| 1.0e-03  ")


def test_progress_on_a_terminal_is_one_line_and_leaves_none(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(report, "Console", lambda **_: Console(file=screen, force_terminal=True, width=80))
    with report.fit_progress() as observer:
        observer(iteration(3))
    with report.waiting("reading [bold]x.csv"):
        pass
    assert "iteration    3" in screen.getvalue()
    assert "reading [bold]x.csv" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K")  # the line is wiped


def test_long_values_are_folded_and_long_names_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    report.print_facts({"GPU": "not usable: " + "because " * 20, "empty": ""})
    report.print_table({"": {"a" * 100: "+1.5", "日本": "+2"}})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[1].startswith("       because")
    assert lines[-2].split() == ["a" * 45 + "...", "+1.5"]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("auto: CuPy 14 finds no CUDA driver (CUDARuntimeError: x); install", "CuPy 14 finds no CUDA driver"),
        ("auto: CuPy is not installed; install it with: pip", "CuPy is not installed"),
        ("auto: the rows are few (44.9 MiB)", "the rows are few"),
        ("asked for", "asked for"),
    ],
)  # fmt: skip
def test_reasons_are_short(reason, shown):
    assert report.short_reason(reason) == shown


def test_times_are_short():
    assert [report.duration(seconds) for seconds in (0.0004, 0.0321, 0.0996, 1.25)] == [
        "0 ms",
        "32 ms",
        "0.10 s",
        "1.25 s",
    ]


def test_demo_runs_and_leaves_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_demo(n_rows=4000)
    out = capsys.readouterr().out
    assert Path.cwd() == tmp_path
    assert listing(tmp_path) == {}
    assert "model       saved to cancer.model" in out
    assert "prediction,probability of benign,probability of malignant" in out
    rows = {line.split("  ")[0]: line.split()[-3:] for line in out.splitlines()}
    assert rows["converged"][0] == "yes"
    assert float(rows["objective"][0]) <= min(map(float, rows["objective"][1:]))
    assert "In this run scikit-learn took " in out


def test_the_large_problem_of_the_demo_is_as_it_says():
    X, y = table_like_problem(20_000)
    assert X.dtype == np.float32
    scales, means = X.std(axis=0), X.mean(axis=0)
    assert 0.05 < scales.min() < 0.2 < 5 < scales.max() < 20
    assert 1 < np.abs(means / scales).max() < 4.5
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(X, rowvar=False))
    assert 200 < eigenvalues[-1] / eigenvalues[0] < 5000
    assert 0.3 < y.mean() < 0.7
    assert np.array_equal(X[:100], table_like_problem(20_000)[0][:100])


# ------------------------------------------------------------------------------------------------------ other processes


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error(tmp_path, capsys):
    table = people(tmp_path / "people.csv", 20_000)
    model = tmp_path / "people.model"
    succeed(capsys, "train", table, "--target", "income", "--model", model)
    process = subprocess.Popen(
        [*COMMAND, "predict", str(model), str(table), "--proba"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"prediction,probability of high,probability of low\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 0


def test_as_a_process(tmp_path):
    table = people(tmp_path / "people.csv")
    ended = run_alone("train", table, "--target", "income", "--max-iter", "1", env={**os.environ, "COLUMNS": "80"})
    assert ended.code == 0
    assert "converged   NO: " in ended.out
    assert ended.err.count("warning: ") == 1


# ---------------------------------------------------------------------------------------------------------- real data


def test_adult(capsys, tmp_path):
    data, test, model = real_data("adult.data.gz"), real_data("adult.test.gz"), tmp_path / "adult.model"
    ended = succeed(capsys, "train", data, "--no-header", "--target", "c14", "--valid", test, "--model", model)
    told = facts(ended.out)
    assert told["rows"].split() == ["32,561", "16,281"]
    assert "the labels '<=50K.', '>50K.' are taken as '<=50K', '>50K'" in ended.err
    assert told["converged"].startswith("yes")
    assert [float(value) for value in told["accuracy"].split()] == pytest.approx([0.8531, 0.8531], abs=5e-4)
    header, rows = read_csv(succeed(capsys, "predict", model, test, "--proba").out)
    assert header == ["prediction", "probability of <=50K", "probability of >50K"]
    assert len(rows) == 16281
    assert {row[0] for row in rows} == {"<=50K", ">50K"}
    assert np.abs(np.array([row[1:] for row in rows], dtype=float).sum(axis=1) - 1).max() < 2e-9


def test_many_classes_from_training_to_prediction(capsys, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 3))
    names = np.array(["ash", "birch", "cedar"])[(x @ rng.standard_normal((3, 3)) + rng.gumbel(size=(600, 3))).argmax(1)]
    data, model = tmp_path / "trees.csv", tmp_path / "trees.model"
    lines = [f"{a},{b},{c},{name}" for (a, b, c), name in zip(x.tolist(), names, strict=True)]
    data.write_text("a,b,c,tree\n" + "\n".join(lines) + "\n")
    out = succeed(capsys, "train", data, "--target", "tree", "--test-size", "0.25", "--model", model).out
    table = out.split("Rows of a class (down), taken for (across)\n")[1].splitlines()
    assert table[0].split() == ["ash", "birch", "cedar"]
    counts = np.array([row.split()[1:] for row in table[1:4]], dtype=int)
    assert counts.sum() == 150
    accuracy = float(facts(out)["accuracy"].split()[1])
    assert np.trace(counts) / 150 == pytest.approx(accuracy, abs=1e-4)
    header, rows = read_csv(succeed(capsys, "predict", model, data, "--proba").out)
    assert header == ["prediction", *(f"probability of {name}" for name in ("ash", "birch", "cedar"))]
    proba = np.array([row[1:] for row in rows], dtype=float)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-8)
    assert [row[0] for row in rows] == [("ash", "birch", "cedar")[k] for k in proba.argmax(axis=1)]
    told = succeed(capsys, "info", model).out
    assert facts(told)["classes"] == "ash | birch | cedar"
    assert "speak most for a class" in told


def test_the_most_frequent_mistakes_of_many_classes(capsys, tmp_path):
    rng = np.random.default_rng(1)
    names = np.array([f"k{k:02d}" for k in rng.integers(0, 20, 900)])
    data = tmp_path / "many.csv"
    data.write_text("a,name\n" + "".join(f"{x},{name}\n" for x, name in zip(rng.random(900), names, strict=True)))
    out = succeed(capsys, "train", data, "--target", "name").out
    assert "The 12 most frequent mistakes" in out
    assert " taken for k" in out


@pytest.mark.slow
def test_kddcup(capsys, tmp_path):
    data, model, output = real_data("kddcup.data_10_percent.gz"), tmp_path / "kdd.model", tmp_path / "predicted.csv"
    args = ["train", data, "--no-header", "--target", "c41"]
    told = facts(succeed(capsys, *args, "--positive", "normal.", "--model", model).out)
    assert told["rows"] == "494,021"
    assert told["converged"].startswith("yes")
    assert float(told["accuracy"]) > 0.998
    succeed(capsys, "predict", model, data, "--output", output)
    lines = output.read_text().splitlines()
    assert len(lines) == 494_022
    assert set(lines[1:]) == {"normal.", "not normal."}


def test_libsvm_text_with_fewer_columns_to_test_on(capsys, tmp_path):
    data, test, model = real_data("a9a.gz"), real_data("a9a.t.gz"), tmp_path / "a9a.model"
    out = succeed(capsys, "train", data, "--valid", test, "--model", model).out
    assert facts(out)["rows"].split() == ["32,561", "16,281"]
    assert float(facts(out)["accuracy"].split()[1]) == pytest.approx(0.850, abs=1e-3)
    header, rows = read_csv(succeed(capsys, "predict", model, test, "--proba").out)
    assert header == ["prediction", "probability of -1", "probability of 1"]
    assert len(rows) == 16281


# -------------------------------------------------------------------------------------------------------- sparse rows


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """LIBSVM text of which few elements are stored."""
    sparse_text(tmp_path / "few.svm")
    return tmp_path / "few.svm"


@pytest.mark.parametrize("options", [(), ("--penalty", "l1"), ("--solver", "lbfgs", "--dtype", "float32")])
def test_sparse_rows_from_training_to_prediction(capsys, tmp_path, few, options):
    test, model = tmp_path / "test.svm", tmp_path / "few.model"
    sparse_text(test, 50, 40, seed=1)
    ended = succeed(capsys, "train", few, "--valid", test, "--model", model, *options)
    assert f"{few}: 300 rows, 60 columns, sparse (11 % stored); " in ended.err
    told = facts(ended.out)
    assert told["rows"].split() == ["300", "50"]
    assert told["device"] == "cpu (X is sparse, and sparse rows are walked on the CPU)"
    _, rows = read_csv(succeed(capsys, "predict", model, few, "--proba").out)
    dense = tmp_path / "few.npy"
    np.save(dense, sparse_text(tmp_path / "again.svm").toarray())
    _, wanted = read_csv(succeed(capsys, "predict", model, dense, "--proba").out)
    np.testing.assert_allclose(np.array(rows, float), np.array(wanted, float), atol=1e-6)
    assert len(succeed(capsys, "predict", model, test).out.splitlines()) == 51
    assert "columns     60 of numbers, 0 of text; 60 after encoding" in succeed(capsys, "info", model).out


def test_sparse_rows_give_the_model_of_dense_rows(capsys, tmp_path, few):
    paths = [tmp_path / "sparse.model", tmp_path / "dense.model"]
    succeed(capsys, "train", few, "--test-size", 0.25, "--tol", 1e-9, "--model", paths[0])
    labels = [int(line.split()[0]) for line in few.read_text().splitlines()]
    np.savez(tmp_path / "few.npz", X=sparse_text(tmp_path / "again.svm").toarray(), y=labels)
    args = ["train", tmp_path / "few.npz", "--target", "y", "--test-size", 0.25, "--tol", 1e-9]
    succeed(capsys, *args, "--model", paths[1])
    found, wanted = (load_model_file(path).estimator for path in paths)
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-6)


@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_what_needs_dense_rows_gets_them(capsys, few, storage):
    err = succeed(capsys, "train", few, "--storage", storage).err
    assert ("sparse" in err) == (storage == "float32")


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"device": "auto", "impl": "auto", "storage": "auto"}, False),
        ({"device": "cpu", "impl": "cpu", "storage": "float64"}, False),
        ({"device": "cuda"}, True),
        ({"device": "cuda:1"}, True),
        ({"impl": "cublas"}, True),
        ({"storage": "uint8"}, True),
        ({}, False),
    ],
)
def test_which_options_need_dense_rows(given, needed):
    assert needs_dense_rows(given) == needed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 0:1", "test.svm: has a feature 0, but the features of the model start at 1; add 1 to each index"),
        ("1 3:1 9:nan", "test.svm, row 2: column 'c8' holds NaN; remove or replace it"),
        ("1 3:-inf", "test.svm, row 2: column 'c2' holds infinity; remove or replace it"),
        ("2 3:1", "test.svm: the labels holds 2, which training did not see; it saw 0, 1"),
    ],
)
def test_sparse_rows_to_test_on_that_cannot_be_used(capsys, tmp_path, few, line, said):
    test, model = tmp_path / "test.svm", tmp_path / "few.model"
    test.write_text(f"0 1:1\n{line}\n")
    ended = run(capsys, "train", few, "--valid", test, "--model", model)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(f"{said}\n")
    assert not model.exists()
    if "labels" not in said:
        succeed(capsys, "train", few, "--model", model)
        ended = run(capsys, "predict", model, test)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.endswith(f"{said}\n")


def test_sparse_rows_to_train_on_that_are_not_finite(capsys, few):
    few.write_text(few.read_text() + "1 5:nan\n")
    for options in ((), ("--penalty", "l1"), ("--hidden", 2)):
        ended = run(capsys, "train", few, *options)
        assert ended.code == 2
        assert ended.err.endswith("few.svm, row 301: column 'c4' holds NaN; remove or replace it\n")


def test_numbers_of_libsvm_text_are_classes(capsys, tmp_path):
    X = sparse_text(tmp_path / "many.svm", 360, 120, classes=120)
    out = succeed(capsys, "train", tmp_path / "many.svm", "--max-iter", 3, "--tol", 1).out
    assert "The 12 most frequent mistakes" in out
    lines = [line.split(maxsplit=1)[1:] for line in (tmp_path / "many.svm").read_text().splitlines()]
    (tmp_path / "more.svm").write_text("".join(" ".join([str(at), *rest]) + "\n" for at, rest in enumerate(lines * 3)))
    ended = run(capsys, "train", tmp_path / "more.svm")
    assert ended.code == 2
    assert "holds 1,080 numbers in 1,080 rows: 0, 1, 2, 3, 4, 5, 6, 7, ...; these are no classes: set one" in ended.err
    np.savez(tmp_path / "many.npz", X=X.toarray(), y=np.arange(360) % 120)
    assert "more than 100 classes" in run(capsys, "train", tmp_path / "many.npz", "--target", "y").err


@pytest.mark.slow
def test_reuters(capsys, tmp_path):
    data, test, model = real_data("reuters.trn.bz2"), real_data("reuters.tst.bz2"), tmp_path / "reuters.model"
    ended = succeed(capsys, "train", data, "--valid", test, "--model", model)
    assert "7,770 rows, 8,315 columns, sparse (0.53 % stored); " in ended.err
    told = facts(ended.out)
    assert told["rows"].split() == ["7,770", "3,299"]
    assert [float(value) for value in told["accuracy"].split()] == pytest.approx([0.9795, 0.9661], abs=5e-4)
    assert len(succeed(capsys, "predict", model, test).out.splitlines()) == 3300


def test_images_as_bytes(capsys):
    data = real_data("mnist.npz")
    args = ["train", data, "--target", "y_test", "--positive", 5, "--test-size", 0.2, "--max-iter", 2]
    out = succeed(capsys, *args).out
    assert facts(out)["rows"].split() == ["8,000", "2,000"]
    assert [float(value) for value in facts(out)["accuracy"].split()] > [0.92, 0.92]


def test_zipped_csv_with_semicolons(capsys, tmp_path):
    import zipfile

    whole = real_data("bank-additional.zip")
    refused = run(capsys, "train", whole, "--target", "y")
    assert "holds 4 files (" in refused.err
    with zipfile.ZipFile(whole) as archive:
        name = next(name for name in archive.namelist() if name.endswith("bank-full.csv"))
        with zipfile.ZipFile(tmp_path / "bank.zip", "w", zipfile.ZIP_DEFLATED) as one:
            one.writestr("bank-full.csv", archive.read(name))
    told = facts(succeed(capsys, "train", tmp_path / "bank.zip", "--target", "y", "--test-size", 0.25).out)
    assert told["rows"].split() == ["33,908", "11,303"]
    assert min(map(float, told["accuracy"].split())) > 0.89
