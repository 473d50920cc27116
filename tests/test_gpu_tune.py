"""The constants of the kernel family's model, tuned by the results of a device that follows the model's own times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_logreg.passes import family

ROOT = Path(__file__).resolve().parents[1]
CLOCK_HZ, MULTIPROCESSORS = 1.98e9, 132


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    monkeypatch.syspath_prepend(str(ROOT / "bench" / "ladder"))


@pytest.fixture
def lines():
    """Results of a device whose members take what the model says with other constants: slower memory, more latency."""
    from families import few_members

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "BYTES_PER_CLOCK", 0.8 * family.BYTES_PER_CLOCK)
        patch.setattr(family, "LATENCY", 1.21 * family.LATENCY)
        return measured(few_members)


def measured(few_members) -> list[dict]:
    found = [
        row("facts", "1", {"multiprocessors": MULTIPROCESSORS, "clocks_max_sm": f"{CLOCK_HZ / 1e6:.0f} MHz"}),
        row("ceiling", "", {"read_gb_per_s": family.BYTES_PER_CLOCK * CLOCK_HZ * MULTIPROCESSORS / 1e9}),
    ]
    for d in (28, 100, 1000):
        for storage in ("float32", "bfloat16", "uint8"):
            for member in few_members(d, storage, "float32", 8):
                clocks = family._clocks(member, d, storage, "float32")[0]
                one = {"d": d, "storage": storage, "family": member._asdict(), "ms": 1e-3 * clocks}
                found.append(row("ladder", f"{d} {storage} {member}", one))
    return found


def row(section: str, key: str, values: dict) -> dict:
    return {"run": 1, "step": section, "kind": "row", "section": section, "key": key, "row": values, "wrong": False}


def test_constants_come_near_those_of_the_device(lines):
    import tune

    groups = list(tune.timed(lines).values())
    assert len(groups) == 9
    before = {name: getattr(family, name) for name in (tune.BYTES_PER_CLOCK, *tune.SEARCHED)}
    values = tune.tuned(family, lines)
    assert {name: getattr(family, name) for name in values} == before  # the module is as it was
    assert values["BYTES_PER_CLOCK"] == pytest.approx(0.8 * before["BYTES_PER_CLOCK"], rel=1e-3)
    assert values["LATENCY"] == pytest.approx(1.21 * before["LATENCY"], rel=0.05)
    assert values["SLOTS_PER_CLOCK"] == pytest.approx(before["SLOTS_PER_CLOCK"], rel=0.05)
    as_it_is = tune.regret(family, groups)
    for name, value in values.items():
        setattr(family, name, value)
    try:
        lost, spread = tune.regret(family, groups)
    finally:
        for name, value in before.items():
            setattr(family, name, value)
    assert lost <= as_it_is[0]
    assert spread < 0.02 < as_it_is[1]


def test_constants_are_written_where_they_stand(lines, tmp_path, monkeypatch, capsys):
    import tune

    text = Path(family.__file__).read_text(encoding="utf-8")
    copy = tmp_path / "family.py"
    copy.write_text(text)
    monkeypatch.setattr(family, "__file__", str(copy))
    results = tmp_path / "results.jsonl"
    results.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"run": 2, "st')
    before = {name: getattr(family, name) for name in (tune.BYTES_PER_CLOCK, *tune.SEARCHED)}
    monkeypatch.setattr("sys.argv", ["tune.py", str(results), "--write"])
    try:
        assert tune.main() == 0
    finally:
        for name, value in before.items():
            setattr(family, name, value)
    said = capsys.readouterr().out
    assert "LATENCY = " in said
    written = copy.read_text()
    changed = [(a, b) for a, b in zip(text.splitlines(), written.splitlines(), strict=True) if a != b]
    assert {a.split()[0] for a, _ in changed} <= set(before)
    assert any(a.startswith("BYTES_PER_CLOCK") for a, _ in changed)
    with pytest.raises(SystemExit, match="the constant NO_SUCH is not set once, but 0 times"):
        tune.rewritten(text, {"NO_SUCH": 1.0})
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(lines))
    assert tune.lines_of(kept) == lines
