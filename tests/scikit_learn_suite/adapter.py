"""scikit-learn's installed test modules, executed with other estimators under the names of its own."""

from __future__ import annotations

import importlib
import importlib.util
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from unittest import mock

import pytest

EARLIEST = (1, 9)
HERE = Path(__file__).parent
SHARE = HERE / "test_share.py"
OUTCOMES = pytest.StashKey[Counter]()


def is_theirs(item: pytest.Item) -> bool:
    """Whether a test is one of scikit-learn's."""
    return item.path.parent == HERE and item.path != SHARE


def load(module: str, replaced: dict[str, type]) -> dict[str, object]:
    """Test functions of an installed test module, in which names of scikit-learn's are bound to other objects.

    Parameters
    ----------
    module : str
        Such as ``"sklearn.linear_model.tests.test_logistic"``.
    replaced : dict
        Objects by the names under which the module imports them from the package above ``tests``.
    """
    import sklearn

    if tuple(map(int, sklearn.__version__.split(".")[:2])) < EARLIEST:
        pytest.skip(f"scikit-learn {sklearn.__version__} is older than these tests, 1.9", allow_module_level=True)
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        pytest.skip(f"scikit-learn was installed without its tests ({module})", allow_module_level=True)
    package = importlib.import_module(module.rpartition(".tests.")[0])
    loaded = importlib.util.module_from_spec(spec)
    with mock.patch.multiple(package, **replaced):
        spec.loader.exec_module(loaded)
    for test in vars(loaded).values():
        for at, mark in enumerate(getattr(test, "pytestmark", ())):
            if mark.name == "parametrize" and not isinstance(mark.args[1], Collection):  # a generator is deprecated
                test.pytestmark[at] = pytest.mark.parametrize(mark.args[0], list(mark.args[1]), **mark.kwargs).mark
    return {name: value for name, value in vars(loaded).items() if name.startswith("test_") or name == "pytestmark"}
