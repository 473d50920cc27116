"""The benchmark of fits on tiny problems: peers that fail, an interruption, one objective for all, seeds."""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

ROOT = Path(__file__).resolve().parents[2]
FAKES = Path(__file__).with_name("fake_peers.py")


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))


def tiny(n=80, d=3, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, (X @ rng.standard_normal((d, classes)) + rng.gumbel(size=(n, classes))).argmax(axis=1)


@pytest.fixture(scope="module")
def rows():
    """Of one measurement of all fakes but the one that interrupts; and its settings."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        from harness.child import peers_of
        from harness.process import Contender
        from harness.rows import level_rows, peer_rows
        from harness.runner import Limits, Measurement
        from harness.training import Training
    finally:
        sys.path.pop(0)
    peers = peers_of(str(FAKES))
    contenders = [Contender(name, file=str(FAKES)) for name in peers if name != "interrupts"]
    measurement = Measurement(Training(*tiny()), 1, Limits(fit_s=3.0, problem_s=120.0, repeats=2), lambda line: None)
    measurement.run(contenders, peers)
    return {row["peer"]: row for row in peer_rows("tiny", measurement)}, level_rows("tiny", measurement)


def test_every_ending_has_its_row(rows):
    of_peers, _ = rows
    outcomes = {name: row["outcome"] for name, row in of_peers.items()}
    above = float(outcomes.pop("elsewhere").removeprefix("ends ").removesuffix(" above"))
    assert 1e-4 < above < 1
    assert outcomes.pop("crashes").endswith(" above: crashed: SIGABRT")
    assert outcomes.pop("hangs").endswith(" above: no answer in 3 s")
    assert outcomes == {
        "right": "reached 1e-8",
        "raises": "ValueError: no such option",
        "cannot start": "ended with exit code 3",
        "knows L1 only": "has no fit with penalty: ridge",
    }
    assert len({tuple(row) for row in of_peers.values()}) == 1  # columns of one file


def test_times_to_a_goal_are_of_the_loosest_settings_that_reach_it(rows):
    of_peers, levels = rows
    right = of_peers["right"]
    by_setting = {row["setting"]: row for row in levels if row["peer"] == "right"}
    assert list(by_setting) == ["steps=0", "steps=2", "steps=20"]
    assert float(by_setting["steps=0"]["suboptimality"]) > 1e-2
    assert right["s_to_1e-8"] == by_setting["steps=20"]["seconds"] > 0
    assert right["s_to_1e-8_low"] <= right["s_to_1e-8"] <= right["s_to_1e-8_high"]
    assert right["repeats"] == 2
    assert right["interleaved"]
    assert right["first_fit_s"] > 0
    assert 5 < right["peak_mb"] < 1000
    assert of_peers["elsewhere"]["s_to_1e-8"] == of_peers["raises"]["s_to_1e-4"] == ""


def test_an_interruption_keeps_what_was_measured(tmp_path):
    command = [sys.executable, "bench/run.py", "--problems", "^breast", "--peers", "^(right|interrupts)$"]
    run = subprocess.run(
        [*command, "--peers-file", str(FAKES), "--minutes", "4"],
        cwd=ROOT,
        env={**os.environ, "GPU_LOGREG_RESULTS": str(tmp_path), "GPU_LOGREG_BENCH_PYTHON": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 130, run.stdout + run.stderr
    assert "interrupted: what was measured is kept" in run.stdout
    with open(tmp_path / "peers.csv") as file:
        kept = {row["peer"]: row for row in csv.DictReader(file)}
    assert float(kept["right"]["first_fit_s"]) > 0
    assert kept["right"]["problem"] == "breast cancer"
    assert (tmp_path / "levels.csv").exists()


def scenes():
    """Names and trainings of every kind of objective, each small enough for any peer."""
    from harness.training import Training

    X, y = tiny()
    yield "ridge", Training(X, y, C=0.5)
    yield "ridge without intercept", Training(X, y, C=2.0, fit_intercept=False)
    yield "no penalty", Training(X, y, C=math.inf)
    yield "L1", Training(X, y, C=0.3, l1_ratio=1.0, fit_intercept=False)
    yield "sparse rows", Training(sparse.csr_matrix(np.where(X > 0, X, 0.0)), y, fit_intercept=False)
    yield "classes", Training(*tiny(classes=3))


def names_of_peers():
    """Read from the text, as the folder is not on the path while tests are collected."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        from harness.peers import PEERS
    finally:
        sys.path.pop(0)
    return list(PEERS)


@pytest.mark.parametrize("name", names_of_peers())
@pytest.mark.filterwarnings("ignore")
def test_every_peer_minimises_the_same_objective(name):
    from harness.peers import PEERS, TIGHT
    from harness.peers.peer import Shape
    from harness.training import value

    peer, n_taken = PEERS[name], 0
    if peer.missing():
        pytest.skip(f"{name}: {peer.missing()}")
    for scene, training in scenes():
        shape = Shape(*training.X.shape, training.n_classes, training.is_sparse, *training[2:])
        if peer.refusal(shape):
            continue
        n_taken += 1
        least = value(training, *TIGHT.fit(training, **TIGHT.levels[0]))
        found = value(training, *peer.fit(peer.prepare(training), **peer.levels[-1]))
        assert found == pytest.approx(least, rel=1e-6), scene
    assert n_taken


def test_the_value_is_the_objective_written_out():
    from harness.training import Training, value

    X, y = tiny(n=7)
    w, b = np.array([0.3, -1.0, 0.0]), 0.2
    p = 1.0 / (1.0 + np.exp(-(X @ w + b)))
    loss = -np.log(np.where(y == 1, p, 1.0 - p)).mean()
    ridge, l1 = Training(X, y, C=0.5), Training(X, y, C=0.5, l1_ratio=1.0)
    assert value(ridge, w[None], np.array([b])) == pytest.approx(loss + 0.5 * (0.09 + 1.0) / (0.5 * 7))
    assert value(l1, w[None], np.array([b])) == pytest.approx(loss + 1.3 / (0.5 * 7))
    two_rows = value(Training(np.vstack([X, X]), np.append(y, [2] * 7)), np.zeros((3, 3)), np.zeros(3))
    assert two_rows == pytest.approx(math.log(3))


def test_rows_come_back_as_they_were(tmp_path):
    from harness.training import Training, load, save

    X, y = tiny()
    for rows in (X, sparse.csr_matrix(X)):
        save(Training(rows, y, math.inf, 1.0, False), tmp_path)
        found = load(tmp_path)
        assert found[2:] == (math.inf, 1.0, False)
        assert found.n_classes == 2
        np.testing.assert_array_equal(found.y, y)
        np.testing.assert_array_equal(found.X.toarray() if found.is_sparse else found.X, X)


@pytest.mark.parametrize("name", ["airline_like", "criteo_like", "epsilon_like", "many_classes"])
def test_a_seed_is_one_problem(monkeypatch, name):
    from harness import generated

    make = getattr(generated, name)
    sizes = {"airline_like": (600,), "criteo_like": (600, 500), "epsilon_like": (300, 40), "many_classes": (300, 8, 4)}
    (X, y), (again, same), (other, _) = (make(*sizes[name], seed=seed) for seed in (5, 5, 6))
    as_array = (lambda A: A.toarray()) if sparse.issparse(X) else np.asarray
    np.testing.assert_array_equal(as_array(X), as_array(again))
    np.testing.assert_array_equal(y, same)
    assert not np.array_equal(as_array(X), as_array(other))
    assert set(np.unique(y)) == set(range(4 if name == "many_classes" else 2))
    assert np.bincount(y).min() > 20
    if sparse.issparse(X):
        assert X.has_canonical_format


def test_large_problems_are_for_full_runs_and_names_say_their_size():
    from harness.problems import NAMED

    quick = [name for name, named in NAMED.items() if not named.full]
    assert 15 < len(quick) < len(NAMED)
    assert all("10 million" not in name for name in quick)
    assert all(name in NAMED for name in ("criteo-like, 10 million", "epsilon-like, 400,000", "a9a, C = 100"))


def test_the_change_since_the_last_row_of_the_same_processor(tmp_path):
    from harness.history import beside_last

    file = tmp_path / "pass.csv"
    file.write_text(
        "date,commit,processor,n,ratio\nd1,c1,one,5,1.25\nd2,c2,other,5,9\nd3,c3,one,5,1.0\nd4,c4,one,6,9\n"
    )
    row = {"processor": "one", "n": 5, "ratio": 1.1}
    assert beside_last(file, row, ("processor", "n"), "ratio") == "+10.0% to 1.0 of d3, c3"
    assert beside_last(file, row | {"n": 7}, ("processor", "n"), "ratio") == "no earlier row of this processor"
    assert beside_last(tmp_path / "none.csv", row, ("processor", "n"), "ratio") == "no earlier row of this processor"


def test_a_missing_peer_is_taken_from_another_python(monkeypatch, tmp_path):
    import run

    def probe(python, file=None, variables=()):
        has = {sys.executable: [], "/other": ["torch L-BFGS"]}[python] + (["glum"] if variables else [])
        return {name: {"missing": None if name in has else "not installed", "version": "1"} for name in run.PEERS}

    monkeypatch.setattr(run, "probe", probe)
    monkeypatch.setenv("GPU_LOGREG_BENCH_PYTHON", f"torch=/other:glum={tmp_path}")
    contenders, missing, _ = run.find_contenders(run.parsed(["--peers", "torch|GLUM|spark"]))
    assert [(one.name, one.python) for one in contenders] == [("glum", sys.executable), ("torch L-BFGS", "/other")]
    assert contenders[0].variables == (("PYTHONPATH", str(tmp_path)),)
    assert missing["Spark"] == "not installed"
    with pytest.raises(SystemExit, match="give NAME=PATH"):
        run.find_contenders(run.parsed(["--python", "torch"]))


def test_what_is_slower_than_another_checkout():
    import compare

    rng = np.random.default_rng(0)
    noise = 1.0 + rng.gamma(1.0, 0.05, (25, 2))
    alike, twice = [tuple(pair) for pair in noise], [tuple(pair) for pair in noise * [1.0, 2.0]]
    assert not compare.slower(alike, 0.08)
    assert not compare.slower([(b, a) for a, b in alike], 0.08)
    assert compare.slower(twice, 0.08)
    assert not compare.slower(twice[:9], 0.08)  # so few may be chance
    assert not compare.slower(twice, 1.5)
    assert not compare.slower([(b, a) for a, b in twice], 0.08)
    assert compare.report(["a", "b", "not reached"], [alike, twice, []], 0.08) == 1
    assert compare.report(["a"], [alike], 0.08) == 0
