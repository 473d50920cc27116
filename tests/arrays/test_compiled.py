"""Machine code kept on disk: never of old texts or another signature, and none where there is no place."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from fresh_process import run_fresh
from numba.core.dispatcher import Dispatcher

import gpu_logreg
from gpu_logreg.arrays import code_files
from gpu_logreg.arrays.compiled import Loop

PACKAGE = Path(gpu_logreg.__file__).parent
TEXTS = code_files.texts(PACKAGE)

WITHOUT_PLACE = """
import warnings
import numpy as np
from gpu_logreg import LogisticRegression

warnings.simplefilter("error")
rng = np.random.default_rng(0)
X, y = rng.standard_normal((60, 3)), rng.integers(0, 2, 60)
print(LogisticRegression(l1_ratio=1.0).fit(X, y).converged_, LogisticRegression(impl="cpu").fit(X, y).impl_)
"""

# A small loop of the kind: it calls a loop of another file and an operation that is generated.
PROBE = """
from gpu_logreg.passes.cpu.loops.elementary import row_terms
from gpu_logreg.passes.cpu.loops.vectors import largest_of
from gpu_logreg.arrays.compiled import njit

@njit()
def probe(vector, z):
    return row_terms(z[0], 1.0)[2] + largest_of(vector, z, 0)
"""
RUN = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
from gpu_logreg.arrays.compiled import Loop
probe = Loop("gpu_logreg.passes.cpu.loops.probe", "probe")
print(probe((0,) * 4, np.array([-1.0, 9.0, 3.0, 4.0])), probe.n_loaded, "numba" in sys.modules)
"""


@pytest.mark.slow
def test_fits_where_no_code_can_be_kept(tmp_path):
    (tmp_path / "file").touch()
    assert run_fresh(WITHOUT_PLACE, NUMBA_CACHE_DIR=str(tmp_path / "file" / "folder")) == "True cpu"


@pytest.fixture
def copy(tmp_path):
    """A copy of the package with the probe in it."""
    package = tmp_path / "gpu_logreg"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "passes" / "cpu" / "loops" / "probe.py").write_text(PROBE)
    return package


def replace(path: Path, old: str, new: str, *, as_installed: bool = False) -> None:
    """Edit a file; ``as_installed`` leaves its size and times, as two wheels made alike do, and no old bytecode."""
    text, times = path.read_text(), path.stat()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    if as_installed:
        assert len(old) == len(new)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        for bytecode in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            bytecode.unlink()


def test_loop_answers_with_the_texts_it_is_made_of(copy):
    """The sum, whether its code was at hand, and whether that took Numba."""
    math, vectors = copy / "passes/cpu/loops/elementary.py", copy / "passes/cpu/loops/vector_code.py"
    term, changed, halves = "larger(z, zero) - y * z", "larger(z, zero) + y * z", "for first in (0, n)"

    def answer() -> str:
        return run_fresh(RUN.format(folder=str(copy.parent)), NUMBA_CACHE_DIR="")

    assert answer() == "10.0 0 True"
    replace(math, term, changed, as_installed=True)
    assert answer() == "8.0 0 True"
    replace(vectors, halves, "for first in (n, n)")
    assert answer() == "3.0 0 True"
    replace(math, changed, term, as_installed=True)
    replace(vectors, "for first in (n, n)", halves)
    assert answer() == "10.0 1 False"


@pytest.mark.parametrize("name", [path.relative_to(PACKAGE).as_posix() for path in TEXTS])
def test_folder_hangs_on_every_text(copy, name):
    before = code_files.stamp(copy)
    assert code_files.stamp(copy) == before
    (copy / name).write_bytes((copy / name).read_bytes() + b"#")
    assert code_files.stamp(copy) != before


def test_texts_are_all_that_the_loops_import():
    known = {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in TEXTS}
    for path in TEXTS:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            if names == ["gpu_logreg.arrays"]:
                names = [f"gpu_logreg.arrays.{alias.name}" for alias in node.names]
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = [name for name in names if name and name.startswith("gpu_logreg.")]
            assert {name.removeprefix("gpu_logreg.").replace(".", "/") for name in ours} <= known, path


def test_every_loop_that_is_called_is_one_of_these_texts():
    known = {".".join(("gpu_logreg", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in TEXTS}
    called = 0
    for path in [*PACKAGE.glob("passes/cpu/*.py"), PACKAGE / "solvers" / "coordinate_cycles.py"]:
        for module, name in re.findall(r'Loop\("([\w.]+)", "(\w+)"\)', path.read_text()):
            assert module in known
            assert isinstance(getattr(importlib.import_module(module), name), Dispatcher), (module, name)
            called += 1
    assert called > 20


DOUBLE = """
from gpu_logreg.arrays.compiled import njit

@njit()
def double(x):
    return x + x
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Makes the function above as it comes to a process that starts now."""
    (tmp_path / "module_of_double.py").write_text(DOUBLE)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda: Loop("module_of_double", "double")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    return tmp_path / "chosen"


def files_in(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file())


def test_each_signature_has_a_file_of_its_own(place, kept):
    """Processes that write at once cannot take a number from each other: there are none."""
    first, second = kept(), kept()
    assert (first(2), second(2.5), first(2), second(2.5)) == (4, 5.0, 4, 5.0)
    assert len(files_in(place)) == 2
    third = kept()
    assert (third(2), third(2.5)) == (4, 5.0)
    assert third.n_loaded == 2
    assert code_files.folder() == files_in(place)[0].parent


def test_code_of_another_signature_is_not_taken(place, kept):
    first = kept()
    assert (first(2), first(2.5)) == (4, 5.0)
    one, other = files_in(place)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    second = kept()
    assert (second(2), second(2.5)) == (4, 5.0)
    assert second.n_loaded == 0


@pytest.mark.parametrize("damage", [lambda code: code[:-100], lambda code: b"", lambda code: code + b"."])
def test_damaged_code_is_compiled_anew(place, kept, damage):
    kept()(2)
    (path,) = files_in(place)
    path.write_bytes(damage(path.read_bytes()))
    second = kept()
    assert second(2) == 4
    assert second.n_loaded == 0
    third = kept()
    assert third(2) == 4
    assert third.n_loaded == 1  # whole again


def test_a_place_that_is_lost_costs_no_result(place, kept):
    function = kept()
    place.write_text("a file where the folder was")
    assert function(2) == 4


def test_texts_that_change_while_the_process_runs_keep_no_code(place, kept, monkeypatch):
    """A function compiled from two states of the texts belongs to neither."""
    monkeypatch.setattr(code_files, "_STATE", [])
    assert kept()(2) == 4
    assert files_in(place) == []


def test_folders_that_nobody_uses_are_removed(place, kept):
    kept()(2)
    (path,) = files_in(place)
    used, unused, foreign = (path.parent.with_name(name) for name in ("gpu_logreg-0", "gpu_logreg-1", "another"))
    for folder in (used, unused, foreign):
        folder.mkdir()
        (folder / "code").write_bytes(b"code")
    long_ago = time.time() - (code_files.DAYS_KEPT + 1) * 86400
    for folder in (unused, foreign, path.parent):
        os.utime(folder, (long_ago, long_ago))
    kept()(2)  # looks at the folder of these texts, which is thereby in use
    assert path.parent.stat().st_mtime > long_ago
    shutil.rmtree(path.parent)
    kept()(2)
    assert (used.exists(), unused.exists(), foreign.exists(), path.exists()) == (True, False, True, True)


def test_loops_are_plain_functions_of_a_numba_whose_inner_parts_are_not_known(tmp_path):
    code = """
    import numba
    numba.__version__ = "99.1.0"
    import numpy as np
    from gpu_logreg import LogisticRegression
    from gpu_logreg.arrays import numba_compiler
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 4))
    y = X[:, 0] + rng.logistic(size=500) > 0
    one, other = (LogisticRegression(impl=impl).fit(X, y) for impl in ("cpu", "reference"))
    assert not numba_compiler.IS_KNOWN
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-6)
    assert one.impl_ == "cpu"
    print("done")
    """
    assert run_fresh(code, NUMBA_CACHE_DIR=str(tmp_path)) == "done"
    assert not list(tmp_path.rglob("*.code"))
