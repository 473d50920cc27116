"""The replacements in the places where scripts import scikit-learn's estimators from, and a script run with them."""

from __future__ import annotations

import io
import os
import runpy
import sys
import types
from typing import Any

from sklearn import linear_model, neural_network

from gpu_logreg.estimators.accelerate import tally
from gpu_logreg.estimators.accelerate.replacements import REPLACEMENTS

__all__ = ["install", "run", "uninstall"]

USAGE = "usage: python -m gpu_logreg.accelerate script.py [arguments], or -m module [arguments]"


def install() -> None:
    """Let every later import of the three estimators from scikit-learn give those that are fitted here.

    Modules that have imported one before keep scikit-learn's, and the summary on stderr, when the process ends, says
    which do. A second call does nothing.

    Examples
    --------
    >>> from gpu_logreg.accelerate import install, uninstall
    >>> install()
    >>> from sklearn.linear_model import LogisticRegression
    >>> LogisticRegression
    <class 'gpu_logreg.accelerate.LogisticRegression'>
    >>> uninstall()
    """
    if _place_of(REPLACEMENTS[0]).LogisticRegression is REPLACEMENTS[0]:
        return
    tally.begin(
        [
            f"{cls.__name__}: scikit-learn's own in {module}, which imported it before install()"
            for cls in REPLACEMENTS
            for module in _holders(cls._original)
        ]
    )
    for cls in REPLACEMENTS:
        setattr(_place_of(cls), cls.__name__, cls)


def uninstall() -> None:
    """Let later imports give scikit-learn's own again; there is no summary. Models stay as they are."""
    for cls in REPLACEMENTS:
        setattr(_place_of(cls), cls.__name__, cls._original)
    tally.end()


def _place_of(cls: Any) -> Any:
    """The module of scikit-learn's that scripts import an estimator from."""
    return neural_network if cls.__name__ == "MLPClassifier" else linear_model


def _holders(original: Any) -> list[str]:
    """Names of modules, but for those of scikit-learn's own place and of this package, that hold a class already."""
    skip = ("sklearn.linear_model", "sklearn.neural_network", "gpu_logreg")
    return sorted(
        name
        for name, module in list(sys.modules.items())
        if not name.startswith(skip)
        and any(value is original for value in list(getattr(module, "__dict__", {}).values()))
    )


def run(arguments: list[str]) -> None:
    """Run a script, or a module after ``-m``, with its arguments as ``python`` would, after `install`.

    Parameters
    ----------
    arguments : list of str
        Path of the script and what it is given.
    """
    as_module = arguments[:1] == ["-m"]
    arguments = arguments[as_module:]
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit(USAGE if not arguments else print(USAGE))
    install()
    sys.argv[:] = arguments
    if as_module:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    path = os.path.abspath(arguments[0])
    try:
        with io.open_code(path) as file:
            text = file.read()
    except OSError as error:
        tally.end()
        sys.exit(f"error: cannot read {arguments[0]}: {error.strerror}")
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(path)
    # A module that stays until the process ends: pickles of a script's own classes and functions look there.
    main = types.ModuleType("__main__")
    main.__file__, main.__builtins__ = path, __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    exec(compile(text, path, "exec"), vars(main))
