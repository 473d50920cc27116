"""LIBSVM text of millions of columns, of features that the model does not have, of weights and queries."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run, succeed
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.arrays.csr import columns_at
from gpu_logreg.command.used_columns import fit_on_used_columns
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.files.load import Matrix, load_labelled_data, load_prediction_data, load_training_data, read_table
from gpu_logreg.files.numbered import NumberedNames, missing_names, numbered_columns
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.unseen import unseen_categories
from gpu_logreg.saved.model_file import load_model

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def hashed(n: int = 60, bits: int = 24, seed: int = 0) -> str:
    """Lines of a few features of ``2**bits``; the sign of the first says the label."""
    rng = np.random.default_rng(seed)
    lines = []
    for row in range(n):
        label = 1 if row % 2 else -1
        others = np.unique(rng.integers(1000, 2**bits, 6))
        lines.append(
            f"{label} {7 if label > 0 else 9}:1 " + " ".join(f"{index}:{rng.normal():.3f}" for index in others)
        )
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------ names on demand


def test_names_of_numbers_are_those_of_a_tuple() -> None:
    plain = tuple(f"c{at}" for at in range(9) if at not in (0, 4))
    for names in (numbered_columns(9).without(["c4", "c0"]), NumberedNames(np.array([1, 2, 3, 5, 6, 7, 8]))):
        assert names == plain
        assert list(names) == list(plain)
        assert [names[at] for at in range(-7, 7)] == [plain[at] for at in range(-7, 7)]
        assert (names[1:5], names[::2], names[::-1]) == (plain[1:5], list(plain[::2]), list(plain[::-1]))
        for name in (*plain, "c0", "c4", "c9", "c01", "c", "c-1", "d1", "c" + "9" * 40):
            assert (name in names) == (name in plain)
        assert [names.index(name) for name in plain] == list(range(7))
        assert (names.width, names.gaps()) == (9, [0, 4])
    assert numbered_columns(3) != ("c0", "c1")
    assert numbered_columns(3) != ["c0", "c1", "c3"]
    with pytest.raises(ValueError, match="'c4' is not among the names"):
        names.index("c4")
    with pytest.raises(ValueError, match="'c1' is not among"):
        numbered_columns(3).index("c1", 2)


def test_missing_names() -> None:
    five, part = numbered_columns(5), numbered_columns(7).without(["c2"])
    assert missing_names(five, part) == ("c2",)
    assert missing_names(part, five) == ("c5", "c6")
    assert missing_names(numbered_columns(2**24), numbered_columns(2**24 + 1)) == ()
    assert missing_names(("c1", "age"), five) == ["age"]
    assert missing_names(five, ["c1", "c0", "c4"]) == ["c2", "c3"]


def test_millions_of_columns_are_counted(write: Write) -> None:
    matrix, _ = load_training_data(write("d.svm", hashed()))
    assert isinstance(matrix, Matrix)
    assert isinstance(matrix.values, sparse.csr_array)
    schema = Schema.fit(matrix)
    held = schema.to_json()
    assert len(held) < 100
    again = Schema.from_json(held)
    assert again == schema
    assert len(again.names) == len(again.columns) == len(again.feature_names) == matrix.values.shape[1] > 2**23
    assert again.columns[12_345].name == again.feature_names[12_345] == "c12345"
    assert (again.is_plain, again.text) == (True, ())
    assert again.transform(matrix) is matrix.values
    assert unseen_categories(matrix, again) == {}
    with pytest.raises(DataError, match=rf"has no column 'c99999999'; its columns are c0 to {matrix.names[-1]}"):
        matrix.drop(["c99999999"])


@pytest.mark.parametrize("columns", ["100000000000", "-1", "true", '2, "left_out": [5]', '2, "left_out": 3'])
def test_a_count_of_columns_that_cannot_be(columns: str) -> None:
    with pytest.raises(DataError, match="not a schema of gpu-logreg"):
        Schema.from_json(f'{{"schema_version": 3, "first_index": 0, "columns": {columns}}}')


# ------------------------------------------------------------------------------------------------ dropped columns


@pytest.mark.parametrize("dropped", [("c0", "c3"), ("c4",), ("c2",)])
def test_a_model_keeps_the_width_of_what_columns_were_dropped_from(dropped: tuple[str, ...], write: Write) -> None:
    path = write("d.svm", "1 1:1 3:3 4:4\n-1 2:2 5:5\n")
    whole = load_training_data(path)[0].values
    X = np.asarray(whole.toarray() if sparse.issparse(whole) else whole)
    matrix, _ = load_training_data(path, drop=dropped)
    schema = Schema.from_json(Schema.fit(matrix).to_json())
    kept = [at for at in range(5) if f"c{at}" not in dropped]
    expected = X[:, kept]
    assert schema.feature_names == tuple(f"c{at}" for at in kept)
    if dropped == ("c4",):  # the last: the model does not know that it ever was
        with pytest.warns(UserWarning, match=r"1 feature that the model does not have \(5; its last is 4\) in 1 row"):
            rows, (again, labels) = load_prediction_data(path, schema), load_labelled_data(path, schema)
    else:
        assert json.loads(schema.to_json())["left_out"] == [int(name[1:]) for name in dropped]
        rows, (again, labels) = load_prediction_data(path, schema), load_labelled_data(path, schema)
    for taken in (schema.transform(rows), schema.transform(again)):
        np.testing.assert_array_equal(taken.toarray() if sparse.issparse(taken) else taken, expected)
    assert labels.tolist() == [1, -1]


def test_columns_of_sparse_rows() -> None:
    rng = np.random.default_rng(0)
    X = sparse.random_array((30, 12), density=0.2, rng=rng, format="csr")
    for at in (range(3, 9), [0, 5, 11], np.array([7, 2, 4]), range(12)):
        taken = columns_at(X, at)
        np.testing.assert_array_equal(taken.toarray(), X.toarray()[:, list(at)])
        assert taken.has_canonical_format
        np.testing.assert_array_equal(columns_at(X.toarray(), at), X.toarray()[:, list(at)])
    assert columns_at(X.toarray(), range(3, 9)).base is not None


# ------------------------------------------------------------------------------------------------ unknown features


def test_features_beyond_the_model_are_counted_and_ignored(write: Write) -> None:
    schema = Schema.fit(load_training_data(write("one.svm", "1 1:1 3:2\n-1 2:1\n"))[0])
    path = write("more.svm", "1 1:0.5 9:1\n0 2:1\n1 5:1 7:2 9:3\n")
    with pytest.warns(UserWarning, match=r"more.svm: 3 features that .* \(5, 7, 9; its last is 3\) in 2 rows are igno"):
        rows = load_prediction_data(path, schema)
    X = schema.transform(rows)
    X = X.toarray() if sparse.issparse(X) else X
    np.testing.assert_array_equal(X, [[0.5, 0, 0], [0, 1, 0], [0, 0, 0]])
    with pytest.warns(UserWarning, match="7, 9"):
        assert load_labelled_data(path, schema)[1].tolist() == [1, 0, 1]
    zero = write("zero.svm", "1 0:7\n")
    with pytest.raises(DataError, match="features of the model start at 1; add 1 to each index"):
        load_prediction_data(zero, schema)


# ------------------------------------------------------------------------------------------------ weights, queries


def test_weights_behind_labels(write: Write) -> None:
    path = write("w.svm", "# made by hand\n1:0.5 1:2 3:4 # 7:1\n\n-1:2.5 2:1\n+1:0\n")
    matrix, y = load_training_data(path)
    assert isinstance(matrix, Matrix)
    np.testing.assert_array_equal(matrix.values, [[2, 0, 4], [0, 1, 0], [0, 0, 0]])
    assert y.tolist() == [1, -1, 1]
    assert matrix.weights is not None
    assert matrix.weights.tolist() == [0.5, 2.5, 0.0]
    part = matrix.take_rows(np.array([1])).drop(["c0"])
    assert part.weights is not None
    assert part.weights.tolist() == [2.5]
    rows = load_prediction_data(path, Schema.fit(matrix))
    np.testing.assert_array_equal(rows.values, matrix.values)
    assert load_training_data(write("n.svm", "1 1:2\n-1 2:1\n"))[0].weights is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:0.5 1:2\n-1 2:1\n", "line 2 has no weight after its label '-1', as the lines before it have"),
        ("1:0.5 1:2\n-1:x 2:1\n", "line 2 has the weight 'x', which is not a number from 0 on"),
        ("1:-1 1:2\n", "line 1 has the weight '-1'"),
        ("1:inf 1:2\n", "line 1 has the weight 'inf'"),
        ("1 1:2\n-1:0.5 2:1\n", "line 2 is not LIBSVM text (label index:value ...): '-1:0.5' is not a label (a weight"),
        ("1:0.5 1:2\n-1:1 2:y\n", "line 2 is not LIBSVM text (label index:value ...): '2:y' is not index:value"),
    ],
)
def test_weights_that_cannot_be(text: str, expected: str, write: Write) -> None:
    with pytest.raises(DataError) as error:
        load_training_data(write("w.svm", text))
    assert f"w.svm: {expected}" in str(error.value)


def test_rows_without_labels_are_not_taken_for_weights(write: Write) -> None:
    schema = Schema.fit(load_training_data(write("d.svm", "1 1:1 3:2\n-1 2:1\n"))[0])
    path = write("bare.svm", "1:1 3:2\n2:1\n")
    with pytest.raises(DataError, match="begin with a label and its weight, or with a feature and without a label"):
        load_prediction_data(path, schema)
    with pytest.warns(UserWarning, match="the first cell of each line is taken as label:weight; if the lines have no"):
        matrix, y = load_training_data(path)
    assert y.tolist() == [1, 2]
    assert matrix.weights is not None


def test_queries_are_passed_over(write: Write) -> None:
    path = write("q.svm", "1 qid:1 1:2\n-1 qid:2 2:1\n")
    with pytest.warns(UserWarning, match=r"q.svm: qid: is ignored; rows are classified, not ranked"):
        matrix, y = load_training_data(path)
    np.testing.assert_array_equal(matrix.values, [[2, 0], [0, 1]])
    assert y.tolist() == [1, -1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weighted = load_training_data(write("qw.svm", "1:2 qid:1 1:2\n-1:1 qid:2 2:1\n"))[0]
    assert weighted.weights is not None


def test_weights_change_the_fit_as_repeated_rows_do(write: Write, capsys: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = [
        (row % 2, int(rng.integers(1, 4)), f"1:{rng.normal() + row % 2:.3f} 2:{rng.normal():.3f}") for row in range(40)
    ]
    weighted = write("w.svm", "".join(f"{label}:{weight} {rest}\n" for label, weight, rest in lines))
    repeated = write("r.svm", "".join(f"{label} {rest}\n" * weight for label, weight, rest in lines))
    models = []
    for path in (weighted, repeated):
        succeed(capsys, "train", path, "--model", tmp_path / "m")
        models.append(load_model(tmp_path / "m"))
    np.testing.assert_allclose(models[0].coef_, models[1].coef_, rtol=1e-4)
    succeed(capsys, "train", weighted, "--hidden", "3", "--max-iter", "2", "--model", tmp_path / "m")


# ------------------------------------------------------------------------------------------------ fits


def test_columns_without_an_element_change_no_fit() -> None:
    rng = np.random.default_rng(0)
    d, used = 2**17, np.array([3, 70, 100_000, 2**17 - 1])
    part = rng.normal(size=(80, 4)) * (rng.random((80, 4)) < 0.5)
    y = rng.integers(0, 3, 80)
    place = np.zeros((80, 4), dtype=int) + used
    X = sparse.csr_array((part.flatten(), place.ravel(), np.arange(0, 321, 4)), shape=(80, d))
    X.eliminate_zeros()
    model = fit_on_used_columns(LogisticRegression(tol=1e-9), X, y)
    narrow = LogisticRegression(tol=1e-9).fit(sparse.csr_array(part), y)
    assert model.coef_.shape == (3, d)
    assert np.count_nonzero(model.coef_) == 12
    np.testing.assert_array_equal(model.coef_[:, used], narrow.coef_)
    np.testing.assert_array_equal(model.predict_proba(X), narrow.predict_proba(sparse.csr_array(part)))
    whole = LogisticRegression(tol=1e-9).fit(X, y)
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-5, atol=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = fit_on_used_columns(MLPClassifier((3,), max_iter=2, random_state=0), X, y)
    assert network.coefs_[0].shape == (d, 3)
    assert np.count_nonzero(network.coefs_[0].any(axis=1)) == 4
    assert network.predict(X).shape == (80,)


def test_millions_of_columns_on_the_command_line(write: Write, capsys: Any, tmp_path: Path) -> None:
    path, model = write("h.svm", hashed(bits=22)), tmp_path / "m"
    out = succeed(capsys, "train", path, "--model", model).out
    assert "accuracy      1.0000" in out
    out = succeed(capsys, "predict", model, write("new.svm", "0 7:1\n0 9:1 5000000:1\n"))
    assert out.out == "prediction\n1\n-1\n"
    assert "new.svm: 1 feature that the model does not have" in out.err
    assert "c6 " in succeed(capsys, "info", model).out


def test_dropped_columns_on_the_command_line(write: Write, capsys: Any, tmp_path: Path) -> None:
    path, other, model = write("h.svm", hashed(bits=20)), write("v.svm", hashed(bits=20, seed=1)), tmp_path / "m"
    out = succeed(capsys, "train", path, "--drop", "c6", "--drop", "c8", "--valid", other, "--model", model)
    assert "test" in out.out
    succeed(capsys, "predict", model, other)
    refused = run(capsys, "train", path, "--drop", "c999999999")
    assert refused.code == 2
    assert "has no column 'c999999999'; its columns are c0 to c" in refused.err


def test_a_part_of_an_array_is_read_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.arange(8.0).reshape(2, 4))
    assert read_table(tmp_path / "d.npy", columns=["c3", "c1"]).values.tolist() == [[3, 1], [7, 5]]
    matrix, y = load_training_data(tmp_path / "d.npy", "c0", drop=["c2"])
    assert (matrix.names, y.tolist()) == (("c1", "c3"), [0, 4])
    schema = Schema.from_json(Schema.fit(matrix).to_json())
    np.testing.assert_array_equal(schema.transform(load_prediction_data(tmp_path / "d.npy", schema)), [[1, 3], [5, 7]])
