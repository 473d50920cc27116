"""What is installed: the list of packages, the text of the kernels, the version, and the time an import takes."""

from __future__ import annotations

import importlib.metadata
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from fresh_process import run_fresh
from sweeps import HEAVY, WIDE

import gpu_logreg

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_of_the_tree_is_installed(project):
    tree = {".".join(found.parent.relative_to(ROOT).parts) for found in (ROOT / "gpu_logreg").rglob("__init__.py")}
    listed = project["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(tree | {"gpu_logreg.kernels"})
    assert listed == sorted(listed)


def test_every_folder_of_modules_is_a_package():
    folders = {found.parent for found in (ROOT / "gpu_logreg").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_kernels_are_found_as_a_package_and_read_as_text():
    folder = files("gpu_logreg.kernels")
    names = {entry.name for entry in folder.iterdir()}
    on_disk = {path.name for path in (ROOT / "kernels").iterdir() if path.suffix in (".cu", ".cuh")}
    assert on_disk
    assert on_disk <= names
    for name in on_disk:
        assert folder.joinpath(name).read_text(encoding="utf-8") == (ROOT / "kernels" / name).read_text(
            encoding="utf-8"
        )


def test_patterns_of_package_data_cover_every_kernel(project):
    patterns = project["tool"]["setuptools"]["package-data"]["gpu_logreg.kernels"]
    others = [path for path in (ROOT / "kernels").iterdir() if path.is_file() and path.suffix != ".py"]
    assert others
    for path in others:
        assert any(path.match(pattern) for pattern in patterns), path.name
    assert (ROOT / "gpu_logreg" / "py.typed").is_file()
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["gpu_logreg"]


def test_versions_are_one(project):
    assert gpu_logreg.__version__ == project["project"]["version"]
    assert importlib.metadata.version("gpu-logreg") == gpu_logreg.__version__


def test_public_names_exist_and_are_listed():
    assert sorted(gpu_logreg.__all__) == dir(gpu_logreg)
    for name in gpu_logreg.__all__:
        assert getattr(gpu_logreg, name) is not None


def test_the_import_is_quick_and_light():
    code = """
        import sys, time
        begin = time.perf_counter()
        import gpu_logreg
        took = time.perf_counter() - begin
        print(took, *(m for m in ("cupy", "numba", "sklearn", "pandas", "pyarrow", "dask") if m in sys.modules))
    """
    runs = [run_fresh(code).split() for _ in range(5)]  # the best of a few, because other programs take time too
    assert {tuple(loaded) for _, *loaded in runs} == {()}
    assert min(float(took) for took, *_ in runs) < 0.6


def test_the_console_script_exists(project):
    (target,) = project["project"]["scripts"].values()
    module, name = target.split(":")
    code = f"import importlib; print(callable(getattr(importlib.import_module({module!r}), {name!r})))"
    assert run_fresh(code) == "True"


def test_every_sweep_that_is_thinned_is_one():
    for file, functions in (*WIDE.items(), *HEAVY.items()):
        (path,) = (ROOT / "tests").rglob(f"{file}.py")
        text = path.read_text(encoding="utf-8")
        assert [name for name in functions if f"def {name.partition('[')[0]}(" not in text] == [], file


def test_estimators_are_found_by_the_paths_of_scikit_learn():
    from gpu_logreg import linear_model, neural_network

    assert linear_model.LogisticRegression is gpu_logreg.LogisticRegression
    assert neural_network.MLPClassifier is gpu_logreg.MLPClassifier


def test_the_estimators_load_no_reader_of_text_or_tables():
    code = (
        "import sys; from gpu_logreg import LogisticRegression, Stream; "
        "print([name for name in ('sklearn.datasets', 'gpu_logreg.files.load', 'gpu_logreg.files.csv_blocks', "
        "'gpu_logreg.reports', 'matplotlib', "
        "'gpu_logreg.estimators.table_sources', 'dask', 'distributed', 'numba') if name in sys.modules])"
    )
    assert run_fresh(code) == "[]"


def test_the_citation_has_the_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {gpu_logreg.__version__}\n" in citation
