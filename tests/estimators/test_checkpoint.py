"""Checkpoints: a fit that was killed anywhere goes on to the same bits; others are refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import Checkpoint, LogisticRegression, MLPClassifier
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import CheckpointError
from gpu_logreg.estimators import journal as module
from gpu_logreg.files.record_file import RecordFile
from gpu_logreg.passes.recorded import RecordedEngine
from gpu_logreg.rows.digest import digest_of
from gpu_logreg.rows.resident import ResidentDataset

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Killed(BaseException):
    """Ends a fit where a test wants it."""


class Case(NamedTuple):
    make: Callable[[], Any]
    rows: str


CASES = {
    "subsampled-newton": Case(LogisticRegression, "dense"),
    "many-classes": Case(lambda: LogisticRegression(tol=1e-8), "classes"),
    "newton-cg": Case(lambda: LogisticRegression(solver="newton-cg"), "dense"),
    "lbfgs": Case(lambda: LogisticRegression(solver="lbfgs"), "classes"),
    "gradient-descent": Case(lambda: LogisticRegression(solver="gradient-descent", max_iter=12), "dense"),
    "proximal": Case(lambda: LogisticRegression(C=0.02, l1_ratio=1.0), "dense"),
    "coordinate-descent": Case(lambda: LogisticRegression(C=10.0, l1_ratio=1.0, solver="coordinate-descent"), "sparse"),
    "working-sets": Case(lambda: LogisticRegression(C=1.0, l1_ratio=0.5, solver="proximal"), "sparse"),
    "adam": Case(lambda: LogisticRegression(solver="adam", max_iter=4), "dense"),
    "network-adam": Case(lambda: MLPClassifier((8,), max_iter=5, early_stopping=True), "classes"),
    "network-sgd": Case(lambda: MLPClassifier((8,), max_iter=5, solver="sgd", learning_rate="adaptive"), "dense"),
    "network-lbfgs": Case(lambda: MLPClassifier((8,), max_iter=8, solver="lbfgs"), "dense"),
}


def rows(kind: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    if kind == "sparse":
        X = sparse.random_array((300, 2500), density=0.02, rng=rng, format="csr")
        score = np.asarray(X[:, :50].sum(axis=1)).ravel() + 0.2 * rng.standard_normal(300)
        return X, score > np.median(score)
    X = rng.standard_normal((4000, 6)) * np.arange(1, 7)
    if kind == "classes":
        return X, np.argmax(X[:, :3] + rng.gumbel(size=(4000, 3)), axis=1)
    return X, X @ np.ones(6) + rng.logistic(size=4000) > 1.0


def end(model: Any) -> list[Any]:
    """All that a fit leaves."""
    if isinstance(model, MLPClassifier):
        return [*model.coefs_, *model.intercepts_, model.loss_curve_, model.n_iter_, model.stop_reason_]
    figures = model.objective_, model.n_reads_, model.n_iter_, model.loss_curve_, model.stop_reason_
    return [model.coef_, model.intercept_, *figures]


def assert_same(model: Any, wanted: list[Any]) -> None:
    for got, want in zip(end(model), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def n_records(path: Path) -> int:
    file = RecordFile(path, b"")
    file.close()
    return len(file.places)


@pytest.mark.parametrize("name", CASES)
def test_a_fit_that_was_killed_goes_on_to_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, kind = CASES[name]
    X, y = rows(kind)
    wanted, path = end(make().fit(X, y)), tmp_path / "c"
    every = Checkpoint(path, every=0)
    assert_same(make().fit(X, y, checkpoint=every), wanted)
    whole = n_records(path)
    assert whole > 3
    path.unlink()
    append = RecordFile.append
    rng = np.random.default_rng(5)
    left: list[int] = []

    def killed(self: RecordFile, records: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return append(self, records)

    for _ in range(3):
        left[:] = [int(rng.integers(1, max(2, whole // 4)))]
        with monkeypatch.context() as patched:
            patched.setattr(RecordFile, "append", killed)
            with pytest.raises(Killed):
                make().fit(X, y, checkpoint=every)
    before = n_records(path)
    assert 1 < before < whole
    assert_same(make().fit(X, y, checkpoint=every), wanted)
    assert_same(make().fit(X, y, checkpoint=path), wanted)  # recalled to its end


def test_a_fit_that_goes_on_reads_only_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = rows("dense")
    LogisticRegression().fit(X, y, checkpoint=tmp_path / "c")

    def no_read(*_: Any) -> Any:
        raise AssertionError("read again")

    made = RecordedEngine.__init__

    def without_passes(self: RecordedEngine, other: Any, *arguments: Any) -> None:
        made(self, other, *arguments)
        run = other.gradient_pass
        other.gradient_pass = lambda data: no_read if data.n_rows == len(X) else run(data)

    monkeypatch.setattr(RecordedEngine, "__init__", without_passes)
    LogisticRegression().fit(X, y, checkpoint=tmp_path / "c")
    with pytest.raises(AssertionError, match="read again"):
        LogisticRegression().fit(X, y, checkpoint=tmp_path / "other")


def test_what_is_asked_for_may_be_more_exact_or_longer(tmp_path: Path) -> None:
    X, y = rows("dense")
    path = tmp_path / "c"
    LogisticRegression(solver="gradient-descent", max_iter=5).fit(X, y, checkpoint=path)
    wanted = end(LogisticRegression(solver="gradient-descent", max_iter=11, tol=1e-9).fit(X, y))
    assert_same(LogisticRegression(solver="gradient-descent", max_iter=11, tol=1e-9).fit(X, y, checkpoint=path), wanted)


def test_results_for_other_points_are_computed_anew(tmp_path: Path) -> None:
    """As after a move to a processor that rounds in another way."""
    X, y = rows("classes")
    path = tmp_path / "c"
    model = LogisticRegression(solver="lbfgs")
    wanted = end(model.fit(X, y, checkpoint=path))
    file = RecordFile(path, b"")
    places, contents = list(file.places), [file.read(place) for place in file.places]
    file.close()
    other = contents[4] | {"arr_1": contents[4]["arr_1"] * (1.0 + 1e-9)}
    file = RecordFile(path, b"")
    file.keep_only(places[:4])
    file.append([(places[4].name, module.content_of(places[4].name, other))])
    file.append([(places[5].name, module.content_of(places[5].name, contents[5]))])
    file.close()
    model.fit(X, y, checkpoint=path)  # the sixth result is not for the point that the fifth leads to
    assert model.converged_
    np.testing.assert_allclose(model.coef_, wanted[0], rtol=1e-3, atol=1e-6)
    assert n_records(path) > 6


OTHERS = {
    "of a fit with C=1.0, and this one has C=2.0": lambda X, y: (LogisticRegression(C=2.0), X, y, None),
    "is a checkpoint of LogisticRegression, not MLPClassifier": lambda X, y: (MLPClassifier((4,)), X, y, None),
    "4,000 rows of 6 columns, and these are 3,999 of 6": lambda X, y: (LogisticRegression(), X[1:], y[1:], None),
    "other data": lambda X, y: (LogisticRegression(), X, ~y, None),
    "is of other data": lambda X, y: (LogisticRegression(), X, y, np.linspace(1, 2, len(y))),
}


@pytest.mark.parametrize("message", OTHERS)
def test_a_checkpoint_of_something_else_is_refused(message: str, tmp_path: Path) -> None:
    X, y = rows("dense")
    path = tmp_path / "c"
    LogisticRegression().fit(X, y, checkpoint=path)
    before = path.read_bytes()
    model, X, y, weights = OTHERS[message](X, y)
    with pytest.raises(CheckpointError, match=message) as raised:
        model.fit(X, y, weights, checkpoint=path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == before


def test_one_changed_element_is_other_data(tmp_path: Path) -> None:
    X, y = rows("dense")
    LogisticRegression().fit(X, y, checkpoint=tmp_path / "c")
    X[1234, 5] = np.nextafter(X[1234, 5], 9.0)
    with pytest.raises(CheckpointError, match="other data"):
        LogisticRegression().fit(X, y, checkpoint=tmp_path / "c")


def test_a_digest_does_not_depend_on_order_in_memory_and_tells_dtypes_apart() -> None:
    X, y = rows("dense")
    digest = lambda X: digest_of(ResidentDataset.from_arrays(X, y, None, Device("cpu")))  # noqa: E731
    assert digest(X) == digest(np.asfortranarray(X))
    assert digest(X) != digest(X.astype(np.float32))


def test_another_start_is_refused(tmp_path: Path) -> None:
    X, y = rows("dense")
    model = LogisticRegression(warm_start=True).fit(X, y, checkpoint=tmp_path / "c")
    with pytest.raises(CheckpointError, match="from other weights"):
        model.fit(X, y, checkpoint=tmp_path / "c")


def test_two_trainings_do_not_share_a_checkpoint(tmp_path: Path) -> None:
    X, y = rows("dense")
    path, refused = tmp_path / "c", []

    def other(_: Any) -> None:
        with pytest.raises(CheckpointError, match="another training"):
            LogisticRegression().fit(X, y, checkpoint=path)
        refused.append(1)

    LogisticRegression(verbose=other).fit(X, y, checkpoint=path)
    assert refused


def test_a_disk_that_is_full_is_told_once_and_costs_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = rows("dense")
    wanted = end(LogisticRegression().fit(X, y))
    path = tmp_path / "c"

    def full(self: RecordFile, records: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(RecordFile, "append", full)
        with pytest.warns(UserWarning, match="cannot be written: No space left on device") as told:
            assert_same(LogisticRegression().fit(X, y, checkpoint=Checkpoint(path, every=0)), wanted)
    assert len(told) == 1
    assert n_records(path) == 1
    assert_same(LogisticRegression().fit(X, y, checkpoint=path), wanted)


def test_a_damaged_checkpoint_is_told_of_and_used_up_to_there(tmp_path: Path) -> None:
    X, y = rows("dense")
    path = tmp_path / "c"
    wanted = end(LogisticRegression().fit(X, y, checkpoint=path))
    content = bytearray(path.read_bytes())
    content[2 * len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="bytes are damaged"):
        assert_same(LogisticRegression().fit(X, y, checkpoint=path), wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(LogisticRegression().fit(X, y, checkpoint=path), wanted)


def test_states_that_others_have_followed_are_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUPERSEDED_BYTES", 10_000)
    X, y = rows("classes")
    path = tmp_path / "c"
    model = MLPClassifier((8,), max_iter=30)
    wanted = end(model.fit(X, y))
    assert_same(model.fit(X, y, checkpoint=Checkpoint(path, every=0)), wanted)
    assert path.stat().st_size < 60_000
    assert n_records(path) < 15
    assert_same(model.fit(X, y, checkpoint=path), wanted)


def test_it_is_written_as_often_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = rows("dense")
    times, append = [0], RecordFile.append

    def counted(self: RecordFile, records: Any) -> Any:
        times[0] += 1
        return append(self, records)

    monkeypatch.setattr(RecordFile, "append", counted)
    LogisticRegression().fit(X, y, checkpoint=tmp_path / "a")
    assert times == [1]
    LogisticRegression().fit(X, y, checkpoint=Checkpoint(tmp_path / "b", every=0))
    assert times[0] > 4


@pytest.mark.parametrize("checkpoint", [Checkpoint("c", every=-1), Checkpoint("c", every=float("nan")), 3])
def test_what_is_no_checkpoint_is_refused(checkpoint: Any) -> None:
    X, y = rows("dense")
    with pytest.raises(CheckpointError, match="checkpoint"):
        LogisticRegression().fit(X, y, checkpoint=checkpoint)


@pytest.mark.parametrize("make", [lambda: LogisticRegression(solver="gradient-descent"), lambda: MLPClassifier((4,))])
def test_time_ends_a_fit_which_then_goes_on(make: Any, tmp_path: Path) -> None:
    X, y = rows("dense")
    path = tmp_path / "c"
    model = make().set_params(max_time=1e-9, max_iter=6)
    with pytest.warns(ConvergenceWarning, match=r"max_time = 1e-09 s reached.*Increase max_time"):
        model.fit(X, y, checkpoint=Checkpoint(path, every=0))
    assert model.stop_reason_ == "max_time = 1e-09 s reached"
    assert not model.converged_
    wanted = end(make().set_params(max_iter=6).fit(X, y))
    assert_same(make().set_params(max_iter=6).fit(X, y, checkpoint=path), wanted)


def test_a_fit_that_ends_by_itself_is_not_told_of_time() -> None:
    X, y = rows("dense")
    model = LogisticRegression(max_time=1e6).fit(X, y)
    assert model.converged_
    assert "max_time" not in model.stop_reason_
