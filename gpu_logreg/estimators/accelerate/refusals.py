"""Why a fit stays with scikit-learn."""

from __future__ import annotations

from typing import Any

from sklearn import get_config

__all__ = ["refusal"]


def refusal(model: Any, original: type, replacement: type) -> str | None:
    """Why the fit of an estimator is left to scikit-learn, in a line; None where it is not.

    Parameters
    ----------
    model : estimator
        Of ``replacement``, or of a class derived from it.
    original, replacement : type
        scikit-learn's class, and that which stands in for it.
    """
    if getattr(model, "_skl_callbacks", None):
        return "callbacks are set"
    if get_config().get("array_api_dispatch"):
        return "array_api_dispatch is on"
    if getattr(model, "solver", None) == "liblinear" and model.fit_intercept:
        return "solver='liblinear' penalises the intercept"
    if getattr(model, "multi_class", "deprecated") not in ("auto", "deprecated", "warn"):
        return f"multi_class={model.multi_class!r}"
    return _own_internals(type(model), original, replacement)


def _own_internals(cls: type, original: type, replacement: type) -> str | None:
    """Of a derived class: a method of its own that scikit-learn's fit would call, and ours does not."""
    for derived in cls.__mro__[: cls.__mro__.index(replacement)]:
        for name in vars(derived):
            if name.startswith("_") and not name.startswith("__") and callable(getattr(original, name, None)):
                return f"{derived.__name__} has a method {name} of its own"
    return None
