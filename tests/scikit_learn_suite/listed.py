"""scikit-learn's tests that do not apply to the estimators of this project, by name, each with its reason."""

from __future__ import annotations

from enum import Enum
from fnmatch import fnmatchcase


class Kind(Enum):
    """Why a test is listed. All but those of OTHER are run, and all but those of OTHER and ROUNDING are to fail."""

    OTHER = "tests something else"
    """It fits no estimator of ours, or needs what is not here to even begin. Not run."""
    INNER = "asks for what is scikit-learn's alone"
    """Private attributes and functions, the course of an iteration, what no documentation promises."""
    PURPOSE = "differs on purpose"
    """A choice of this project that its documents state. Counted apart, so that the share can be read with them too."""
    ROUNDING = "passes on one processor and fails on another"
    """It asks of scikit-learn's solver, or of ours, for more digits than the stopping rule promises. Run, and may pass:
    how sums round is up to the processor."""


_REGRESSOR = "MLPRegressor of scikit-learn"
_PATH = "scikit-learn's function _logistic_regression_path"
_TWO_WAYS = "asks for the same coefficients to 1e-7 from two starts; fits end where tol says"
_ONE_STEP = "asks that one iteration ends far from the optimum; ours is near"
_WIDE = "asks that columns numbered in 64 bits be refused; they are taken"
_ARRAY_API = "scikit-learn's dispatch by the array API, off unless SCIPY_ARRAY_API is set; arrays come by DLPack here"
_PRIVATE = "reads or sets private attributes: "

LISTED: dict[str, tuple[Kind, str]] = {
    # ------------------------------------------------------------------------------------------ test_logistic.py
    "test_logistic_regression_path_convergence_fail": (Kind.OTHER, _PATH),
    "test_logistic_regression_path_coefs_multinomial": (Kind.OTHER, _PATH),
    "test_logistic_regression_path_init_coefs": (Kind.OTHER, _PATH),
    "test_logistic_regression_cv_refit[1]": (Kind.ROUNDING, _TWO_WAYS),
    "test_get_default_scorer": (Kind.OTHER, "asks a private method of a model that is not fitted"),
    "test_large_sparse_matrix[*-lib*]": (Kind.PURPOSE, _WIDE),
    "test_large_sparse_matrix[*-sag*]": (Kind.PURPOSE, _WIDE),
    "test_logistic_regression_array_api_compliance": (Kind.OTHER, _ARRAY_API),
    "test_logistic_regression_array_api_warm_start": (Kind.OTHER, _ARRAY_API),
    "test_logistic_cv_multinomial_score": (
        Kind.INNER,
        "gives all of get_params() to a private function of scikit-learn, which does not know device, impl, ...",
    ),
    "test_logreg_predict_proba_multinomial": (Kind.INNER, "calls the private method _predict_proba_lr"),
    "test_logistic_cv": (
        Kind.ROUNDING,
        "asks for the same coefficients to 6 digits from two starts at tol=1e-4",
    ),
    "test_liblinear_dual_random_state": (
        Kind.ROUNDING,
        "asks that the result of liblinear's dual differs between random states; ours depends on it within tol only",
    ),
    "test_warm_start[*-False-newton-cholesky]": (
        Kind.INNER,
        _ONE_STEP,
    ),
    "test_warm_start[*-False-sag*]": (Kind.INNER, _ONE_STEP),
    "test_warm_start_newton_solver[*-newton-cg]": (
        Kind.ROUNDING,
        "asks that two fits of one inexact step are one fit of two; how exact the second is may differ by an iteration",
    ),
    "test_warm_start_newton_solver[*-newton-cholesky]": (
        Kind.INNER,
        "asks that two fits of one Newton step are one fit of two; a warm fit here begins on a sample of its own",
    ),
    "test_newton_cholesky_fallback_to_lbfgs": (
        Kind.INNER,
        "asks for as many iterations as lbfgs takes, since theirs gives up on a singular Hessian; ours goes on",
    ),
    "test_logistic_regression_callback_support": (
        Kind.INNER,
        "counts the empty task that SciPy's callback leaves behind; ours has one task for every iteration",
    ),
    "test_logistic_regression_callback_support_warning": (
        Kind.PURPOSE,
        "asks for a warning that callbacks are for lbfgs alone; here every solver calls them",
    ),
    # ----------------------------------------------------------------------------------------------- test_mlp.py
    "test_lbfgs_regression": (Kind.OTHER, _REGRESSOR),
    "test_lbfgs_regression_maxfun": (Kind.OTHER, _REGRESSOR),
    "test_multioutput_regression": (Kind.OTHER, _REGRESSOR),
    "test_partial_fit_regression": (Kind.OTHER, _REGRESSOR),
    "test_nonfinite_params": (Kind.OTHER, _REGRESSOR),
    "test_shuffle": (Kind.OTHER, _REGRESSOR),
    "test_mlp_regressor_dtypes_casting": (Kind.OTHER, _REGRESSOR),
    "test_mlp_loading_from_joblib_partial_fit": (Kind.OTHER, _REGRESSOR),
    "test_mlp_diverging_loss": (Kind.OTHER, _REGRESSOR),
    "test_mlp_sample_weight_with_early_stopping": (Kind.OTHER, _REGRESSOR),
    "test_mlp_vs_poisson_glm_equivalent": (Kind.OTHER, _REGRESSOR),
    "test_minimum_input_sample_size": (Kind.OTHER, _REGRESSOR),
    "test_*[*MLPRegressor*]": (Kind.OTHER, _REGRESSOR),
    "test_fit": (Kind.INNER, _PRIVATE + "a model half made by hand, _coef_grads, _no_improvement_count"),
    "test_gradient": (Kind.INNER, _PRIVATE + "_loss_grad_lbfgs; tests/mathematics/test_network.py has the gradients"),
    "test_learning_rate_warmstart": (Kind.INNER, _PRIVATE + "_optimizer.learning_rate"),
    "test_adaptive_learning_rate": (Kind.INNER, _PRIVATE + "_optimizer.learning_rate"),
    "test_n_iter_no_change": (Kind.INNER, _PRIVATE + "_no_improvement_count"),
    "test_n_iter_no_change_inf": (Kind.INNER, _PRIVATE + "_no_improvement_count"),
    "test_early_stopping_stratified": (
        Kind.INNER,
        "asks for the class by the name 'True', which theirs gives it inside; ours is named as in y",
    ),
    "test_predict_proba_multilabel": (
        Kind.PURPOSE,
        "asks that the logarithm of a probability rounded to 1 be 0; ours is that of the logit, with all its digits",
    ),
    "test_preserve_feature_names[MLPClassifier]": (Kind.PURPOSE, "fits y of one class, which is refused"),
}


def entry(name: str) -> tuple[Kind, str] | None:
    """Kind and reason of a test, from the first line of the list that fits its name with or without parameters."""
    for pattern, found in LISTED.items():
        if pattern == name.split("[")[0] or fnmatchcase(name, pattern.replace("[", "[[]")):
            return found
    return None
