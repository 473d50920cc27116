"""``gpu-logreg bench`` on problems of a few rows: what is measured, printed, drawn, and kept after Ctrl-C."""

from __future__ import annotations

import importlib.util
import json
import time
from xml.etree import ElementTree

import fake_cupy
import kernel_host
import numpy as np
import pytest
from command_line import run, succeed

from gpu_logreg.command import demonstration
from gpu_logreg.command.benchmark import fits, passes
from gpu_logreg.command.benchmark import run as run_module
from gpu_logreg.command.benchmark.measurements import DeviceRace, FitTime, LeftOut, Measurements, PassTime
from gpu_logreg.command.benchmark.plain_read import plain_read, plain_sum
from gpu_logreg.command.benchmark.tables import print_measurements
from gpu_logreg.command.benchmark.timing import Deadline, Spread, interleaved, spread


@pytest.fixture
def small(monkeypatch):
    """Problems so small that a run takes a second."""
    monkeypatch.setattr(passes, "n_bytes", lambda: 2**16)
    monkeypatch.setattr(passes, "WIDTHS", {"float32": (10, 30), "float64": (10,)})
    monkeypatch.setattr(passes, "SPARSE_WIDTH", 300)
    monkeypatch.setattr(passes, "ROUNDS", 2)
    monkeypatch.setattr(fits, "ROUNDS", 2)
    monkeypatch.setattr(fits, "RACE_ROWS", (40, 80))
    problems = (
        fits.Problem("table", lambda: demonstration.table_like_problem(200, 5), {}),
        fits.Problem("words", lambda: fits._words(200, 50, 4), {}),
        fits.Problem("classes", lambda: fits._classes(200, 5, 3), {"max_iter": 1}),
    )
    monkeypatch.setattr(fits, "PROBLEMS", problems)


def measured(*ratios: float) -> Measurements:
    """Races with 1000, 10,000, ... rows whose times have these ratios."""
    found = Measurements({}, None)
    for at, ratio in enumerate(ratios):
        of = Spread(ratio, ratio, ratio, 1)
        found.devices.append(DeviceRace(1000 * 10**at, 100, of, Spread(1.0, 1.0, 1.0, 1), of))
    return found


def test_json_holds_what_was_measured(capsys, small):
    found = json.loads(succeed(capsys, "bench", "--json").out)
    assert found["complete"]
    assert found["left_out"] == []
    assert [(item["storage"], item["d"]) for item in found["passes"]] == [
        ("float32", 10),
        ("float32", 30),
        ("float64", 10),
        ("sparse float64", 300),
    ]
    for item in found["passes"]:
        assert set(item["engines"]) == {"reference", "cpu"}
        for name, share in item["shares"].items():
            assert share["n"] == item["engines"][name]["n"] == item["read"]["n"] == 2
            assert 0 < share["low"] <= share["median"] <= share["high"]
    assert [item["problem"] for item in found["fits"]] == ["table", "words", "classes"]
    assert [item["converged"] for item in found["fits"]] == [True, True, False]
    assert [item["n_classes"] for item in found["fits"]] == [2, 2, 3]
    assert found["fits"][0]["reads"] > 1
    assert found["gpu_problem"]
    assert found["devices"] == []
    assert found["machine"]["cpu"]["threads"] >= 1


def test_tables_say_what_was_measured(capsys, small):
    out = succeed(capsys, "bench").out
    lines = out.splitlines()
    (row,) = [line for line in lines if line.startswith("float32 x 10")]
    assert row.count("%") == 2
    assert "GB/s" in row
    assert any("NOT converged" in line for line in lines)
    (said,) = [line for line in lines if line.startswith("CPU against GPU")]
    assert "not measured" in said
    assert "interrupted" not in out


def test_tables_fit_a_terminal(capsys):
    found = measured(0.1, 0.5, 3.0)
    share, half = Spread(0.786, 0.7, 1.01, 9), Spread(0.5, 0.25, 1.0, 1)
    engines = {"reference": half, "cpu": half}
    found.passes.append(PassTime("cpu", "float32", 4194304, 1000, 2**27, half, engines, dict.fromkeys(engines, share)))
    found.fits.append(FitTime("10 classes", 50_000, 50, 10, half, share, 9.5, 8, True, "lbfgs", "cpu", "cpu"))
    found.left_out += [LeftOut(f"passes on cpu: float16 x {d}") for d in range(10, 90, 10)]
    print_measurements(found)
    _, *lines = capsys.readouterr().out.splitlines()  # the first line, which `demo` has too, names the GPU
    assert [line for line in lines if len(line) > 80] == []
    said = [" ".join(line.split()) for line in lines]
    assert "float32 x 1000 4,194,304 0.3 GB/s 79 % (70 to 101) 79 % (70 to 101)" in said
    assert "50,000 x 50, 10 classes 0.50 s (0.25 to 1.00 s) 1 9.5 8" in said
    assert "100,000 x 100 3.00 s 1.00 s 3 (3 to 3)" in said
    assert f"The GPU is faster from about {found.crossover:,} rows on." in lines
    assert lines[-1] == "0 s in all, interrupted"
    assert json.loads(json.dumps(found.to_json()))["complete"] is False


@pytest.mark.parametrize(
    ("ratios", "line"),
    [
        ((2.0, 3.0), "The GPU is faster at every size, from 1,000 rows on."),
        ((0.2, 0.9), "The CPU is faster at every size, up to 10,000 rows."),
    ],
)
def test_a_crossover_that_is_not_seen(capsys, ratios, line):
    print_measurements(measured(*ratios))
    assert line in capsys.readouterr().out


def test_time_that_is_over_leaves_items_out(capsys, small):
    out = succeed(capsys, "bench", "--seconds", "1e-9").out
    assert "Left out" in out
    assert "float32 x 10; float32 x 30; float64 x 10" in out
    assert "table; words; classes" in out


def test_an_interruption_keeps_what_was_measured(capsys, small, monkeypatch, tmp_path):
    def interrupted(deadline):
        yield from list(fits.fit_times(deadline))[:1]
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "fit_times", interrupted)
    ended = run(capsys, "bench", "--plot", tmp_path / "bench.svg")
    assert ended.code == 130
    assert "float64 x 10" in ended.out
    assert "200 x 5, table" in ended.out
    assert "words" not in ended.out
    assert ended.out.splitlines()[-1].endswith("interrupted")
    assert "bench.svg was saved before" in ended.err


def test_an_error_is_not_taken_for_an_interruption(capsys, small, monkeypatch):
    monkeypatch.setattr(run_module, "fit_times", lambda deadline: 1 / 0)
    ended = run(capsys, "bench")
    assert (ended.code, ended.out) == (1, "")
    assert "ZeroDivisionError" in ended.err


def test_the_picture(capsys, small, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'gpu-logreg[report]'")
    succeed(capsys, "bench", "--plot", tmp_path / "bench.svg")
    text = "".join(ElementTree.parse(tmp_path / "bench.svg").getroot().itertext())
    for said in ("cpu, float32, cpu", "reference, float64, cpu", "200 x 5, table", "rate over that of a plain read"):
        assert said in text
    assert "on the GPU" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "bench.png"], "--plot bench.png is not the name of an SVG file; let it end in .svg"),
        (["--plot", "nowhere/bench.svg"], "its directory nowhere does not exist"),
        (["--seconds", "0"], "--seconds 0 is no time to measure in"),
    ],
)
def test_refusals(capsys, arguments, message):
    ended = run(capsys, "bench", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_a_picture_needs_matplotlib(capsys, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "matplotlib" else find_spec(name, *more)
    )
    ended = run(capsys, "bench", "--plot", "bench.svg")
    assert ended.code == 2
    assert ended.err == "error: --plot needs matplotlib; install it with: pip install 'gpu-logreg[report]'\n"


@pytest.mark.slow
def test_a_gpu_is_measured_beside_the_cpu(capsys, small, monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    with fake_cupy.installed(monkeypatch):
        found = json.loads(succeed(capsys, "bench", "--json").out)
    assert found["gpu_problem"] is None
    on_gpu = [item for item in found["passes"] if item["device"] == "cuda:0"]
    assert [(item["storage"], item["d"]) for item in on_gpu] == [("float32", 10), ("float32", 30), ("float64", 10)]
    assert all({"reference", "cuda"} <= set(item["engines"]) for item in on_gpu)
    assert [item["n"] for item in found["devices"]] == [40, 80]


def test_the_crossover_lies_between_the_sizes_around_it():
    assert measured(0.1, 10.0).crossover == round(10**3.5)
    assert measured(0.25, 0.5, 4.0, 9.0).crossover == round(10 ** (4 + 1 / 3))
    assert measured(0.1, 0.5).crossover is None
    assert measured(2.0, 3.0).crossover is None


def test_functions_are_called_in_turn():
    calls: list[str] = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = interleaved(functions, 3, Deadline(60.0))
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert [len(took) for took in seconds.values()] == [3, 3]
    assert {len(took) for took in interleaved(functions, 3, Deadline(0.0)).values()} == {1}


def test_times_are_those_of_the_functions():
    took = interleaved({"long": lambda: time.sleep(0.02), "short": lambda: None}, 2, Deadline(60.0))
    assert min(took["long"]) >= 0.02
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(3.0, 2.0, 4.0, 5)


def test_a_deadline_is_shared_out():
    whole = Deadline(100.0)
    assert 24.0 < whole.part(4).left <= 25.0
    assert Deadline(0.0).left == 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int32"])
def test_a_plain_read_reads_every_word(dtype):
    X = np.zeros((37, 8), dtype=dtype)
    words = X.reshape(-1).view(np.uint64)
    for at in range(len(words)):
        words[at] = 12345
        assert plain_read(X) == 12345.0
        words[at] = 0
    assert plain_read(np.zeros(3), X) == 0.0


def test_a_plain_sum_is_one():
    X = np.asfortranarray(np.random.default_rng(0).integers(0, 9, (50, 7)).astype(np.float64))
    assert plain_sum(X) == X.sum()
