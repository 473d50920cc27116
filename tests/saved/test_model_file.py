from __future__ import annotations

import errno
import json
import os
import resource
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.model_selection import KFold

from gpu_logreg import LogisticRegression, LogisticRegressionCV
from gpu_logreg.errors import DataError, GpuLogregError, ModelFileError
from gpu_logreg.files.load import load_prediction_data, load_training_data
from gpu_logreg.files.schema import Schema
from gpu_logreg.saved import model_file, whole_files
from gpu_logreg.saved.model_file import load_model, load_model_file, save_model
from gpu_logreg.saved.whole_files import check_destination


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 3))


def fit(rows: np.ndarray, classes: Any = ("no", "yes"), **params: Any) -> LogisticRegression:
    second = rows @ [1.0, -2.0, 0.5] + np.random.default_rng(1).normal(size=len(rows)) > 0
    return LogisticRegression(**params).fit(rows, np.asarray(classes)[second.astype(int)])


@pytest.fixture(scope="module")
def model(rows: np.ndarray) -> LogisticRegression:
    return fit(rows)


@pytest.fixture
def saved(model: LogisticRegression, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(model, path, schema='{"columns": []}', notes={"target": "y"})
    return path


def one_line(error: pytest.ExceptionInfo[BaseException], path: Path) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and bool((left == right).all())
    return type(left) is type(right) and left == right


# ------------------------------------------------------------------------------------------------ there and back


def test_every_fitted_attribute_and_parameter_comes_back(
    model: LogisticRegression, saved: Path, rows: np.ndarray
) -> None:
    loaded = load_model(saved)
    assert loaded.get_params() == model.get_params()
    fitted = {name: value for name, value in vars(model).items() if name.endswith("_")}
    for name, value in fitted.items():
        assert same(value, getattr(loaded, name)), name
    assert {name for name in vars(loaded) if name.endswith("_")} == set(fitted)
    assert (loaded.predict_proba(rows) == model.predict_proba(rows)).all()
    assert (loaded.predict(rows) == model.predict(rows)).all()


def test_what_stands_beside_the_model_comes_back(model: LogisticRegression, tmp_path: Path) -> None:
    notes = {
        "target": "y",
        "positive": 3,
        "rows": 60,
        "scores": {"auc": 0.5, "by class": [1, None]},
        "top": float("inf"),
    }
    save_model(model, tmp_path / "m", schema="a schema, with ü", notes=notes)
    stored = load_model_file(tmp_path / "m")
    assert stored.schema == "a schema, with ü"
    assert stored.notes == notes
    assert stored.kind == "logistic-regression"
    assert stored.version == __import__("gpu_logreg").__version__
    save_model(model, tmp_path / "m")
    assert load_model_file(tmp_path / "m").schema is None
    assert load_model_file(tmp_path / "m").notes == {}


@pytest.mark.parametrize(
    "classes",
    [
        ("no", "yes"),
        ("", "ü\n{}\0x"),
        (0, 1),
        (False, True),
        (1.0, 2.0**60),
        np.array([-(2**63), 2**63 - 1]),
        np.array([1, 2], dtype=np.uint8),
        np.array([1, 2], dtype=np.float32),
        np.array(["a", "b"], dtype=object),
    ],
    ids=lambda classes: f"{np.asarray(classes).dtype}",
)
def test_classes_keep_their_type(classes: Any, rows: np.ndarray, tmp_path: Path) -> None:
    model = fit(rows, classes)
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert same(model.classes_, loaded.classes_)
    assert same(model.predict(rows), loaded.predict(rows))


def test_parameters_of_every_type_come_back(rows: np.ndarray, tmp_path: Path) -> None:
    params = {"C": 3, "class_weight": {"no": 1.0, "yes": np.float64(2.5)}, "random_state": 7, "learning_rate": 0.1}
    model = fit(rows, **params)
    save_model(model, tmp_path / "m")
    assert load_model(tmp_path / "m").get_params() == model.get_params()
    model.set_params(class_weight={0: 1, 1: 2}, C=np.inf)
    save_model(model, tmp_path / "m")
    assert load_model(tmp_path / "m").get_params() == model.get_params()


def test_parameters_that_no_fit_needs_again_are_left_out(rows: np.ndarray, tmp_path: Path) -> None:
    model = fit(rows, verbose=lambda iteration: None, random_state=np.random.RandomState(0))
    save_model(model, tmp_path / "m")
    assert load_model(tmp_path / "m").verbose == 0
    assert load_model(tmp_path / "m").random_state is None
    assert callable(model.verbose)


def test_names_of_columns_come_back(rows: np.ndarray, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows, columns=["a", "b", "ü"])
    model = LogisticRegression().fit(frame, rows[:, 0] > 0)
    save_model(model, tmp_path / "m")
    assert same(load_model(tmp_path / "m").feature_names_in_, model.feature_names_in_)
    assert (load_model(tmp_path / "m").predict(frame) == model.predict(frame)).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    notes=st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_notes_come_back_whatever_they_are(notes: dict[str, Any], model: LogisticRegression, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m", notes=notes)
    assert load_model_file(tmp_path / "m").notes == notes


def test_a_file_holds_nothing_pickled(saved: Path) -> None:
    with safe_open(saved, framework="numpy") as opened:
        assert set(opened.keys()) == {"coef_", "intercept_"}
        metadata = opened.metadata()
    for name in ("params", "fitted", "notes"):
        assert isinstance(json.loads(metadata[name]), dict)


# ------------------------------------------------------------------------------------------------ not written


@pytest.mark.parametrize(
    ("name", "reason"), [("absent/model", "does not exist"), (".", "is a directory")], ids=["no directory", "directory"]
)
def test_a_path_that_cannot_be(name: str, reason: str, model: LogisticRegression, tmp_path: Path) -> None:
    for refuse in (lambda path: save_model(model, path), check_destination):
        with pytest.raises(DataError, match=reason) as error:
            refuse(tmp_path / name)
        one_line(error, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_not_fitted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not fitted"):
        save_model(LogisticRegression(), tmp_path / "m")


def test_another_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a dict cannot be saved; .* LogisticRegression"):
        save_model({}, tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_weight": {"a": object()}}, "parameter class_weight="),
        ({"C": 1j}, "parameter C="),
    ],
)
def test_a_parameter_that_cannot_be_stored(
    change: dict[str, Any], message: str, model: LogisticRegression, tmp_path: Path
) -> None:
    other = load_model_file_of(model, tmp_path).set_params(**change)
    with pytest.raises(DataError, match=message):
        save_model(other, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def load_model_file_of(model: LogisticRegression, folder: Path) -> LogisticRegression:
    save_model(model, folder / "copy")
    return load_model(folder / "copy")


def test_classes_that_cannot_be_stored(model: LogisticRegression, tmp_path: Path) -> None:
    other = load_model_file_of(model, tmp_path)
    for classes in (
        np.array([1, "a"], dtype=object),
        np.array([b"a", b"b"]),
        np.array([(1,), (2,)], dtype=[("a", "i4")]),
    ):
        other.classes_ = classes
        with pytest.raises(DataError, match="fitted attribute classes_="):
            save_model(other, tmp_path / "m")


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("older", [True, False])
def test_a_full_disk_leaves_nothing_and_the_older_file(
    call: str, older: bool, model: LogisticRegression, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    if older:
        path.write_bytes(b"older")
    monkeypatch.setattr(whole_files.os, call, full)
    with pytest.raises(ModelFileError, match="No space left on device") as error:
        save_model(model, path)
    one_line(error, path)
    assert [file.name for file in tmp_path.iterdir()] == ["m"] * older
    assert not older or path.read_bytes() == b"older"


def test_a_write_cut_short_by_the_system(model: LogisticRegression, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(ModelFileError, match="cannot be written: File too large"):
            save_model(model, tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(
    model: LogisticRegression, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(whole_files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_model(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_is_replaced(model: LogisticRegression, saved: Path) -> None:
    save_model(model, saved, notes={"target": "z"})
    assert load_model_file(saved).notes == {"target": "z"}
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


# ------------------------------------------------------------------------------------------------ not read


def test_truncated_anywhere(saved: Path) -> None:
    data = saved.read_bytes()
    for length in [*range(1, 12), *range(12, len(data), 37), len(data) - 1]:
        saved.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match="truncated") as error:
            load_model(saved)
        one_line(error, saved)


def test_corrupted_anywhere(saved: Path) -> None:
    data = saved.read_bytes()
    body = 8 + int.from_bytes(data[:8], "little")
    places = [*range(9), *range(9, body, 7), *range(body, len(data))]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 0x01
        if bytes(damaged[8:body]).rstrip() == data[8:body].rstrip() and damaged[body:] == data[body:] and place >= 8:
            continue  # a blank after the header
        saved.write_bytes(damaged)
        with pytest.raises(ModelFileError) as error:
            load_model(saved)
        one_line(error, saved)


@pytest.mark.parametrize(
    "region", ["coef_", "intercept_", "params", "fitted", "schema", "notes", "gpu_logreg", "sha256"]
)
def test_the_checksum_covers(region: str, saved: Path) -> None:
    def change(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
        if region in tensors:
            tensors[region] = tensors[region] + 1e-9
        else:
            metadata[region] = metadata[region] + " "

    rewrite(saved, change)
    with pytest.raises(ModelFileError, match="damaged \\(its checksum") as error:
        load_model(saved)
    one_line(error, saved)


def rewrite(path: Path, change: Any, *, sign: bool = False) -> None:
    with safe_open(path, framework="numpy") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        metadata = opened.metadata()
    change(tensors, metadata)
    if sign:
        metadata["sha256"] = model_file._checksum(tensors, metadata)
    path.unlink()
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": "2", "gpu_logreg": "9.9"}, r"newer gpu-logreg \(9.9, format 2; .*upgrade"),
        ({"format": "pt"}, "not a model of gpu-logreg"),
        ({"kind": "random-forest"}, "'random-forest' model, unknown to this gpu-logreg"),
        ({"params": '{"momentum": 1}'}, "momentum.*upgrade"),
        ({"params": "[1]"}, "upgrade"),
        ({"fitted": "{}"}, "upgrade"),
        ({"fitted": '{"__class__": 1, "classes_": 1, "n_features_in_": 3}'}, "the attributes __class__"),
        ({"notes": "{"}, "upgrade"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_written_by_other_rules(change: dict[str, str], message: str, saved: Path) -> None:
    rewrite(saved, lambda _, metadata: metadata.update(change), sign=True)
    with pytest.raises(ModelFileError, match=message) as error:
        load_model(saved)
    one_line(error, saved)


def test_a_newer_format_is_told_from_damage(saved: Path) -> None:
    rewrite(saved, lambda _, metadata: metadata.update({"format_version": "2", "sha256": "of another kind"}))
    with pytest.raises(ModelFileError, match="newer"):
        load_model(saved)


def test_safetensors_of_another_program(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3)}, tmp_path / "m")
    with pytest.raises(ModelFileError, match="not a model of gpu-logreg"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"abc", "is truncated"),
        (b"age,sex\n1,2\n3,4\n", "not a model file"),
        (b"\x80\x04\x95" + bytes(60), "not a model file"),
        (bytes(64), "not a model file"),
        (b"\x93NUMPY" + bytes(100), "not a model file"),
    ],
    ids=["empty", "short", "csv", "pickle", "zeros", "npy"],
)
def test_not_a_model_file(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=message) as error:
        load_model(path)
    one_line(error, path)


def test_missing_and_directory(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "absent", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(ModelFileError, match=message) as error:
            load_model(path)
        one_line(error, path)
    assert issubclass(ModelFileError, GpuLogregError)


def test_a_model_and_its_schema_predict_from_a_raw_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("town,age,y\n" + "a,1,no\nb,,yes\n?,3,yes\na,2,no\n" * 5)
    (tmp_path / "new.csv").write_text("age,town\n,c\n2,a\n")
    rows, y = load_training_data(tmp_path / "train.csv", "y")
    schema = Schema.fit(rows)
    save_model(LogisticRegression().fit(schema.transform(rows), y), tmp_path / "m", schema=schema.to_json())
    stored = load_model_file(tmp_path / "m")
    assert stored.schema is not None
    again = Schema.from_json(stored.schema)
    X = again.transform(load_prediction_data(tmp_path / "new.csv", again))
    assert stored.estimator.predict(X).tolist() == ["yes", "no"]


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")], ids=["two", "three"])
def test_cross_validation_there_and_back(tmp_path: Path, rows: np.ndarray, legacy: bool, classes: tuple) -> None:
    y = np.asarray(classes)[np.arange(60) % len(classes)]
    params: dict = {"Cs": [1.0, 0.1], "scoring": None, "use_legacy_attributes": legacy}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of l1_ratios=None, whose attributes hold None
        model = LogisticRegressionCV(**params, l1_ratios=None if legacy else (0.0, 0.5), cv=KFold(3)).fit(rows, y)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert type(loaded) is LogisticRegressionCV
    assert (loaded.Cs, loaded.cv) == ([1.0, 0.1], None)  # a splitter is no value of JSON
    fitted = {name: value for name, value in vars(model).items() if name.endswith("_")}
    assert {name for name in vars(loaded) if name.endswith("_")} == set(fitted)
    for name, value in fitted.items():
        other = getattr(loaded, name)
        if isinstance(value, dict):
            assert list(value) == list(other), name
            assert all(same(value[label], other[label]) for label in value), name
        else:
            assert same(value, other), name
    assert (loaded.predict_proba(rows) == model.predict_proba(rows)).all()
    with pytest.raises(DataError, match="is not fitted"):
        save_model(LogisticRegressionCV(), tmp_path / "model")
