"""Model files that are damaged, or that say something wrong under a right checksum: one line, and no memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from fresh_process import run_fresh

from gpu_logreg import LogisticRegression, MLPClassifier, load_model, save_model
from gpu_logreg.command.stored_columns import header_of, positive_of, schema_of
from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.saved.model_file import load_model_file

ROOT = Path(__file__).resolve().parents[2]
SEMANTIC, RAW = 200, 160


@pytest.fixture(scope="module")
def damage():
    pytest.importorskip("typer", reason="the command line is not installed: pip install 'gpu-logreg[cli]'")
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        import damage
    finally:
        sys.path.remove(str(ROOT / "bench"))
    return damage


@pytest.fixture(scope="module")
def models(damage, tmp_path_factory) -> dict[str, Path]:
    return damage.write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def table(damage, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "new.csv"
    path.write_text(damage.TABLE)
    return path


def test_good_models_are_no_fault(damage, models, table):
    for path in models.values():
        assert list(damage.faults(path, table)) == []


def test_what_a_file_says(damage, models, table, tmp_path):
    path, damages = tmp_path / "m", list(damage.semantic_damages(models))
    assert len(damages) > 20 * SEMANTIC
    for name, data in damages[:: len(damages) // SEMANTIC]:
        path.write_bytes(data)
        assert list(damage.faults(path, table)) == [], name


def test_its_bytes(damage, models, table, tmp_path):
    random = np.random.default_rng(7)
    path = tmp_path / "m"
    for good in models.values():
        for name, data in damage.raw_damages(good.read_bytes(), RAW // len(models), random):
            path.write_bytes(data)
            assert list(damage.faults(path, table)) == [], name


def refused(damage, path: Path, change) -> str:
    content = damage.read(path)
    change(content)
    path.write_bytes(damage.signed(content))
    with pytest.raises(ModelFileError) as error:
        load_model(path)
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"coef_": np.ones((1, 4))}, "n_features_in_ is 3, and the weights are of 4"),
        ({"coef_": np.ones((3, 3))}, "coef_ is of shape (3, 3), and intercept_ of (1,)"),
        ({"coef_": np.ones((3, 3)), "intercept_": np.ones(3)}, "2 classes_ for 3 logits"),
        ({"coef_": np.ones((2, 3)), "intercept_": np.ones(2)}, "2 classes_ for 2 logits"),
        ({"coef_": np.ones(3)}, "coef_ is an array of float64 of shape (3,)"),
        ({"coef_": np.array([[1.0, np.nan, 1.0]])}, "coef_ holds numbers that are not finite"),
        ({"intercept_": np.array([np.inf])}, "intercept_ holds numbers that are not finite"),
        ({"coef_": np.ones((1, 3), dtype=np.float16)}, "coef_ is an array of float16 of shape (1, 3)"),
        ({"classes_": {"array": ["a", "a"], "dtype": "<U1"}}, "classes_ holds a class twice"),
        ({"classes_": {"array": ["ab", "ac"], "dtype": "<U1"}}, "an array of dtype <U1 that does not hold its items"),
        ({"classes_": {"array": ["a", "b"], "dtype": "<U90000000"}}, "2 texts that take 360000000 bytes each"),
        ({"classes_": {"array": [1, 2], "dtype": "i4,i4"}}, "an array of dtype 'i4,i4'"),
        ({"n_features_in_": True}, "n_features_in_ is True"),
        ({"stop_reason_": 3}, "stop_reason_ is 3"),
        ({"objective_": 10**400}, "objective_ is 1000000000"),
        ({"fit": 1}, "the attributes classes_"),
    ],
)
def test_contradictions_of_a_linear_model(damage, tmp_path, change, reason):
    save_model(LogisticRegression().fit(np.eye(4, 3), ["a", "b", "a", "b"]), tmp_path / "m")

    def wrong(content):
        fitted = json.loads(content[1]["fitted"])
        for name, value in change.items():
            if isinstance(value, np.ndarray):
                content[0][name] = value
            else:
                fitted[name] = value
        content[1]["fitted"] = json.dumps(fitted)

    message = refused(damage, tmp_path / "m", wrong)
    assert f"a model that cannot be: {reason}" in message
    assert message.endswith("upgrade it, or train again")


@pytest.mark.parametrize(
    ("tensor", "shape", "reason"),
    [
        ("coefs_/0", (2, 4), "n_features_in_ is 3, and the weights are of 2"),
        ("coefs_/1", (5, 1), "layer 2 takes 4 and has weights of (5, 1), intercepts of (1,)"),
        ("intercepts_/0", (5,), "layer 1 takes None and has weights of (3, 4), intercepts of (5,)"),
        ("coefs_/2", (1, 1), "coefs_ and intercepts_ are not one array for each layer"),
        ("coefs_", (1, 1), "coefs_, once as a list and once as a whole"),
    ],
)
def test_contradictions_of_a_network(damage, tmp_path, tensor, shape, reason):
    model = MLPClassifier((4,), solver="lbfgs", max_iter=2, tol=1.0).fit(np.eye(4, 3), [0, 1, 0, 1])
    save_model(model, tmp_path / "m")
    assert reason in refused(damage, tmp_path / "m", lambda held: held[0].update({tensor: np.ones(shape)}))


def columns(*changes: tuple[int, str, object]) -> str:
    """The columns of a model of a table of numbers, with cells missing in the first, and text."""
    held = [
        {"name": "age", "kind": "numeric", "mean": 1.0, "flagged": True},
        {"name": "city", "kind": "text", "categories": ["Lima", "Rome"], "flagged": False},
        {"name": "hours", "kind": "numeric", "mean": 2.0, "flagged": False},
    ]
    for at, key, value in changes:
        held[at][key] = value
    return json.dumps({"schema_version": 1, "first_index": 0, "columns": held})


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (columns((0, "flagged", False)), "they make 4 of a matrix, and the weights are of 5"),
        (columns((1, "categories", ["Lima", "Lima"])), "the category of column 'city' 'Lima' twice"),
        (columns((1, "categories", ["Lima", 1])), "a category of column 'city' that is no text"),
        (columns((1, "categories", "ab")), "column 'city' has no list of categories"),
        (columns((2, "name", "age")), "the column 'age' twice"),
        (columns((2, "name", 7)), "a column '7', flagged 'False'"),
        (columns((2, "mean", 1e308)), "column 'hours' has the mean 1e+308"),
        (columns((2, "mean", None)), "missing cells of some columns, and no means of others"),
        (columns((2, "kind", "date")), "not a schema of gpu-logreg (ValueError: column 'hours' is of kind 'date')"),
        ('{"schema_version": 2, "first_index": 0, "columns": 1000000000000}', "they make 1000000000000 of a matrix"),
        ('{"schema_version": 2, "first_index": 7, "columns": 5}', "schema_version 2, first_index 7"),
        ('{"schema_version": 99, "first_index": 0, "columns": 5}', "the schema was written by a newer gpu-logreg"),
        ('{"schema_version": 1}', "cannot be used ('first_index'); train again"),
        ("[" * 100_000, "its columns are lists in lists"),
    ],
    ids=range(14),
)
def test_columns_that_are_not_those_of_the_weights(tmp_path, schema, reason):
    path = tmp_path / "m"
    model = LogisticRegression().fit(np.eye(6, 5), [0, 1] * 3)
    save_model(model, path, schema=columns())
    found = schema_of(load_model_file(path), path)
    assert found is not None
    assert len(found.feature_names) == 5
    save_model(model, path, schema=schema)
    with pytest.raises(ModelFileError) as error:
        schema_of(load_model_file(path), path)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)


def test_notes_that_are_of_another_kind(tmp_path):
    path = tmp_path / "m"
    save_model(LogisticRegression().fit(np.eye(3), [0, 1, 2]), path, notes={"positive": "yes", "header": [1]})
    stored = load_model_file(path)
    with pytest.raises(ModelFileError, match="its positive label, 'yes', is none of two classes; train again"):
        positive_of(stored, path)
    with pytest.raises(ModelFileError, match=r"its note on the header, '\[1\]', is neither yes nor no; train again"):
        header_of(stored, path)


def test_a_model_that_another_library_fitted_is_described(tmp_path, capsys):
    from sklearn.linear_model import LogisticRegression as Theirs

    from gpu_logreg.command.describe import describe_model

    save_model(LogisticRegression.from_sklearn(Theirs().fit(np.eye(4, 3), [0, 1, 0, 1])), tmp_path / "m")
    describe_model(tmp_path / "m")
    assert "elsewhere; nothing is known of it" in capsys.readouterr().out


def test_a_network_of_default_layers_is_described_without_them(tmp_path, capsys):
    from gpu_logreg.command.describe import describe_model

    model = MLPClassifier(max_iter=200, solver="lbfgs", tol=1.0, n_iter_no_change=np.int64(10))
    save_model(model.fit(np.eye(4, 3), [0, 1, 0, 1]), tmp_path / "m")
    describe_model(tmp_path / "m")
    parameters = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("parameters"))
    assert parameters.split(maxsplit=1)[1] == "solver='lbfgs', tol=1.0"


def test_what_cannot_be_loaded_is_not_saved(tmp_path):
    model = LogisticRegression().fit(np.eye(4, 3), [0, 1, 0, 1])
    for name, value, reason in (
        ("coef_", np.full((1, 3), np.nan), "cannot be saved: coef_ holds numbers that are not finite"),
        ("intercept_", np.zeros(2), "cannot be saved: coef_ is of shape"),
        ("classes_", np.array([1, 1]), "cannot be saved: classes_ holds a class twice"),
        ("C", -1.0, "cannot be saved: The 'C' parameter"),
    ):
        kept = getattr(model, name)
        setattr(model, name, value)
        with pytest.raises(DataError, match=reason):
            save_model(model, tmp_path / "m")
        setattr(model, name, kept)
    deep: list = []
    deep.append(deep)
    with pytest.raises(DataError, match="note deep cannot be stored in a model file: it is too deep"):
        save_model(model, tmp_path / "m", notes={"deep": deep})
    assert not (tmp_path / "m").exists()


def test_classes_of_another_order_of_bytes(tmp_path):
    X = np.eye(4, 3)
    model = LogisticRegression().fit(X, np.array([1.0, 2.0, 1.0, 2.0], dtype=">f8"))
    model.classes_ = model.classes_.astype(">f8")
    save_model(model, tmp_path / "m")
    assert (load_model(tmp_path / "m").predict(X) == model.predict(X)).all()


def test_memory_and_a_model_from_a_pipe(models):
    """A header that asks for much gets none; a pipe is read once."""
    path = models["table"]
    said = run_fresh(
        f"""
        import os, resource, threading
        from pathlib import Path
        from gpu_logreg.files.schema import Schema
        from gpu_logreg.errors import GpuLogregError
        from gpu_logreg.saved.model_file import load_model, load_model_file
        from gpu_logreg.command.stored_columns import schema_of

        path = Path({str(path)!r})
        data = path.read_bytes()
        reader, writer = os.pipe()
        thread = threading.Thread(target=lambda: (os.write(writer, data), os.close(writer)))
        thread.start()
        load_model(f"/dev/fd/{{reader}}")
        thread.join()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        stored = load_model_file(path)
        object.__setattr__(stored, "schema", '{{"schema_version": 2, "first_index": 0, "columns": 1000000000000}}')
        header = b'{{"__metadata__":{{"format":"gpu-logreg model","format_version":"1"}},'
        header += b'"coef_":{{"dtype":"F64","shape":[1,1000000000000],"data_offsets":[0,8000000000000]}}}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(800))
        for load in (lambda: schema_of(stored, path), lambda: load_model(path), lambda: load_model("/dev/zero")):
            try:
                load()
            except GpuLogregError as error:
                print(str(error)[-60:])
        path.write_bytes(data)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 < 30)
        """
    )
    lines = said.splitlines()
    assert lines[0].endswith("of a matrix, and the weights are of 6); train again"), said
    assert lines[1].endswith("(it ends too soon); fetch it again or train again")
    assert lines[2].endswith("is not a model file; gpu-logreg train --model writes one")
    assert lines[3] == "True"
