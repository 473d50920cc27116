"""The constants of the kernel family's model, tuned by the results of a device that follows the model's own times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_logreg.passes.cuda.tuning import family

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))


@pytest.fixture
def constants():
    """The model's constants, and those of a device on which memory is slower and its latency longer."""
    from gpu import tune

    before = {name: getattr(tune.MODEL, name) for name in (tune.RATE, *tune.SEARCHED) if hasattr(tune.MODEL, name)}
    there = before | {"LATENCY": 1.21 * before["LATENCY"]}
    if tune.RATE in before:
        there[tune.RATE] = 0.8 * before[tune.RATE]
    yield before, there
    tune.put(tune.MODEL, before)


@pytest.fixture
def lines(constants):
    """Results of that device: members take what the model says with its constants."""
    from gpu import tune
    from gpu.families import few_members

    before, there = constants
    tune.put(tune.MODEL, there)
    found = [row("ceiling", "", {"read_gb_per_s": there.get(tune.RATE, 4e12) / 1e9})]
    for d in (28, 100, 1000):
        for storage in ("float32", "bfloat16", "uint8"):
            for member in few_members(d, storage, "float32", 8):
                clocks = family._clocks(member, d, storage, "float32")[0]
                one = {"d": d, "storage": storage, "family": member._asdict(), "ms": 1e-3 * clocks}
                found.append(row("ladder", f"{d} {storage} {member}", one))
    tune.put(tune.MODEL, before)
    return found


def row(section: str, key: str, values: dict) -> dict:
    return {"run": 1, "step": section, "kind": "row", "section": section, "key": key, "row": values, "wrong": False}


def test_constants_come_near_those_of_the_device(lines, constants):
    from gpu import tune

    before, there = constants
    groups = list(tune.timed(lines).values())
    assert len(groups) == 9
    as_it_is = tune.regret(groups)
    values = tune.tuned(lines)
    assert {name: getattr(tune.MODEL, name) for name in values} == before  # the model is as it was
    assert values.get(tune.RATE, 0.0) == pytest.approx(there.get(tune.RATE, 0.0), rel=1e-3)
    tune.put(tune.MODEL, values)
    lost, spread = tune.regret(groups)
    assert lost <= as_it_is[0]
    assert spread < 0.5 * as_it_is[1]
    assert values["LATENCY"] > before["LATENCY"]


def test_constants_are_written_where_they_stand(lines, constants, tmp_path, monkeypatch, capsys):
    from gpu import tune

    before, _ = constants
    text = Path(tune.MODEL.__file__).read_text(encoding="utf-8")
    copy = tmp_path / "model.py"
    copy.write_text(text)
    monkeypatch.setattr(tune.MODEL, "__file__", str(copy))
    results = tmp_path / "results.jsonl"
    results.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"run": 2, "st')
    monkeypatch.setattr("sys.argv", ["tune.py", str(results), "--write"])
    assert tune.main() == 0
    assert "LATENCY = " in capsys.readouterr().out
    assert {name: getattr(tune.MODEL, name) for name in before} == before
    written = copy.read_text()
    changed = [(a, b) for a, b in zip(text.splitlines(), written.splitlines(), strict=True) if a != b]
    assert {a.split()[0] for a, _ in changed} <= set(before)
    assert any(a.startswith("LATENCY = ") for a, _ in changed)
    compile(written, "model.py", "exec")
    with pytest.raises(SystemExit, match="the constant NO_SUCH is not set once, but 0 times"):
        tune.rewritten(text, {"NO_SUCH": 1.0})
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(lines))
    assert tune.lines_of(kept) == lines
