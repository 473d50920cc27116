"""``gpu-logreg train --cv``: the table, the choice, the model file, and what is refused in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import people, run, succeed

from gpu_logreg import LogisticRegression, LogisticRegressionCV, load_model
from gpu_logreg.files.load import load_training_data
from gpu_logreg.files.schema import Schema


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return people(tmp_path_factory.mktemp("people") / "people.csv", 240)


def test_the_table_names_the_choice_and_the_model_is_kept(capsys, table, tmp_path):
    saved = tmp_path / "income.model"
    ended = succeed(capsys, "train", table, "--target", "income", "--cv", 3, "--Cs", "0.01,10,0.3", "--model", saved)
    model = load_model(saved)
    assert isinstance(model, LogisticRegressionCV)
    assert (model.cv, model.Cs) == (3, [0.01, 10.0, 0.3])
    lines = ended.out.splitlines()
    assert lines[0].split() == ["log", "loss", "of", "the", "folds"]
    losses = -model.scores_[:, 0]
    for line, at in zip(lines[1:4], (0, 2, 1), strict=True):  # C rises down the table
        fold = losses[:, at]
        words = [f"C={model.Cs[at]:g}", f"{fold.mean():.5f}", f"{fold.min():.5f}", "to", f"{fold.max():.5f}"]
        assert line.split() == words + (["chosen"] if at == losses.mean(axis=0).argmin() else [])
    assert f"choice      C={model.C_:g} of 3, by 3 folds" in ended.out
    assert f"{model.n_iter_.sum():,} in 9 fits, the chosen one by {model.solver_}" in ended.out
    assert "reads so far" not in ended.out + ended.err

    rows, y = load_training_data(table, "income")
    alone = LogisticRegression(C=model.C_, tol=1e-9).fit(Schema.fit(rows).transform(rows, np.dtype(np.float64)), y)
    np.testing.assert_allclose(model.coef_, alone.coef_, atol=1e-4)
    info = succeed(capsys, "info", saved).out
    assert "logistic-regression-cv, written by" in info
    assert f"choice      C={model.C_:g} of 3, by 3 folds" in info
    assert len(succeed(capsys, "predict", saved, table).out.splitlines()) == 241


def test_a_number_of_values_and_a_share_of_l1(capsys, table, tmp_path):
    saved = tmp_path / "income.model"
    arguments = "--cv", 2, "--Cs", 2, "--l1-ratio", 0.5, "--class-weight", "balanced", "--model", saved
    ended = succeed(capsys, "train", table, "--target", "income", *arguments)
    model = load_model(saved)
    assert (model.Cs, model.l1_ratios, model.class_weight) == (2, [0.5], "balanced")
    np.testing.assert_allclose(model.Cs_, [1e-4, 1e4])
    assert "of 2, by 2 folds, at the end of what was tried" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--Cs", 5), "--Cs gives values to choose from by --cv"),
        (("--cv", 3, "--hidden", 4), "--cv is not for networks"),
        (("--cv", 3, "--C", 2), "--C sets the strength that --cv is to choose"),
        (("--cv", 3, "--penalty", "none"), "--penalty none sets the strength that --cv is to choose"),
        (("--cv", 3, "--Cs", "many"), "--Cs many is neither a number of values nor values"),
        (("--cv", 3, "--Cs", "0"), "Cs[0] is 0; inverse strengths of the penalty are above 0"),
        (("--cv", 3, "--Cs", "1,-1"), "Cs[1] is -1; inverse strengths of the penalty are above 0"),
        (("--cv", 3, "--Cs", "1,2,1"), "--Cs 1,2,1 holds a value twice"),
        (("--cv", 3, "--solver", "sgd"), "--solver sgd does not go with --cv"),
        (("--cv", 3, "--solver", "lbfgs", "--penalty", "l1"), "Solver lbfgs supports only 'l2' or None penalties"),
        (("--cv", 3, "--max-time", 1), "--max-time is for one fit, and --cv makes many"),
        (("--cv", 3, "--checkpoint", "c.file"), "--checkpoint is for one fit, and --cv makes many"),
        (
            ("--cv", 3, "--memory-budget", "1KB"),
            "--cv is for rows in the memory of this process; leave it out, or --mem",
        ),
        (("--cv", 3, "--workers", 2), "--cv is for rows in the memory of this process; leave it out, or --workers"),
        (("--cv", 200), "--cv 200: the class 'high' has 1"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_line(capsys, table, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    ended = run(capsys, "train", table, "--target", "income", *arguments)
    error = ended.err.splitlines()[-1]
    assert ended.code == 2
    assert error.startswith("error: ")
    assert message in error


def test_a_stream_is_refused_in_a_line(capsys, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    columns = {"x": np.arange(40.0), "income": np.arange(40) % 2}
    for part in range(2):
        pq.write_table(pa.table(columns), parts / f"part-{part}.parquet")
    ended = run(capsys, "train", parts / "*.parquet", "--target", "income", "--cv", 3)
    assert ended.code == 2
    assert "*.parquet: is streamed, being large or many files, and --cv is for rows in memory; give --C" in ended.err
