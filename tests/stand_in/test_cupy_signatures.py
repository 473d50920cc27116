"""The record of CuPy's signatures, against the CuPy that is installed and against what the package names of CuPy."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any

import cupy_signatures
import fake_cupy
import fake_cupy_linalg
import pytest
import record_cupy
from fresh_process import run_fresh

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "gpu_logreg"
CALLS = ("import_cupy", "array_namespace")
"""Functions of the package that give CuPy, or NumPy in its place."""
NAMES = ("cupy", "xp")
"""Names that the package gives it."""


def dotted(node: ast.AST) -> list[str] | None:
    """The parts of ``a.b.c``, where ``a`` is CuPy by whatever name; None of anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS
    named = isinstance(node, ast.Name) and node.id in NAMES
    own = isinstance(node, ast.Subscript) and ast.unparse(node) in ("sys.modules['cupy']",)
    if parts and parts[-1] == "cupy" and isinstance(node, ast.Name) and node.id == "self":
        return parts[-2::-1] or None
    return parts[::-1] if parts and (called or named or own) else None


def names_in(path: Path) -> set[str]:
    """Dotted names of CuPy and its like that a module writes."""
    tree = ast.parse(path.read_text())
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = set()
    for node in ast.walk(tree):
        parts = dotted(node) if id(node) not in inner else None
        if parts:
            names.add("cupy." + ".".join(parts))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cupyx":
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def names_of_the_package() -> set[str]:
    return set().union(*map(names_in, PACKAGE.rglob("*.py")))


def test_names_are_found_in_whatever_way_they_are_written(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(
        "from cupyx.scipy.linalg import solve_triangular as solve\nxp = array_namespace(X)\nxp.exp(xp.abs(z))\n"
        "import_cupy().cuda.Device(0)\nsys.modules['cupy'].asarray(x)\nself.cupy.matmul(a, b)\nnp.where(x)\n"
        "array_namespace(z).stack([a])\n"
    )
    wanted = ("exp", "abs", "cuda.Device", "asarray", "matmul", "stack")
    assert names_in(path) == {"cupyx.scipy.linalg.solve_triangular", *(f"cupy.{name}" for name in wanted)}


def test_what_the_package_names_of_cupy_is_recorded_alike_of_both_wheels():
    named = names_of_the_package() - {"cupy.__version__"}
    assert {"cupy.empty", "cupy.cuda.runtime.memGetInfo", "cupyx.errstate", "cupy.linalg.cholesky"} <= named
    recorded = set(cupy_signatures.record()["names"])
    # Of a dotted name that goes on behind a function's result the record has the beginning.
    missing = {name for name in named if name not in recorded and name not in ("cupy.cuda", "cupy.linalg")}
    assert not missing
    assert set(cupy_signatures.record()["wheels"]) == set(cupy_signatures.WHEELS)


def test_the_stand_in_offers_nothing_that_cupy_lacks():
    assert set(fake_cupy.offered()) == set(cupy_signatures.record()["names"])


def test_both_wheels_say_the_same_of_all_that_the_stand_in_offers():
    assert {wheel: cupy_signatures.record()[f"of {wheel}"] for wheel in cupy_signatures.WHEELS} == {
        wheel: {} for wheel in cupy_signatures.WHEELS
    }


@pytest.fixture(scope="module")
def installed() -> dict[str, Any]:
    """What the installed CuPy says, from a process of its own, where no stand-in is in its place."""
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    said: dict[str, Any] = json.loads(run_fresh(f"import sys; sys.path.insert(0, {str(HERE)!r}); import cupy_asked"))
    wheel, version = said["wheel"]
    if cupy_signatures.record()["wheels"][wheel] != version:
        pytest.skip(f"{wheel} {version} is installed, and {cupy_signatures.record()['wheels'][wheel]} recorded")
    return said


def test_the_record_is_what_the_installed_cupy_says(installed):
    record = cupy_signatures.record()
    assert installed["names"] == record["names"] | record[f"of {installed['wheel'][0]}"]


def test_results_have_the_types_that_cupy_finds(installed):
    """Of every ufunc, for every type of array beside every other and beside Python's numbers."""
    assert installed["types compared"] > 5000
    assert installed["types that differ"] == []


def test_reductions_have_the_types_that_cupy_finds(installed):
    assert installed["reductions compared"] > 40
    assert installed["reductions that differ"] == []


def test_parameters_are_read_from_docstrings():
    read = record_cupy._of_docstring

    def named(text: str, name: str = "f"):
        return type("Method", (), {"__doc__": text, "__name__": name})()

    assert read(named("f(self, axis=None, dtype=None, out=None, keepdims=False)")) == (
        "self, axis=, dtype=, out=, keepdims="
    )
    assert read(
        named("A.f(self, Py_ssize_t n=0, *, str kind: str = 'a, b', tuple t=(1, 2), **kw) -> int\n\nMore.")
    ) == ("self, n=, *, kind=, t=, **kw")
    with pytest.raises(SystemExit, match="does not say what it takes"):
        read(named("Something else."))


def test_a_call_is_held_to_the_signature():
    made = cupy_signatures.parameters("a, dtype=, *, blocking=")
    assert str(made) == "(a, dtype=None, *, blocking=None)"
    assert made.bind(1, blocking=True)
    with pytest.raises(TypeError, match=r"cupy\.asarray of CuPy: got an unexpected keyword argument 'subok'"):
        cupy_signatures.check_call("cupy.asarray", (1,), {"subok": False})
    with pytest.raises(TypeError, match="too many positional arguments"):
        cupy_signatures.check_call("cupy.ndarray.min", (0, None, False, 0.0), {})
    with pytest.raises(TypeError, match=r"cupy\.exp of CuPy: got an unexpected keyword argument 'where'"):
        cupy_signatures.check_call("cupy.exp", (1,), {"where": True})
    with pytest.raises(TypeError, match="takes 2 arrays, and got 1"):
        cupy_signatures.check_call("cupy.add", (1,), {})
    with pytest.raises(AttributeError, match="not recorded"):
        cupy_signatures.said("cupy.spacing")


def test_signatures_are_laid_over_every_function_and_method():
    """A function that was forgotten would take whatever NumPy takes."""
    unbound = ("cupy.RawKernel", "cupy.cuda.Graph")  # made by a module and by a stream
    for name in fake_cupy.offered():
        said, parts = cupy_signatures.said(name), name.split(".")
        if said == cupy_signatures.ATTRIBUTE or "**" in said or name.endswith("__") or name in unbound:
            continue
        rooms = {
            "cupyx.errstate": fake_cupy_linalg.cupyx,
            "cupyx.scipy.linalg.solve_triangular": fake_cupy_linalg.triangular,
        }
        owner = rooms.get(name, fake_cupy)
        for part in parts[1:-1] if parts[0] == "cupy" else ():
            owner = getattr(owner, part)
        arguments = (object.__new__(owner),) if inspect.isclass(owner) else ()
        with pytest.raises(TypeError, match="of CuPy"):
            getattr(owner, parts[-1])(*arguments, nobody_knows_this=1)
