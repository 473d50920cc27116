"""``gpu-logreg train --report``: the page on a training from a file."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import numbers, people, run, succeed
from page_reader import Reader, faults, undrawn

from gpu_logreg import load_model
from gpu_logreg.command import training_request
from gpu_logreg.errors import MissingDependencyError
from gpu_logreg.reports import page

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'gpu-logreg[report]'")
pytest.importorskip("jinja2", reason="Jinja2 is not installed: pip install 'gpu-logreg[report]'")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(page, "svg_of", undrawn)


def train(capsys, folder, *arguments) -> tuple[Reader, str]:
    """The page of a training and what the terminal says."""
    ended = succeed(capsys, "train", *arguments, "--report", folder / "page.html")
    text = (folder / "page.html").read_text(encoding="utf-8")
    assert faults(text) == []
    assert len(text) < 2**20
    assert "written to" in ended.out
    return Reader(text), ended.out


def test_a_training_on_a_table(capsys, tmp_path):
    table, model = people(tmp_path / "people.csv"), tmp_path / "m"
    reader, out = train(capsys, tmp_path, table, "--target", "income", "--test-size", "0.25", "--model", model)
    fitted = load_model(model)
    rows = {row[0]: row[1:] for row in reader.tables()["How good the model is"]}
    assert rows["score"] == ["test", "training"]
    assert rows["rows"] == ["50", "150"]
    shown = {line.split()[0]: line.split()[-2:] for line in out.splitlines() if line[:4] in ("accu", "AUC ")}
    assert rows["accuracy"] == shown["accuracy"][::-1]
    assert rows["ROC AUC"] == shown["AUC"][::-1]
    columns = {row[0]: row[1:] for row in reader.tables()["3 columns, 6 after encoding"][1:]}
    assert columns["city"] == ["text", "0", "3 categories: Lima, Oslo, N, Rome"]
    assert columns["hours"][:2] == ["numbers", "0"]
    n_missing = int(columns["age"][1].split()[0])
    assert 0 < n_missing <= sum(at % 17 == 3 for at in range(200))
    assert columns["age"][1] == f"{n_missing} ({100 * n_missing / 150:.2g} %)"
    by_reads = reader.tables()["Objective by reads of the data"]
    assert by_reads[-1] == [f"{fitted.n_reads_:.4g}", f"{fitted.objective_:.10g}"]
    assert len(by_reads) == 1 + int(fitted.n_iter_[0])
    assert {"load", "fit", "converged", "numpy"} <= set(reader.facts())
    assert "city=Rome" in {row[0] for row in reader.tables()["The largest coefficients"]}


def test_all_cells_that_are_missing_are_counted(capsys, tmp_path, quick):
    lines = ["a,b,t"] + [
        f"{'' if k % 4 == 1 else k},{'' if k % 5 == 0 else 'xy'[k % 2]},{(k * 7) % 3 > 0}" for k in range(40)
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    reader, _ = train(capsys, tmp_path, tmp_path / "t.csv", "--target", "t")
    (caption,) = [caption for caption in reader.tables() if "after encoding" in caption]
    assert {row[0]: row[2] for row in reader.tables()[caption][1:]} == {"a": "10 (25 %)", "b": "8 (20 %)"}


def test_a_positive_class_and_no_penalty(capsys, tmp_path, quick):
    table = people(tmp_path / "people.csv")
    more = ("--penalty", "none", "--drop", "city")
    reader, _ = train(capsys, tmp_path, table, "--target", "income", "--positive", "low", *more)
    assert reader.tables()["Rows taken for low from a probability on"]
    assert reader.tables()["The largest coefficients"][0][-2:] == ["lower", "upper"]


def test_the_choice_of_c_has_its_curve(capsys, tmp_path):
    table, model = people(tmp_path / "people.csv"), tmp_path / "m"
    more = ("--target", "income", "--cv", "3", "--Cs", "4", "--model", model)
    reader, _ = train(capsys, tmp_path, table, *more)
    heading, *rows = reader.tables()["log loss of every C"]
    fitted = load_model(model)
    assert heading == ["C", "mean", "least", "largest", ""]
    losses = -fitted.scores_[:, 0]
    assert [row[1:4] for row in rows] == [
        [f"{value:.5f}" for value in (of_c.mean(), of_c.min(), of_c.max())] for of_c in losses.T
    ]
    assert [row[0] for row in rows if row[-1] == "chosen"] == [f"{fitted.C_:.6g}"]
    assert "log loss by C" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_network_and_streamed_rows(capsys, tmp_path, quick):
    table = people(tmp_path / "people.csv", 400)
    network, _ = train(capsys, tmp_path, table, "--target", "income", "--hidden", "3", "--max-iter", "3")
    assert "The largest coefficients" not in network.tables()
    assert "Objective by iterations" in network.tables()
    of_rows, _ = train(capsys, tmp_path, table, "--target", "income")
    for more in ((), ("--test-size", "0.5")):
        streamed, out = train(capsys, tmp_path, table, "--target", "income", "--memory-budget", "4kB", *more)
        rows = {row[0]: row[1:] for row in streamed.tables()["How good the model is"]}
        assert rows["score"] == ["test" if more else "training"]
        assert rows["rows"] == [next(line.split()[-1] for line in out.splitlines() if line.startswith("rows"))]
        if not more:
            assert rows["log loss"] == [
                {row[0]: row[1] for row in of_rows.tables()["How good the model is"]}["log loss"]
            ]


def test_an_array_has_no_names(capsys, tmp_path, quick):
    X, y = numbers()
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    reader, _ = train(capsys, tmp_path, tmp_path / "X.npy", "--target", tmp_path / "y.npy")
    assert "3 columns of numbers without names." in [text for *_, text in reader.all("p")]


def test_places_that_cannot_be_written_are_refused_before_the_training(capsys, tmp_path, monkeypatch):
    table = people(tmp_path / "people.csv")
    before = table.read_bytes()

    def refused(*arguments) -> str:
        ended = run(capsys, "train", table, "--target", "income", *arguments)
        assert (ended.code, ended.out) == (2, "")
        return ended.err

    assert "--report" in refused("--report", table)
    assert "is the file of --model too" in refused("--report", tmp_path / "m", "--model", tmp_path / "m")
    assert "does not exist" in refused("--report", tmp_path / "nowhere" / "page.html")
    assert "those of a cluster stay on its workers" in refused("--report", tmp_path / "p.html", "--workers", "2")
    assert table.read_bytes() == before

    def missing(what):
        raise MissingDependencyError(f"{what} needs matplotlib; install it with: pip install 'gpu-logreg[report]'")

    monkeypatch.setattr(training_request, "check_packages", missing)
    assert refused("--report", tmp_path / "p.html").startswith("error: --report needs matplotlib; install it with")
