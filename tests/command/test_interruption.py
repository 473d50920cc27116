"""Ctrl-C at any time, and streams that are closed, full or of few letters: one line or none, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, listing, numbers, people, run, succeed

PROC = Path("/proc/self/status")
ENDLESS = ["--solver", "gradient-descent", "--tol", "0", "--max-iter", "1000000000"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Names of files are short: they lie in the current directory."""
    monkeypatch.chdir(tmp_path)


def listen() -> None:
    """As at a terminal, whatever whoever started these tests has ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """Begin ``gpu-logreg`` in a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": listen, **options}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], **options)  # type: ignore[call-overload]


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    """Exit code and output."""
    out, err = process.communicate(timeout=300)  # of a busy machine
    return process.returncode, out or b"", (err or b"").decode()


def await_handler(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process answers SIGTERM, which Python by itself does not."""
    bit = 1 << (signal.SIGTERM - 1)
    for _ in range(6000):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
        if caught & bit:
            return
        time.sleep(0.005)
    raise AssertionError("no handler was put in place")


# ------------------------------------------------------------------------------------------------------------- signals


@pytest.mark.skipif(not PROC.exists(), reason="the handlers of a process are looked up in /proc")
def test_signals_at_any_time():
    X, y = numbers(2000, 5)
    np.savez("rows.npz", X=X, y=y)
    Path("m.model").write_text("old")
    before = listing(Path())
    for delay in (0.0, 0.02, 0.1, 0.3, 0.6):
        number, code, word = (
            (signal.SIGTERM, 143, "terminated") if delay == 0.1 else (signal.SIGINT, 130, "interrupted")
        )
        process = start("train", "rows.npz", "--target", "y", "--model", "m.model", *ENDLESS)
        await_handler(process)
        time.sleep(delay)
        process.send_signal(number)
        found, out, err = ended(process)
        *progress, last = err.splitlines()
        assert (found, out, last) == (code, b"", f"error: {word}; nothing was saved"), (delay, err)
        assert all(line.startswith(("iteration ", "rows.npz: ")) for line in progress)
        assert listing(Path()) == before


def test_an_import_cannot_lose_a_signal():
    lines = "import os, signal, time\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(10)\n"
    Path("loses.py").write_text(lines + "except BaseException:\n    pass\n")
    code = "import sys; from gpu_logreg.command.interruption import answer_signals; "
    code += "answer_signals(); import loses; sys.exit(7)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=listen,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path.cwd())])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted; nothing was saved\n")


def test_a_signal_that_is_ignored_stays_so():
    code = (
        "import signal; from gpu_logreg.command.interruption import answer_signals\n"
        "for number in (signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)\n"
        "answer_signals()\n"
        "print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["True", "True"]


def test_an_interruption_that_became_another_error(capsys, monkeypatch):
    people(Path("people.csv"))

    def fail(*_: object, **__: object) -> None:
        raise ImportError("numpy failed to import")

    monkeypatch.setattr("gpu_logreg.command.train.load_training_data", fail)
    monkeypatch.setattr("gpu_logreg.command.cli.received_signal", lambda: signal.SIGINT)
    code, out, err = run(capsys, "train", "people.csv", "--target", "income")
    assert (code, out, err) == (130, "", "error: interrupted; nothing was saved\n")


def test_an_interruption_after_the_model_was_saved(capsys, monkeypatch):
    people(Path("people.csv"))

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpu_logreg.command.train.print_table", interrupt)
    code, _, err = run(capsys, "train", "people.csv", "--target", "income", "--model", "m.model")
    assert code == 130
    assert err.splitlines()[-1] == "error: interrupted; m.model was saved before"
    assert Path("m.model").exists()


# ------------------------------------------------------------------------------------------------------------- streams


@pytest.fixture
def model(capsys) -> Path:
    people(Path("people.csv"), 300)
    people(Path("named.csv"), 300)
    text = Path("named.csv").read_text().replace("high", "h\u00fcgh").replace("Rome", "R\u00f6m\x1b[31me")
    Path("named.csv").write_text(text)
    succeed(capsys, "train", "named.csv", "--target", "income", "--model", "m.model")
    return Path("m.model")


def closed_pipe() -> int:
    """A descriptor to write to, whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_a_line_that_standard_error_could_not_take_is_not_tried_again_at_the_end():
    code = """
import contextlib, sys
from gpu_logreg.command import cli
def run(arguments):
    with contextlib.suppress(BrokenPipeError):
        print("a line", file=sys.stderr)
    return 0
cli._run = run
cli.main([])
"""
    gone = closed_pipe()
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=gone, env=buffered)
    os.close(gone)
    assert process.wait(timeout=300) == 0


def test_readers_that_have_gone(model):
    gone = closed_pipe()
    commands = {
        "predict": start("predict", model, "named.csv", "--proba", stdout=gone),
        "help": start("train", "--help", stdout=gone),
        "train": start("train", "people.csv", "--target", "income", "--model", "new.model", stdout=gone, stderr=gone),
    }
    for name, process in commands.items():
        code, _, err = ended(process)
        assert (code, err) == (0, ""), name
    os.close(gone)
    assert Path("new.model").exists()  # though nobody could read of it


@pytest.mark.slow
def test_streams_that_are_closed(model):
    def close(*streams: int):
        def closing() -> None:
            listen()
            for stream in streams:
                os.close(stream)

        return closing

    commands = {
        "version": start("--version", preexec_fn=close(1)),
        "output": start("predict", model, "named.csv", "--output", "out.csv", preexec_fn=close(0, 1, 2)),
    }
    told = start("predict", model, "named.csv", "--output", "/dev/stdout", preexec_fn=close(2))
    for name, process in commands.items():
        assert ended(process) == (0, b"", ""), name
    assert ended(told)[:2] == (0, Path("out.csv").read_bytes())
    assert len(Path("out.csv").read_text().splitlines()) == 301


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to write to")
def test_streams_that_are_full(model):
    with open("/dev/full", "w") as full:
        commands = {
            "predict": start("predict", model, "named.csv", stdout=full),
            "version": start("--version", stdout=full),
        }
        nobody = start("predict", "absent", "named.csv", stdout=full, stderr=full)
        for name, process in commands.items():
            assert ended(process) == (2, b"", "error: standard output: No space left on device\n"), name
        assert ended(nobody)[0] == 2


@pytest.mark.slow
def test_letters_that_a_terminal_has_not_and_commands_to_it(capsys, model):
    narrow = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    shown = start("info", model, env=narrow)
    predicted = start("predict", model, "named.csv", env=narrow)
    code, out, err = ended(shown)
    assert (code, err) == (0, "")
    assert b"h\\xfcgh" in out
    assert b"city=R\\xf6m\\x1b[31me" in out
    code, out, err = ended(predicted)
    assert (code, err) == (0, "")
    assert set(out.decode().splitlines()) == {"prediction", "h\u00fcgh", "low"}  # as in a file, which is UTF-8
    code, out, err = run(capsys, "predict", model, "h\x1b[31m\u00fc\n.csv")
    assert (code, out, err) == (2, "", "error: h\\x1b[31m\u00fc .csv: no such file\n")
