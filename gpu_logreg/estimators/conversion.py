"""Conversion of estimators to scikit-learn's of the same name and back; predictions stay the same.

Scikit-learn's classes are imported from where they are defined, for `gpu_logreg.accelerate` puts others in the public
places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.label_types import holds_text, of_one_type
from gpu_logreg.estimators.linear.parameters import asks_for_bounds
from gpu_logreg.estimators.onnx_conversion import OnnxConversion
from gpu_logreg.estimators.target import known_target

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
    from sklearn.neural_network import MLPClassifier as SklearnMLPClassifier

__all__ = [
    "LINEAR_SOLVERS",
    "LINEAR_STAND_INS",
    "LinearConversion",
    "NetworkConversion",
    "check_class",
    "copy_attributes",
    "refuse_beyond_sklearn",
    "shared_params",
]

LINEAR_SOLVERS = {"lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"}
"""Solvers that scikit-learn's LogisticRegression has."""

LINEAR_STAND_INS = {"auto": "newton-cholesky", "subsampled-newton": "newton-cholesky"}
"""scikit-learn's solvers of the same kind for those that it does not have."""

_NETWORK_STAND_INS = {"adamw": "adam", "gradient-descent": "lbfgs"}
"""The same of networks."""

_SHARED_ATTRIBUTES = ("classes_", "n_features_in_", "feature_names_in_", "n_iter_")
_NETWORK_ATTRIBUTES = (
    *("n_layers_", "n_outputs_", "out_activation_", "t_"),
    *("loss_", "best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_"),
)


def refuse_beyond_sklearn(model: Any) -> None:
    """Refuse to convert a linear model with what scikit-learn's has not.

    Raises
    ------
    DataError
    """
    if hasattr(model, "has_offset_"):
        raise DataError("to_sklearn: the fit had an offset, which scikit-learn's model cannot add; keep this one")
    if model.penalty_factor is not None:
        raise DataError("to_sklearn: scikit-learn's model has no penalty_factor; set_params(penalty_factor=None)")
    if model.penalty_groups is not None:
        raise DataError("to_sklearn: scikit-learn's model has no penalty_groups; set_params(penalty_groups=None)")
    if asks_for_bounds(model):
        raise DataError("to_sklearn: scikit-learn's model has no bounds; set lower_bounds and upper_bounds to None")
    if model.soft_labels:
        raise DataError("to_sklearn: scikit-learn's model takes no soft labels; set_params(soft_labels=False)")


class LinearConversion(OnnxConversion):
    """`to_sklearn` and `from_sklearn` of logistic regression."""

    def to_sklearn(self: Any) -> SklearnLogisticRegression:
        """scikit-learn's estimator with the same parameters and, if this one is fitted, the same coefficients.

        Parameters that scikit-learn does not have are left out. The solvers ``"auto"`` and ``"subsampled-newton"``
        become ``"newton-cholesky"`` (``"saga"`` with an L1 penalty); other solvers that scikit-learn does not have
        become ``"lbfgs"``.

        Returns
        -------
        sklearn.linear_model.LogisticRegression

        Raises
        ------
        DataError
            A fit with an offset, ``penalty_factor``, ``penalty_groups``, ``soft_labels`` or bounds.
        """
        from sklearn.linear_model._logistic import LogisticRegression

        refuse_beyond_sklearn(self)
        theirs = LogisticRegression()
        params = shared_params(self, theirs)
        if self.solver not in LINEAR_SOLVERS:
            with_l1 = bool(self.l1_ratio) or self.penalty in ("l1", "elasticnet")
            params["solver"] = "saga" if with_l1 else LINEAR_STAND_INS.get(self.solver, "lbfgs")
        if self.penalty == "firth":  # which scikit-learn does not have
            params["C"] = np.inf
            del params["penalty"]
        if params.get("penalty") == "deprecated":  # before 1.8 there was no such value
            del params["penalty"]
            if self.l1_ratio and getattr(theirs, "penalty", None) == "l2":
                params["penalty"] = "l1" if self.l1_ratio == 1 else "elasticnet"
        if not self.l1_ratio:
            params.pop("l1_ratio", None)
        theirs.set_params(**params)
        if hasattr(self, "coef_"):
            copy_attributes(self, theirs, _SHARED_ATTRIBUTES)
            theirs.coef_, theirs.intercept_ = self.coef_.copy(), self.intercept_.copy()
        return theirs

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Any:
        """An estimator with the parameters of scikit-learn's and, if that is fitted, its coefficients.

        Parameters
        ----------
        estimator : sklearn.linear_model.LogisticRegression

        Returns
        -------
        LogisticRegression

        Raises
        ------
        DataError
            An estimator of another class, or of more than two classes by one versus the rest.
        """
        from sklearn.linear_model._logistic import LogisticRegression

        check_class(estimator, LogisticRegression)
        ours: Any = cls()
        params = shared_params(estimator, ours)
        if params.get("penalty") == "l2":  # the default before 1.8
            del params["penalty"]
        if params.get("l1_ratio", 0.0) is None:
            del params["l1_ratio"]
        ours.set_params(**params)
        if not hasattr(estimator, "coef_"):
            return ours
        n_classes, way = len(estimator.classes_), getattr(estimator, "multi_class", None)
        if n_classes > 2 and (way == "ovr" or estimator.solver == "liblinear"):
            raise DataError(
                f"this LogisticRegression holds {n_classes} models of one class versus the rest; "
                "convert the estimators of a OneVsRestClassifier, or fit it anew"
            )
        if n_classes == 2 and way == "multinomial":
            raise DataError("this LogisticRegression is multinomial with two classes, twice the logit; fit it anew")
        copy_attributes(estimator, ours, _SHARED_ATTRIBUTES)
        ours.coef_ = _float64(dense_coef(estimator.coef_))
        ours.intercept_ = np.broadcast_to(_float64(estimator.intercept_), (len(ours.coef_),)).copy()
        return ours


class NetworkConversion(OnnxConversion):
    """`to_sklearn` and `from_sklearn` of networks."""

    def to_sklearn(self: Any) -> SklearnMLPClassifier:
        """scikit-learn's estimator with the same parameters and, if this one is fitted, the same weights.

        Parameters that scikit-learn does not have are left out. The solver ``"adamw"`` becomes ``"adam"``,
        ``"gradient-descent"`` becomes ``"lbfgs"``, and the learning rate ``"cosine"`` becomes ``"constant"``.

        Returns
        -------
        sklearn.neural_network.MLPClassifier

        Raises
        ------
        DataError
            Labels that are whole numbers beyond 64 bits, which scikit-learn's network does not accept.
        """
        from sklearn.neural_network._multilayer_perceptron import MLPClassifier
        from sklearn.preprocessing import LabelBinarizer

        theirs = MLPClassifier()
        classes = of_one_type(self.classes_) if hasattr(self, "coefs_") else None
        if classes is not None and classes.dtype.kind == "O" and not holds_text(classes):
            raise DataError("scikit-learn's network takes no whole numbers beyond 64 bits as labels; fit it on texts")
        params = shared_params(self, theirs)
        params["solver"] = _NETWORK_STAND_INS.get(self.solver, self.solver)
        if self.learning_rate == "cosine":
            params["learning_rate"] = "constant"
        theirs.set_params(**params)
        if hasattr(self, "coefs_"):
            copy_attributes(self, theirs, (*_SHARED_ATTRIBUTES, *_NETWORK_ATTRIBUTES))
            theirs.coefs_ = [W.copy() for W in self.coefs_]
            theirs.intercepts_ = [b.copy() for b in self.intercepts_]
            # Private attributes that its predict reads, and a fit with warm_start or partial_fit.
            labels = np.eye(len(self.classes_), dtype=int) if known_target(self).several else classes
            theirs._label_binarizer = LabelBinarizer().fit(labels)
            theirs._no_improvement_count = 0
            theirs._best_coefs = [W.copy() for W in self.coefs_]  # with early_stopping, restored if no epoch is better
            theirs._best_intercepts = [b.copy() for b in self.intercepts_]
        return theirs

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Any:
        """An estimator with the parameters of scikit-learn's and, if that is fitted, its weights.

        Parameters
        ----------
        estimator : sklearn.neural_network.MLPClassifier

        Returns
        -------
        MLPClassifier

        Raises
        ------
        DataError
            An estimator of another class, or of one class.
        """
        from sklearn.neural_network._multilayer_perceptron import MLPClassifier

        check_class(estimator, MLPClassifier)
        ours: Any = cls()
        ours.set_params(**shared_params(estimator, ours))
        if not hasattr(estimator, "coefs_"):
            return ours
        if len(estimator.classes_) < 2:
            raise DataError("this MLPClassifier knows one class only; at least 2 classes are needed")
        copy_attributes(estimator, ours, (*_SHARED_ATTRIBUTES, *_NETWORK_ATTRIBUTES))
        ours.coefs_ = [np.array(W) for W in estimator.coefs_]
        ours.intercepts_ = [np.array(b) for b in estimator.intercepts_]
        return ours


def check_class(estimator: Any, expected: type) -> None:
    """Raise a `DataError` if an estimator is not of that class of scikit-learn's, or of its replacement."""
    if type(estimator) is not expected and vars(type(estimator)).get("_original") is not expected:
        raise DataError(
            f"from_sklearn takes scikit-learn's {expected.__name__}, not {type(estimator).__module__}."
            f"{type(estimator).__qualname__}"
        )


def shared_params(source: Any, target: Any) -> dict[str, Any]:
    """The parameters of ``source`` that ``target`` has too. A callback in ``verbose`` becomes 0."""
    names = target.get_params(deep=False).keys()
    params = {name: value for name, value in source.get_params(deep=False).items() if name in names}
    if callable(params.get("verbose")):
        params["verbose"] = 0
    return params


def copy_attributes(source: Any, target: Any, names: tuple[str, ...]) -> None:
    """Copy those attributes of these names that ``source`` has."""
    for name in names:
        if hasattr(source, name):
            value = getattr(source, name)
            setattr(target, name, value.copy() if isinstance(value, np.ndarray | list) else value)


def _float64(array: Any) -> NDArray[np.float64]:
    """A float64 copy."""
    return np.array(array, dtype=np.float64)
