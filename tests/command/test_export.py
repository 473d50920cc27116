"""``gpu-logreg export``: onnxruntime answers on the columns of a table as the model does on its encoded rows."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from command_line import run, succeed
from real_data import real_data

from gpu_logreg.files.load import as_table
from gpu_logreg.files.schema import Schema
from gpu_logreg.saved.model_file import load_model_file

HOW = "is not installed: pip install 'gpu-logreg[onnx]'"


@pytest.fixture
def onnxruntime():
    pytest.importorskip("skl2onnx", reason=f"skl2onnx {HOW}")
    return pytest.importorskip("onnxruntime", reason=f"onnxruntime {HOW}")


def write(path, names, records):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *records])


def compared(capsys, onnxruntime, folder, names, records, *options):
    """Probabilities of the graph and of the model, of records whose last cell is the label, and the labels."""
    import pyarrow as pa

    table, saved, graph = folder / "table.csv", folder / "table.model", folder / "table.onnx"
    write(table, names, records)
    succeed(capsys, "train", table, "--target", names[-1], "--model", saved, *options)
    assert f"{graph}: inputs {names[0]}" in succeed(capsys, "export", saved, graph).out
    stored = load_model_file(saved)
    schema = Schema.from_json(stored.schema)
    numeric = {column.name for column in schema.numeric}
    cells, arrow = {}, {}
    for at, name in enumerate(names[:-1]):
        texts = [record[at] for record in records]
        if name in numeric:
            values = np.array([float(text or "nan") for text in texts])
            cells[name], arrow[name] = values[:, None], pa.array(values, from_pandas=True)
        else:
            cells[name] = np.array(texts, object)[:, None]
            arrow[name] = [text or None for text in texts]
    X = schema.transform(as_table(pa.table(arrow)))
    session = onnxruntime.InferenceSession(graph.read_bytes())
    label, probabilities = session.run(None, cells)
    return stored.estimator, X, label, probabilities


@pytest.mark.parametrize("options", [(), ("--hidden", "3")], ids=["regression", "network"])
def test_missing_cells_and_texts(capsys, onnxruntime, tmp_path, options):
    rng = np.random.default_rng(0)
    towns = rng.choice(["Bern", "Rome", "Oslo", ""], 200)
    ages, heights = rng.integers(20, 60, 200), rng.integers(150, 200, 200)
    label = np.where(ages + 10 * (towns == "Rome") + rng.normal(0, 8, 200) > 42, "yes", "no")
    records = [
        ["" if at % 7 == 0 else str(age), town, str(height), y]
        for at, (age, town, height, y) in enumerate(zip(ages, towns, heights, label, strict=True))
    ]
    model, X, found, p = compared(capsys, onnxruntime, tmp_path, ["age", "town", "height", "y"], records, *options)
    np.testing.assert_array_equal(found, model.predict(X))
    np.testing.assert_allclose(p, model.predict_proba(X), rtol=1e-9, atol=1e-12)
    session = onnxruntime.InferenceSession((tmp_path / "table.onnx").read_bytes())
    one = np.array([[30.0]])
    unknown = session.run(None, {"age": one, "town": np.array([["Lima"]], object), "height": 5.0 * one})[1]
    row = np.concatenate([[30.0, 150.0, 0.0], np.zeros(4)])[None]
    np.testing.assert_allclose(unknown, model.predict_proba(row), rtol=1e-9)


def test_the_raw_table_of_adult(capsys, onnxruntime, tmp_path):
    with gzip.open(real_data("adult.data.gz"), "rt") as file:
        records = [[cell.strip() for cell in line] for line in csv.reader(file) if line][:4000]
    records = [["" if cell == "?" else cell for cell in record] for record in records]
    names = [f"c{k}" for k in range(15)]
    options = ("--positive", ">50K")
    model, X, found, p = compared(capsys, onnxruntime, tmp_path, names, records, *options)
    np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-7)
    assert set(found) == {">50K", "not >50K"}


def test_forms_of_numbers_are_refused_in_a_line(capsys, tmp_path):
    pytest.importorskip("skl2onnx", reason=f"skl2onnx {HOW}")
    table, saved, graph = tmp_path / "table.csv", tmp_path / "table.model", tmp_path / "table.onnx"
    records = [[f"2015-{1 + at % 12:02}-{1 + at % 28:02}", "ab"[at % 12 > 5]] for at in range(60)]
    write(table, ["day", "y"], records)
    succeed(capsys, "train", table, "--target", "y", "--model", saved)
    ended = run(capsys, "export", saved, graph)
    assert ended.code == 2
    assert "column 'day' was read as date, a form of text that ONNX does not read" in ended.err
    assert not graph.exists()


def test_a_name_that_the_graph_has_is_refused(capsys, tmp_path):
    pytest.importorskip("skl2onnx", reason=f"skl2onnx {HOW}")
    table, saved = tmp_path / "table.csv", tmp_path / "table.model"
    write(table, ["label", "y"], [[str(at), "ab"[at > 20]] for at in range(40)])
    succeed(capsys, "train", table, "--target", "y", "--model", saved)
    ended = run(capsys, "export", saved, Path(tmp_path / "table.onnx"))
    assert (ended.code, "column 'label' has a name that the graph has" in ended.err) == (2, True)
