"""Run the command line in this process or in one of its own, and small files for it to read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import dump_svmlight_file

pytest.importorskip("typer", reason="the command line is not installed: pip install 'gpu-logreg[cli]'")

from gpu_logreg.command.cli import main

COMMAND = [sys.executable, "-m", "gpu_logreg"]


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    """Run ``gpu-logreg`` in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return Ended(int(ended.value.code or 0), out, err)


def succeed(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    """Run it and ask for exit code 0."""
    ended = run(capsys, *arguments)
    assert ended.code == 0, ended.err
    return ended


def run_alone(*arguments: object, **options: object) -> Ended:
    """Run ``gpu-logreg`` in a process of its own."""
    command = [*COMMAND, *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **options}
    done = subprocess.run(command, text=True, check=False, **options)  # type: ignore[call-overload]
    return Ended(done.returncode, done.stdout or "", done.stderr or "")


def people(path: Path, n: int = 200, seed: int = 0, *, header: bool = True, full_stop: str = "") -> Path:
    """A table of numbers and text, some cells missing, whose ``income`` is ``low`` or ``high``."""
    random = np.random.default_rng(seed)
    lines = ["age,city,hours,income"] if header else []
    for at in range(n):
        age, hours = random.integers(18, 80), random.normal(38, 9)
        city = random.choice(['"Oslo, N"', "Rome", "Lima"])
        high = age / 20 + hours / 10 + (city == "Rome") + random.logistic() > 6.7
        cells = ["" if at % 17 == 3 else str(age), city, f"{hours:.2f}", ("high" if high else "low") + full_stop]
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def numbers(n: int = 200, d: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a normal distribution, and labels 0 and 1."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d))
    return X, (X[:, 0] + random.logistic(size=n) > 0).astype(np.int64)


def sparse_text(path: Path, n: int = 300, d: int = 60, seed: int = 0, classes: int = 2) -> sparse.csr_array:
    """LIBSVM text, a tenth of it stored, every column used, with labels 0 to ``classes - 1``; gives its rows."""
    random = np.random.default_rng(seed)
    X = np.where(random.random((n, d)) < 0.1, random.random((n, d)), 0.0)
    np.fill_diagonal(X, 1.0)
    y = (X @ random.standard_normal((d, classes)) + 0.2 * random.gumbel(size=(n, classes))).argmax(axis=1)
    y[:classes] = np.arange(classes)
    dump_svmlight_file(X, y, str(path), zero_based=False)
    return sparse.csr_array(X)


def listing(folder: Path) -> dict[str, bytes]:
    """Names and contents of all files in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def environment(**changes: str) -> dict[str, str]:
    """The environment of this process with some changes."""
    return {**os.environ, **changes}
