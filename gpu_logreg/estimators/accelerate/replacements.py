"""scikit-learn's estimators whose fits are this package's where it can serve them, and scikit-learn's where not.

Parameters, attributes and predictions are scikit-learn's: a replacement is a class derived from the original.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

from sklearn import linear_model, neural_network
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from gpu_logreg.estimators.accelerate.refusals import refusal
from gpu_logreg.estimators.accelerate.tally import BY_OURS, note
from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV as OurLogisticRegressionCV
from gpu_logreg.estimators.linear.model import LogisticRegression as OurLogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier as OurMLPClassifier

__all__ = ["REPLACEMENTS", "LogisticRegression", "LogisticRegressionCV", "MLPClassifier"]

LARGEST_TOL = 1e-6
"""Largest ``tol`` of a linear fit here: the minimum that a script's ``tol`` approaches costs few more reads."""


class _InPlaceOf(ABCMeta):
    """Class of a class to which instances and subclasses of scikit-learn's original belong as well.

    A script's ``isinstance(model, LogisticRegression)`` holds for a model from a pickle of scikit-learn's.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        # By the bases alone: `issubclass` of a class with ABCMeta asks its subclasses in turn, of which ``cls`` is one.
        return vars(cls).get("_original", cls) in subclass.__mro__


class LogisticRegression(linear_model.LogisticRegression, metaclass=_InPlaceOf):  # type: ignore[misc]
    """scikit-learn's LogisticRegression, fitted by `gpu_logreg.LogisticRegression` where that can serve it."""

    __module__ = "gpu_logreg.accelerate"
    _original = linear_model.LogisticRegression

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LogisticRegression:
        """Fit the model; see scikit-learn."""
        _fit(self, LogisticRegression, OurLogisticRegression, X, y, sample_weight, {})
        return self


class LogisticRegressionCV(linear_model.LogisticRegressionCV, metaclass=_InPlaceOf):  # type: ignore[misc]
    """scikit-learn's LogisticRegressionCV, fitted by `gpu_logreg.LogisticRegressionCV` where that can serve it."""

    __module__ = "gpu_logreg.accelerate"
    _original = linear_model.LogisticRegressionCV

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> LogisticRegressionCV:
        """Fit the models of the grid; see scikit-learn."""
        _fit(self, LogisticRegressionCV, OurLogisticRegressionCV, X, y, sample_weight, params)
        return self


def _has_partial_fit(model: Any) -> bool:
    return super(MLPClassifier, model).partial_fit is not None


class MLPClassifier(neural_network.MLPClassifier, metaclass=_InPlaceOf):  # type: ignore[misc]
    """scikit-learn's MLPClassifier, fitted by `gpu_logreg.MLPClassifier` where that can serve it."""

    __module__ = "gpu_logreg.accelerate"
    _original = neural_network.MLPClassifier

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
        """Fit the model; see scikit-learn."""
        _fit(self, MLPClassifier, OurMLPClassifier, X, y, sample_weight, {})
        return self

    @available_if(_has_partial_fit)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, *args: Any, **params: Any) -> MLPClassifier:
        """Go on by one epoch over these rows; see scikit-learn, whose optimiser it is."""
        super().partial_fit(X, y, *args, **params)
        note("MLPClassifier", "partial_fit")
        return self


REPLACEMENTS: tuple[Any, ...] = (LogisticRegression, LogisticRegressionCV, MLPClassifier)


def _fit(model: Any, cls: Any, ours: Any, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]) -> None:
    """Fit by our class, or by scikit-learn's where ours refuses parameters or data: errors are scikit-learn's then."""
    reason = refusal(model, cls._original, cls)
    if reason is None:
        try:
            _keep(model, _ours(model, cls, ours).fit(X, y, sample_weight, **params))
            note(cls.__name__, BY_OURS)
            return
        except Warning:  # an error by the script's own filter
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
    if sample_weight is not None:
        params = params | {"sample_weight": sample_weight}
    super(cls, model).fit(X, y, **params)
    note(cls.__name__, reason)


def _ours(model: Any, cls: Any, ours: Any) -> Any:
    """Our estimator with the parameters of a replacement and, for ``warm_start``, its weights."""
    plain = cls._original(**{name: getattr(model, name) for name in cls._get_param_names()})
    if getattr(model, "warm_start", False):
        vars(plain).update(vars(model))
    estimator = ours.from_sklearn(plain)
    if hasattr(model, "_metadata_request"):
        estimator._metadata_request = model._metadata_request
    if ours is OurMLPClassifier:  # None is to draw other weights for every fit, as it does in scikit-learn
        return estimator.set_params(random_state=check_random_state(model.random_state))
    if ours is OurLogisticRegression and cls._original().penalty == "deprecated":
        # Since scikit-learn 1.8 a penalty that is named has a warning; `from_sklearn` drops the defaults before that.
        estimator.set_params(penalty=model.penalty, l1_ratio=model.l1_ratio)
    estimator.tol = min(model.tol, LARGEST_TOL)
    if model.solver in ("lbfgs", "newton-cg", "newton-cholesky") and not _has_l1(model):
        estimator.solver = "auto"  # any of ours has the optimum of these
    return estimator


def _has_l1(model: Any) -> bool:
    """Whether a share of L1 is asked for: scikit-learn's solver may refuse it, and ours then has to, too."""
    shares = [model.l1_ratio] if hasattr(model, "l1_ratio") else model.l1_ratios
    given = shares is not None and not isinstance(shares, str) and any(shares)
    return given or model.penalty in ("l1", "elasticnet")


def _keep(model: Any, fitted: Any) -> None:
    """Give a replacement the attributes that scikit-learn's fit would have left."""
    theirs = fitted.to_sklearn()
    params = theirs.get_params(deep=False)
    for name in ("feature_names_in_", "_optimizer"):  # of an earlier fit
        vars(model).pop(name, None)
    vars(model).update({name: value for name, value in vars(theirs).items() if name not in params})
