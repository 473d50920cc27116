"""A run of ``bench/gpu/check.py``: limits of time, kills and reruns, on steps made for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


def program(path: Path, code: str) -> Path:
    path.write_text(textwrap.dedent(code))
    return path


# In the place of bench/gpu/steps.py: a row before and a row after it waits, or does what its name says.
STEPS = f"""
    import signal, sys, time
    sys.path.insert(0, {str(BENCH)!r})
    from pathlib import Path
    from gpu.children import end_with_parent
    from gpu.journal import Journal
    end_with_parent()
    step, folder, run = sys.argv[1], Path(sys.argv[3]), int(sys.argv[5])
    journal = Journal(folder, run, step)
    if step == "facts":
        journal.row("facts", run, {{"name": "NVIDIA Stand-in 1", "date": "2026-01-02", "commit": "abc"}})
        raise SystemExit
    journal.row("rows", f"{{step}} 1", {{"step": step, "run": run}})
    print("before", step, flush=True)
    if step == "hangs" and not (folder / "free").exists():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(60)
    if step == "waits" and not (folder / "free").exists():
        time.sleep(60)
    if step == "breaks":
        raise RuntimeError("an illegal address")
    if step == "errs":
        journal.row("rows", "errs 2", {{"problem": "wrong: 2"}})
        raise SystemExit(1)
    if step == "lacks":
        journal.row("rows", "lacks 1", {{"problem": "not measured: there is no ncu"}})
    else:
        journal.row("rows", f"{{step}} 2", {{"step": step, "run": run}})
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    """A module ``gpu.check`` with steps of a second."""
    import gpu.check
    import gpu.children

    monkeypatch.setattr(gpu.check, "PROGRAM", program(tmp_path / "steps.py", STEPS))
    monkeypatch.setattr(gpu.check, "LAST_S", 0.2)
    monkeypatch.setattr(gpu.children, "GRACE_S", 0.2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return gpu.check


def steps(module, *names: str, seconds: float = 1.0) -> list:
    return [module.Step(name, seconds, 0.1, name) for name in names]


def ends(folder: Path) -> dict[str, str]:
    import gpu.journal

    return {line["step"]: line["outcome"] for line in gpu.journal.read(folder) if line["kind"] == "end"}


@pytest.mark.slow
def test_a_step_that_hangs_or_breaks_loses_only_what_it_had_not_finished(check, tmp_path, capsys):
    import gpu.journal

    folder = tmp_path / "out"
    run = check.Check(folder, 30.0)
    names = "good", "hangs", "waits", "breaks", "errs", "lacks", "last"
    assert check.run(run, steps(check, *names), tmp_path / "none") == 1
    assert ends(folder) == {
        "facts": "ok",
        "good": "ok",
        "hangs": "out of time after 1 s",
        "waits": "out of time after 1 s",
        "breaks": "failed (exit code 1)",
        "errs": "wrong",
        "lacks": "not measured: there is no ncu",
        "last": "ok",
    }
    found = [line["key"] for line in gpu.journal.read(folder) if line["kind"] == "row" and line["section"] == "rows"]
    assert found == [
        *("good 1", "good 2", "hangs 1", "waits 1", "breaks 1", "errs 1", "errs 2", "lacks 1", "lacks 1"),
        *("last 1", "last 2"),
    ]
    said = capsys.readouterr().out
    assert "wrong: breaks, errs" in said
    table = (folder / "table.md").read_text()
    assert "# NVIDIA Stand-in 1, 2026-01-02, commit abc" in table
    assert "- errs: rows errs 2: wrong: 2" in table
    assert "an illegal address" in (folder / "log.txt").read_text()
    assert {path.name for path in folder.iterdir()} == {"results.jsonl", "table.md", "log.txt"}
    (folder / "free").touch()
    again = check.Check(folder, 30.0)
    assert again.run == 2
    assert check.run(again, steps(check, "hangs", "waits"), tmp_path / "none") == 0
    assert ends(folder)["hangs"] == ends(folder)["waits"] == ends(folder)["good"] == "ok"
    rows = gpu.journal.rows_of(gpu.journal.read(folder), "rows")
    assert [row["run"] for row in rows if row.get("step") in ("good", "hangs")] == [1, 1, 2, 2]


def test_what_has_too_little_time_is_left_out(check, tmp_path):
    folder = tmp_path / "out"
    run = check.Check(folder, 20.0)
    assert check.run(run, [check.Step("good", 30, 25, ""), *steps(check, "last", seconds=30)], tmp_path / "none") == 0
    assert ends(folder)["good"].startswith("left out: ")
    assert ends(folder)["last"] == "ok"
    assert check.run(check.Check(tmp_path / "late", 0.5), steps(check, "good"), tmp_path / "none") == 1
    assert list(ends(tmp_path / "late")) == ["facts"]


def test_a_run_that_is_killed_leaves_what_came_before_and_is_completed_by_a_rerun(check, tmp_path):
    import gpu.journal

    folder, driver = tmp_path / "out", tmp_path / "driver.py"
    program(
        driver,
        f"""
        import sys
        sys.path.insert(0, {str(BENCH)!r})
        from pathlib import Path
        import gpu.check
        gpu.check.PROGRAM = Path({str(check.PROGRAM)!r})
        gpu.check.STEPS = tuple(gpu.check.Step(name, 30, 0.1, name) for name in ("good", "waits", "last"))
        sys.exit(gpu.check.main())
        """,
    )
    environment = {
        **os.environ,
        "OUT": str(folder),
        "GPU_CHECK_STAND_IN": "1",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(tmp_path),
    }
    process = subprocess.Popen([sys.executable, str(driver)], env=environment, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 20
    while time.monotonic() < until and "waits 1" not in [line.get("key") for line in gpu.journal.read(folder)]:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert ends(folder) == {"facts": "ok", "good": "ok"}
    assert "|  good |" in (folder / "table.md").read_text()
    with (folder / "results.jsonl").open("a") as file:
        file.write('{"run": 1, "step": "waits", "kind": "ro')  # cut by the kill
    (folder / "free").touch()
    done = subprocess.run(
        [sys.executable, str(driver), "--only", "waits,last"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ends(folder) == {"facts": "ok", "good": "ok", "waits": "ok", "last": "ok"}
    rows = gpu.journal.rows_of(gpu.journal.read(folder), "rows")
    assert [row["run"] for row in rows] == [1, 1, 2, 2, 2, 2]
    listed = subprocess.run([sys.executable, str(driver), "--list"], env=environment, capture_output=True, text=True)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["good", "waits", "last", "all"]
    wrong = subprocess.run(
        [sys.executable, str(driver), "--only", "x"], env=environment, capture_output=True, text=True
    )
    assert wrong.stderr == "--only: there is no step x; there are good, waits, last\n"


def test_a_run_that_is_interrupted_ends_its_step(check, tmp_path):
    import gpu.children

    process = gpu.children.Child([sys.executable, "-c", "import time; time.sleep(60)"], 60, tmp_path / "log")
    assert not process.ended()
    process.ask("interrupted")
    gpu.children.wait([process])
    assert (process.returncode, process.why) == (None, "interrupted")
    assert process.spent < 10


def test_a_process_is_ended_with_all_that_it_has_started(tmp_path, monkeypatch):
    import gpu.children

    monkeypatch.setattr(gpu.children, "GRACE_S", 0.2)
    code = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(child.pid, flush=True)
        time.sleep(60)
    """
    child = gpu.children.Child([sys.executable, "-c", textwrap.dedent(code)], 1.0, tmp_path / "log")
    gpu.children.wait([child])
    assert child.why == "out of time after 1 s"
    started = int(child.tail().split()[0])
    until = time.monotonic() + 5
    while time.monotonic() < until and Path(f"/proc/{started}").exists() and not zombie(started):
        time.sleep(0.02)
    assert not Path(f"/proc/{started}").exists() or zombie(started)
    monkeypatch.setattr(gpu.children, "MOST_OUTPUT", 1000)
    loud = gpu.children.Child([sys.executable, "-c", "while True: print('x' * 100)"], 60.0, tmp_path / "loud")
    gpu.children.wait([loud])
    assert loud.why == "too much output"


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
    except OSError:
        return True


def test_results_are_kept_and_never_rewritten(check, tmp_path):
    import gpu.journal

    journal = gpu.journal.Journal(tmp_path, 1, "facts")
    journal.row("facts", 1, {"name": "NVIDIA Stand-in 1", "date": "2026-01-02", "commit": "abc"})
    journal.row("smoke", "L1", {"fit": "L1", "error": 1e-7})
    for stem in ("gpu-stand-in-1-2026-01-02", "gpu-stand-in-1-2026-01-02-2"):
        files = check.keep(tmp_path, tmp_path / "results")
        assert [file.name for file in files] == [f"{stem}.json", f"{stem}.md"]
    assert [line["kind"] for line in json.loads(files[0].read_text())] == ["row", "row"]
    assert "## Tiny fits against the CPU" in files[1].read_text()
    with pytest.raises(SystemExit, match="no facts about a device"):
        check.keep(tmp_path / "nowhere", tmp_path / "results")


def test_an_error_of_the_device_ends_a_step_and_problems_of_others_are_not_ours(tmp_path):
    import gpu.journal
    import numpy as np

    journal = gpu.journal.Journal(tmp_path, 1, "float32")
    journal.row("peers", "a", {"problem": "wrong: theirs"}, ours=False)
    journal.row("float32", 28, {"d": 28, "problem": "not measured: no time left"})
    journal.row("float32", 64, {"d": np.int64(64), "ms": np.float32(0.5)})
    assert journal.wrong == []
    with pytest.raises(RuntimeError, match="the device has failed"):
        journal.row("float32", 100, {"problem": "CUDARuntimeError: cudaErrorIllegalAddress"})
    assert journal.wrong == ["float32 100: CUDARuntimeError: cudaErrorIllegalAddress"]
    lines = gpu.journal.read(tmp_path)
    assert gpu.journal.wrong_of(lines) == ["float32: float32 100: CUDARuntimeError: cudaErrorIllegalAddress"]
    assert gpu.journal.rows_of(lines, "float32")[1] == {"d": 64, "ms": 0.5}
    assert journal.ceiling() is None
