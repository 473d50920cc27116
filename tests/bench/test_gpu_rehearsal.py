"""``bench/gpu/check.py`` rehearsed on the stand-in for CuPy: every step, a kill in the middle, the rerun after it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import kernel_host
import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


NCU = """"==PROF== Connected"
"ID","Kernel Name","dram__bytes_read.sum","gpu__time_duration.sum","smsp__inst_executed.sum"
"","","Mbyte","usecond","inst"
"0","loss_and_gradient","0.004","2","600"
"1","loss_and_gradient","1,000.0","2","600"
"""


def test_the_output_of_the_profiler_is_read_in_bytes_and_nanoseconds():
    import gpu.counters
    from gpu.sizes import Sizes

    rows = gpu.counters.parsed("==PROF== x\n" + NCU.partition("\n")[2])
    assert rows[0] == {"bytes_read": 4000.0, "ns": 2000.0, "instructions": 600.0}
    assert rows[1]["bytes_read"] == 1e9
    found = gpu.counters._compared(rows[0], 3, "float32", Sizes(True))
    assert found["nbytes"] == 341 * 13
    assert found["over_least"] == 4000 / (341 * 13)
    assert gpu.counters.parsed("==ERROR== no counters\n") == []


def ends(folder: Path) -> dict[str, str]:
    import gpu.journal

    return {line["step"]: line["outcome"] for line in gpu.journal.read(folder) if line["kind"] == "end"}


def fake_tools(folder: Path) -> Path:
    """An ncu and a compute-sanitizer that run what they are given."""
    folder.mkdir()
    for name, ending in (
        ("ncu", f"cat <<'END'\n{NCU}END\n"),
        ("compute-sanitizer", "echo '= ERROR SUMMARY: 0 errors'\n"),
    ):
        path = folder / name
        skip = 'while [ "$#" -gt 0 ] && [ "${1##*/}" != "${PYTHON##*/}" ]; do shift; done\n'
        path.write_text(f'#!/bin/sh\nPYTHON={sys.executable}\n{skip}"$@" || exit 9\n{ending}')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(kernel_host.missing() is not None, reason="g++ is not installed")
def test_the_check_is_rehearsed_on_the_stand_in(tmp_path):
    import gpu.check
    import gpu.journal

    out = tmp_path / "out"
    environment = {**os.environ, "OUT": str(out), "GPU_CHECK_STAND_IN": "1", "COMMIT": "abc"}
    environment |= {"PATH": f"{fake_tools(tmp_path / 'tools')}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, str(BENCH / "gpu" / "check.py"), "--tiny", "--prepared", str(tmp_path / "none")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until = time.monotonic() + 200
    while time.monotonic() < until and not gpu.journal.rows_of(gpu.journal.read(out), "float32"):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)  # in the middle of the second step
    process.communicate()
    before = gpu.journal.read(out)
    assert len(gpu.journal.rows_of(before, "smoke")) == 6
    assert "Tiny fits against the CPU" in (out / "table.md").read_text()
    remaining = [step.name for step in gpu.check.STEPS if step.name not in ends(out)]
    assert "float32" in remaining
    done = subprocess.run([*command, "--only", ",".join(remaining)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert gpu.journal.read(out)[: len(before)] == before
    assert {name: outcome for name, outcome in ends(out).items() if outcome != "ok"} == {}
    assert set(ends(out)) == {"facts", *(step.name for step in gpu.check.STEPS)}
    table = (out / "table.md").read_text()
    for title in (
        "Ceiling",
        "over float32",
        "many classes",
        "Whole fits",
        "Rows streamed from the host",
        "Members of",
        "Tests",
        "Counters",
        "in training",
    ):
        assert title in table
    assert {path.name for path in out.iterdir()} == {"results.jsonl", "table.md", "log.txt"}
