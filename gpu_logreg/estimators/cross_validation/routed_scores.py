"""Scores of a model by a scorer of the user's, and scikit-learn's metadata routing to it and to the splitter."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.utils import _safe_indexing, metadata_routing
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _raise_for_params,
    _routing_enabled,
    process_routing,
)

from gpu_logreg.estimators.cross_validation.fold_scores import of_scorer, rows_of_classes, scored_with
from gpu_logreg.estimators.linear.prediction import LinearPredictor
from gpu_logreg.estimators.soft_labels import given_probabilities

__all__ = ["RoutedScores"]


class RoutedScores(LinearPredictor):
    """Prediction, and `score` by the parameter ``scoring``."""

    __metadata_request__score = {"sample_weight": metadata_routing.UNUSED}  # noqa: RUF012 - read by scikit-learn

    scoring: Any

    def _routed(self: Any, sample_weight: Any, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the splitter and the scorer are given."""
        if not _routing_enabled():
            more = {} if sample_weight is None else {"sample_weight": sample_weight}
            return {}, params | more
        routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
        return routed.splitter.split, routed.scorer.score

    def score(  # type: ignore[override]
        self, X: Any, y: Any = None, *, sample_weight: Any = None, offset: Any = None, **score_params: Any
    ) -> float:
        """The score by ``scoring``, or accuracy.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d)
        y : array of shape (n,)
        sample_weight : array of shape (n,), optional
        offset : as of `decision_function`, optional
        **score_params
            What the scorer takes besides, with scikit-learn's metadata routing.
        """
        _raise_for_params(score_params, self, "score")
        if sample_weight is not None:
            score_params["sample_weight"] = sample_weight
        if _routing_enabled():
            score_params = process_routing(self, "score", **score_params).scorer.score
        if self.scoring is None or (isinstance(self.scoring, str) and self.scoring in ("warn", "accuracy")):
            return super().score(X, y, offset=offset, **score_params)
        return self._score_by_scorer(X, y, offset, score_params)

    def _score_by_scorer(self: Any, X: Any, y: Any, offset: Any, params: dict[str, Any]) -> float:
        """The score by a scorer, which knows no offset and no soft labels."""
        if self.soft_labels:
            weights = params.get("sample_weight")
            row, label, s = rows_of_classes(given_probabilities(y), None if weights is None else np.asarray(weights))
            X, y, params = _safe_indexing(X, row), self.classes_[label], params | {"sample_weight": s}
            offset = offset if np.ndim(offset) == 0 else np.asarray(offset)[row]
        with scored_with(self, offset):
            return float(of_scorer(self._get_scorer(), self.scoring, self, X, y, params, self.soft_labels))

    def get_metadata_routing(self: Any) -> Any:
        """What is asked for by fits themselves, by the splitter and by the scorer, as scikit-learn routes it.

        Returns
        -------
        MetadataRouter
        """
        to_score = MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
            .add(scorer=self._get_scorer(), method_mapping=to_score)
        )

    def _get_scorer(self: Any) -> Any:
        warns = isinstance(self.scoring, str) and self.scoring == "warn"
        return get_scorer("accuracy" if warns else self.scoring or "accuracy")
